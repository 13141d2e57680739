"""`scaling stage`: everything that a study reads, from its sources into the store, with hashes in the lock file."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np

from scaling.data.readers.raw import DEFECTS
from scaling.data.staging import manifest_name, stage_task
from scaling.data.tokens import features
from scaling.plan import Lock
from scaling.pretrained.staging import model_revision, stage_model, tokenizer_file
from scaling.spec import known
from scaling.store import Store, StoreError
from scaling.study import Study


def stage(
    study: Study,
    store: Store,
    folder: Path | None,
    progress: Callable[[str], None],
    accept: Collection[str] = (),
) -> Lock:
    """Stage data, token features and models; the lock. Quick where nothing changed.

    `accept`: names of defects of the data to count instead of refusing. BadData for what cannot be read; StoreError if
    something that a finished step was made from has changed under the store.
    """
    for name in accept:
        known("defect", name, DEFECTS)
    store.check_study(study.name)
    before = store.read_lock()
    data: dict[str, dict[str, str]] = {}
    revisions = dict(before.revisions)
    for name in study.used_tasks:
        progress(f"data of {name}")
        data[name] = stage_task(study, study.task(name), store, folder, locked=revisions, accept=accept)
        _check_unchanged(f"task {name}", before.data.get(name, {}), data[name])
        revisions = _with_sources(f"task {name}", revisions, json.loads(store.read(manifest_name(name)))["sources"])
    used: dict[Path, np.ndarray] = {}
    models = {}
    for name in study.models:
        model = study.model(name)
        revision = model_revision(model, folder, before.models.get(name, {}).get("revision", ""))
        tokenizer = tokenizer_file(model, folder, revision)
        if tokenizer not in used:
            progress(f"tokens for {model.family}")
            used[tokenizer] = _token_ids(study, store, data, tokenizer)
        progress(f"weights of {name}")
        models[name] = stage_model(model, store, folder, used[tokenizer], revision)
    lock = Lock(models=models, data=data, revisions=revisions)
    if lock != before:
        store.write_lock(lock)
    return lock


def _with_sources(what: str, locked: Mapping[str, str], sources: list[list[str]]) -> dict[str, str]:
    """The locked commits and those that were read. StoreError where the lock file names another than was read."""
    found = dict(locked)
    for origin, revision in sources:
        if not revision:
            continue
        if found.setdefault(origin, revision) != revision:
            raise StoreError(
                f"{what}: {origin} was staged at {revision}, but the store's lock file says {found[origin]}. Put the "
                "lock file back, or use a new --store."
            )
    return found


def _token_ids(study: Study, store: Store, data: dict[str, dict[str, str]], tokenizer: Path) -> np.ndarray:
    """Every token id in the study's text; fills the cache of token features and counts tokens on the way."""
    sizes: dict[str, dict[str, tuple[int, int]]] = {}
    found = [np.zeros(0, dtype=np.int64)]
    for name, splits in data.items():
        task, recipe = study.task(name), study.recipe(name)
        for key, data_hash in splits.items():
            _, table = features(store, task, key, data_hash, recipe, tokenizer)
            ids = table["input_ids"].combine_chunks().values.to_numpy()
            sizes.setdefault(name, {})[key] = (table.num_rows, len(ids))
            found.append(np.unique(ids).astype(np.int64))
    store.write("sizes.json", json.dumps(sizes))
    return np.unique(np.concatenate(found))


def _check_unchanged(what: str, before: dict[str, str] | object, now: dict[str, str]) -> None:
    assert isinstance(before, dict)
    changed = sorted(key for key in before if key in now and before[key] != now[key])
    if changed:
        raise StoreError(
            f"{what}: the rows of {', '.join(changed)} differ from those in the store's lock file. Data, limits or "
            "reader changed; use a new --store, so that two versions never mix in one report."
        )
