"""What is said of how finished steps came about."""

from __future__ import annotations

from dataclasses import replace

from scaling.store.history import VERSIONED, made_note, version_notes, versions_here
from scaling.store.records import StepRecord
from tests.helpers.step_records import record


def made(torch: str, commit: str = "", **others: str) -> StepRecord:
    whole = record()
    versions = {"torch": torch, **others}
    return replace(whole, provenance=replace(whole.provenance, versions=versions, commit=commit))


def test_other_versions_than_todays_are_said() -> None:
    records = [made("2.1"), made("2.2"), made("2.2", transformers="5.0")]
    here = {"torch": "2.2", "transformers": "5.0", "deepspeed": "0.19"}
    assert version_notes(records, here) == [
        "Finished steps were made with other versions of torch: 2.1 (1), 2.2 (2); today's is 2.2."
    ]
    assert version_notes(records[1:], here) == []
    # Nothing is known of records from before they had versions, nor where a package is missing.
    assert version_notes([record()], here) == [] == version_notes(records, {})


def test_a_report_says_with_what_its_steps_were_made() -> None:
    assert made_note([record()]) == ""
    same = [made("2.2", "a" * 40, deepspeed="0.19")] * 2
    assert made_note(same) == (
        "The steps were made with torch 2.2, deepspeed 0.19, this project at aaaaaaaaaaaa."
    )
    assert made_note([*same, made("2.1", "b" * 40)]) == (
        "The steps were made with torch 2.1 (1), 2.2 (2), deepspeed 0.19, this project at"
        " aaaaaaaaaaaa (2), bbbbbbbbbbbb (1)."
    )


def test_versions_of_what_is_installed() -> None:
    assert set(versions_here()) <= set(VERSIONED)
