"""COPA's XML."""

from __future__ import annotations

from pathlib import Path

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
