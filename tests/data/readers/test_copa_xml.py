"""COPA's XML."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest

from scaling.data.schema import BadData
from tests.helpers.reading import read


def test_questions_of_copa(tmp_path: Path) -> None:
    path = tmp_path / "copa.xml"
    path.write_text(
        """<?xml version="1.0"?><!DOCTYPE copa-corpus SYSTEM "copa.dtd">
        <copa-corpus version="1.0"><item id="7" asks-for="effect" most-plausible-alternative="2">
        <p>It rained &amp; hailed.</p><a1>The sun <b/>set.</a1><a2>The street got wet.</a2></item>
        </copa-corpus>""",
        encoding="utf-8",
    )
    assert read("copa_xml", [path]) == [
        {
            "id": "7",
            "context": "It rained & hailed.",
            "question": "What was the effect?",
            "choices": ["The sun", "The street got wet."],
            "label": 1,
        }
    ]


def test_entities_are_refused_before_they_grow(tmp_path: Path) -> None:
    """Six hundred bytes that would be gigabytes."""
    names = "abcdefghij"
    entities = "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in pairwise(names)
    )
    path = tmp_path / "copa.xml"
    path.write_text(
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">{entities}]>\n'
        '<x><item id="1" asks-for="cause" most-plausible-alternative="1">'
        "<p>&j;</p><a1>b</a1><a2>c</a2></item></x>",
        encoding="utf-8",
    )
    start = time.process_time()
    with pytest.raises(BadData, match=r"copa\.xml:1: a DOCTYPE with declarations"):
        read("copa_xml", [path])
    assert time.process_time() - start < 2
