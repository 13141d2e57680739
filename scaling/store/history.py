"""How finished steps came about: with which versions, and which trainings were done twice.

A training is done again, on purpose, if its weights are gone and something starts from them.

history/STEP/ATTEMPT.json        the record that counted before

On one device the numbers are the same; on others the bits may differ. So both records stay, and the
report says which scorings were made from which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from scaling.store.layout_one import OldFolder
from scaling.store.paths import StepFolder
from scaling.store.records import CorruptRecord, StepRecord
from scaling.store.store import Store
from scaling.study.steps import Plan

# What `Provenance.versions` has.
VERSIONED = ("torch", "deepspeed", "transformers", "tokenizers", "numpy", "ray")


def earlier_records(store: Store, record: StepRecord) -> list[StepRecord]:
    """The records that gave way to this one, newest first, as far back as they are there.

    StoreError names one that cannot be read.
    """
    found, seen = [], {record.provenance.attempt}
    while (attempt := record.provenance.replaces) and attempt not in seen:
        seen.add(attempt)
        name = StepFolder(record.step).history(attempt)
        if store.has_old and not store.exists(name):
            name = OldFolder(record.step).history(attempt)
        try:
            text = store.read(name).decode(errors="replace")
            record = StepRecord.from_json(text, name)
        except FileNotFoundError:
            break
        except CorruptRecord as error:
            what = f"no record that gave way to another: {error.__cause__ or error}"
            raise store.broken(name, what) from error
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
        said = [
            f"attempt {one.provenance.attempt} of {one.provenance.finished_at}, English dev"
            f" {_dev(one)}, {_started(plan, records, one)} steps started from it"
            for one in tries
        ]
        if lost := tries[-1].provenance.replaces:
            said.append(f"attempt {lost}, whose record is lost")
        notes.append(
            f"{step} was trained {len(said)} times, its weights being gone: "
            + "; before: ".join(said)
            + "."
        )
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


def versions_here() -> dict[str, str]:
    """Versions of what would compute the numbers in this environment; none of what is not there."""
    found = {}
    for name in VERSIONED:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def version_notes(records: Iterable[StepRecord], here: Mapping[str, str]) -> list[str]:
    """What finished steps were made with, where that is not what is here: one line a package."""
    notes = []
    for name, made in _made_with(records).items():
        if name in here and set(made) - {here[name]}:
            notes.append(
                f"Finished steps were made with other versions of {name}: {_counted(made)}; today's"
                f" is {here[name]}."
            )
    return notes


def made_note(records: Iterable[StepRecord]) -> str:
    """What finished steps were made with, for a report; how many with each where there are several.

    Before there were versions in records, and outside of a checkout of Git, nobody can say.
    """
    said = [
        f"{name} {_counted(made) if len(made) > 1 else next(iter(made))}"
        for name, made in _made_with(records).items()
    ]
    return f"The steps were made with {', '.join(said)}." if said else ""


def _made_with(records: Iterable[StepRecord]) -> dict[str, Counter[str]]:
    """Package → version → steps; and `this project at` by the beginning of its commit."""
    found: dict[str, Counter[str]] = {}
    for record in records:
        provenance = record.provenance
        known = {name: provenance.versions.get(name, "") for name in VERSIONED}
        for name, value in {**known, "this project at": provenance.commit[:12]}.items():
            if value:
                found.setdefault(name, Counter())[value] += 1
    return found


def _counted(made: Mapping[str, int]) -> str:
    return ", ".join(f"{found} ({count:,})" for found, count in sorted(made.items()))
