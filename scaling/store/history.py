"""Trainings that were done twice on purpose, since their weights were gone and needed again.

steps/ID/history/ATTEMPT.json    the record that counted before

On one device the numbers are the same; on others the bits may differ. So both records stay, and the
report says which scorings were made from which.
"""

from __future__ import annotations

from collections.abc import Mapping

from scaling.store.paths import StepFolder
from scaling.store.records import StepRecord
from scaling.store.store import Store
from scaling.study.steps import Plan


def earlier_records(store: Store, record: StepRecord) -> list[StepRecord]:
    """The records that gave way to this one, newest first."""
    found, seen = [], {record.provenance.attempt}
    while (attempt := record.provenance.replaces) and attempt not in seen:
        seen.add(attempt)
        name = StepFolder(record.step).history(attempt)
        text = store.read(name).decode(errors="replace")
        record = StepRecord.from_json(text, f"{store.uri}/{name}")
        found.append(record)
    return found


def remade_notes(plan: Plan, store: Store, records: Mapping[str, StepRecord]) -> list[str]:
    """One line for every training that was made again: both results, and who started from which.

    `records`: of the finished steps of the plan.
    """
    notes = []
    for step, record in records.items():
        if not record.provenance.replaces:
            continue
        tries = [record, *earlier_records(store, record)]
        said = "; before: ".join(
            f"attempt {one.provenance.attempt} of {one.provenance.finished_at}, English dev"
            f" {_dev(one)}, {_started(plan, records, one)} steps started from it"
            for one in tries
        )
        notes.append(f"{step} was trained {len(tries)} times, its weights being gone: {said}.")
    return notes


def _dev(record: StepRecord) -> str:
    score = None if record.training is None else record.training.dev_score
    return "-" if score is None else f"{100 * score:.2f}"


def _started(plan: Plan, records: Mapping[str, StepRecord], record: StepRecord) -> int:
    """How many finished steps say that they started from an attempt."""
    return sum(
        records[child].provenance.parent == record.provenance.attempt
        for child in plan.children_of(record.step)
        if child in records
    )
