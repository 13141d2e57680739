"""What staging left in a store: rows, sources with their commits, accepted defects of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.catalogue.task import Key
from scaling.store.store import Store
from scaling.study.study import Study


@dataclass(frozen=True, kw_only=True)
class StagedTask:
    """What a store has of a task."""

    task: str
    rows: Mapping[str, int]
    """By split, over all languages."""
    languages: int
    """Test languages."""
    sources: tuple[tuple[str, str], ...]
    """(source, commit); '' for what is not read from the hub."""
    licence: str
    defects: Mapping[str, int]
    """Accepted ones, by name; every one of them stands in data/TASK/manifest.json."""


def staged_tasks(study: Study, store: Store) -> list[StagedTask]:
    """Every task of the study that this store has rows of."""
    found = []
    for name in study.used_tasks:
        path = f"data/{name}/manifest.json"
        if store.exists(path):
            try:
                found.append(_staged(name, store.read_json(path)))
            except (KeyError, TypeError, AttributeError) as error:
                raise store.broken(path, repr(error)) from error
    return found


def _staged(task: str, manifest: Mapping[str, Any]) -> StagedTask:
    """What a task's manifest says; KeyError, TypeError or AttributeError for something else."""
    rows: Counter[str] = Counter()
    defects: Counter[str] = Counter()
    splits = {Key.read(key): entry for key, entry in manifest["splits"].items()}
    for key, entry in splits.items():
        rows[key.split] += entry["rows"]
        defects.update(defect.partition(":")[0] for defect in entry["defects"])
    return StagedTask(
        task=task,
        rows=rows,
        languages=sum(key.split == "test" for key in splits),
        sources=tuple((source, revision) for source, revision in manifest["sources"]),
        licence=manifest["licence"],
        defects=dict(sorted(defects.items())),
    )


def defect_notes(tasks: list[StagedTask]) -> list[str]:
    """One line per task whose data have accepted defects."""
    return [
        f"{task.task}: defects of the data, accepted and counted: "
        + ", ".join(f"{count:,} × {name}" for name, count in task.defects.items())
        + f" (data/{task.task}/manifest.json lists them)."
        for task in tasks
        if task.defects
    ]
