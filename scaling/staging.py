"""`scaling stage`: everything that a study reads, from its sources into the store, with hashes in the lock file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scaling.data.staging import stage_task
from scaling.data.tokens import features
from scaling.plan import Lock
from scaling.pretrained.staging import stage_model, tokenizer_file
from scaling.store import Store, StoreError
from scaling.study import Study


def stage(study: Study, store: Store, folder: Path | None, progress: Callable[[str], None]) -> Lock:
    """Stage data, token features and models; the lock. Quick where nothing changed.

    StoreError if something that a finished step was made from has changed under the store.
    """
    store.check_study(study.name)
    before = store.read_lock()
    data: dict[str, dict[str, str]] = {}
    for name in study.used_tasks:
        progress(f"data of {name}")
        data[name] = stage_task(study, study.task(name), store, folder)
        _check_unchanged(f"task {name}", before.data.get(name, {}), data[name])
    used: dict[Path, np.ndarray] = {}
    for model in study.models:
        tokenizer = tokenizer_file(study.model(model), folder)
        if tokenizer not in used:
            progress(f"tokens for {study.model(model).family}")
            used[tokenizer] = _token_ids(study, store, data, tokenizer)
    models = {}
    for model in study.models:
        spec = study.model(model)
        progress(f"weights of {model}")
        models[model] = stage_model(spec, store, folder, used[tokenizer_file(spec, folder)])
    lock = Lock(models=models, data=data)
    if lock != before:
        store.write_lock(lock)
    return lock


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
