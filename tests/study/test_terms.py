"""Licences under which weights cannot simply be given away are told, with why."""

from __future__ import annotations

import pytest

from scaling.study.terms import Terms, sharing_doubts


def under(licence: str) -> list[str]:
    one = Terms(
        kind="data",
        name="some_task",
        licence=licence,
        licence_source="unseen",
        sources=(),
        citation=(),
    )
    return sharing_doubts([one])


@pytest.mark.parametrize(
    ("licence", "says"),
    [
        ("CC-BY-NC 4.0", "forbids commercial use"),
        ("CC-BY-NC 4.0 (ANLI)", "forbids commercial use"),
        ("by treebank; some NC", "forbids commercial use"),
        ("LDC2005T13, by licence only", "forbids to give on"),
        ("CC-BY-ND 4.0", "forbids to give on"),
        ("unseen", "does not say"),
        ("Quora's terms", "does not say"),
        ("not stated upstream", "does not say"),
    ],
)
def test_what_may_not_be_given_away_is_said(licence: str, says: str) -> None:
    (line,) = under(licence)
    assert says in line and "some_task" in line and licence in line


@pytest.mark.parametrize(
    "licence",
    ["MIT", "Apache-2.0", "BSD-3-Clause", "LGPL-2.1", "CC-BY 4.0", "CC-BY-SA 3.0", "CC-BY 2.0 FR"],
)
def test_free_licences_need_no_word(licence: str) -> None:
    assert under(licence) == []
