from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.study.identity import canonical_json, fingerprint

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_key_order_does_not_matter(content: dict[str, Any]) -> None:
    assert fingerprint(content) == fingerprint(dict(reversed(list(content.items()))))


@given(st.dictionaries(st.text(), JSON, max_size=5), st.text(), st.integers())
def test_any_change_changes_it(content: dict[str, Any], key: str, value: int) -> None:
    changed = {**content, key: [content.get(key), value]}
    assert fingerprint(changed) != fingerprint(content)


def test_whole_floats_equal_integers() -> None:
    assert fingerprint({"epochs": 3}) == fingerprint({"epochs": 3.0})
    assert fingerprint({"epochs": 3}) != fingerprint({"epochs": 3.5})


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, object(), b"bytes"])
def test_unstable_values_are_refused_with_their_place(value: object) -> None:
    with pytest.raises((TypeError, ValueError), match=r"identity\.recipe\[0\]"):
        fingerprint({"recipe": [value]})


def test_text_form_is_ascii_and_sorted() -> None:
    assert canonical_json({"b": "é", "a": 1}) == '{"a":1,"b":"\\u00e9"}'
