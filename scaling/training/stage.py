"""`scaling stage`: everything that a study reads, into the store, with hashes in the lock file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scaling.catalogue.readers import DEFECTS
from scaling.data.checks import check_usable
from scaling.data.rows import add_counts, manifest_name, read_table, stage_task
from scaling.data.tokens import features
from scaling.data.transliterate import transliterated
from scaling.encoders.vocabulary import add_pieces
from scaling.encoders.weights import model_revision, stage_model, tokenizer_file
from scaling.kinds import KINDS
from scaling.spec import known
from scaling.store.store import Store, StoreError
from scaling.study.arms import Arm
from scaling.study.identity import Lock, staged_name
from scaling.study.study import Study


def stage(
    study: Study,
    store: Store,
    folder: Path | None,
    progress: Callable[[str], None],
    accept: Collection[str] = (),
) -> Lock:
    """Stage data, token features and models; the lock. Quick where nothing changed.

    BadData for what cannot be read; StoreError if something that a finished step was made from has
    changed under the store.

    Args:
        study: The study.
        store: Where everything goes.
        folder: Where local sources lie; None without one.
        progress: Called with a line of text before each part.
        accept: Names of defects of the data to count instead of refusing.
    """
    for name in accept:
        known("defect", name, DEFECTS)
    store.check_study(study.name)
    before = store.read_lock()
    data: dict[str, dict[str, str]] = {}
    revisions = dict(before.revisions)
    for name in study.used_tasks:
        progress(f"data of {name}")
        data[name] = stage_task(
            study, study.task(name), store, folder, locked=revisions, accept=accept
        )
        _check_unchanged(f"task {name}", before.data.get(name, {}), data[name])
        revisions = _with_sources(
            f"task {name}", revisions, json.loads(store.read(manifest_name(name)))["sources"]
        )
    models: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        vocabularies: dict[tuple[Path, str], _Vocabulary] = {}
        for model in study.models:
            spec = study.model(model)
            revision = model_revision(
                spec, folder, before.models.get(model, {}).get("revision", "")
            )
            tokenizer = tokenizer_file(spec, folder, revision)
            for arm in (None, *(arm for arm in study.arms if arm.new_pieces)):
                key = (tokenizer, arm.name if arm else "")
                if key not in vocabularies:
                    progress(f"tokens for {spec.family}" + (f", {arm.name}" if arm else ""))
                    vocabularies[key] = _vocabulary(
                        study, store, data, tokenizer, arm, Path(temporary)
                    )
                found = vocabularies[key]
                name = staged_name(model, arm) if arm else model
                progress(f"weights of {name}")
                models[name] = stage_model(
                    spec,
                    store,
                    folder,
                    found.used,
                    name=name,
                    tokenizer=found.tokenizer,
                    revision=revision,
                    new=found.new,
                )
    lock = Lock(models=models, data=data, revisions=revisions)
    if lock != before:
        store.write_lock(lock)
    return lock


def _with_sources(what: str, locked: Mapping[str, str], sources: list[list[str]]) -> dict[str, str]:
    """The locked commits and those that were read.

    StoreError where the lock file names another than was read.
    """
    found = dict(locked)
    for origin, revision in sources:
        if not revision:
            continue
        if found.setdefault(origin, revision) != revision:
            raise StoreError(
                f"{what}: {origin} was staged at {revision}, but the store's lock file says"
                f" {found[origin]}. Put the lock file back, or use a new --store."
            )
    return found


@dataclass(frozen=True, kw_only=True)
class _Vocabulary:
    tokenizer: Path
    new: dict[int, list[int]]
    """New id → ids of the pieces that it replaces."""
    used: np.ndarray
    """Ids that occur in the study's text."""


def _vocabulary(
    study: Study,
    store: Store,
    data: dict[str, dict[str, str]],
    tokenizer: Path,
    arm: Arm | None,
    temporary: Path,
) -> _Vocabulary:
    """What a tokenizer has to know, or the one that an arm makes of it."""
    if arm is None:
        arms = [other for other in study.arms if not other.new_pieces]
        used = _token_ids(study, store, data, tokenizer, arms, "sizes.json")
        return _Vocabulary(tokenizer=tokenizer, new={}, used=used)
    grown = temporary / f"{len(list(temporary.iterdir()))}-{arm.name}.json"
    new = add_pieces(tokenizer, _adaptation_text(study, store, arm), arm.new_pieces, grown)
    return _Vocabulary(
        tokenizer=grown, new=new, used=_token_ids(study, store, data, grown, [arm], None)
    )


def _adaptation_text(study: Study, store: Store, arm: Arm) -> Iterator[str]:
    for text in arm.adapt:
        task = study.task(text.task)
        for code in text.languages or task.train_languages:
            rows = read_table(store, task.name, f"train.{code}")
            if code in arm.transliterate:
                rows = transliterated(rows, task.kind, code, study.table(arm.transliterate[code]))
            yield from rows["text"].to_pylist()


def _token_ids(
    study: Study,
    store: Store,
    data: dict[str, dict[str, str]],
    tokenizer: Path,
    arms: Sequence[Arm],
    counts: str | None,
) -> np.ndarray:
    """Every token id in the text that the arms read, ascending, shape (N,).

    The cache of token features is filled on the way. `counts`: file of the store that gets the
    sequences and tokens of every split.
    """
    sizes: dict[str, dict[str, tuple[int, int]]] = {}
    lost: dict[str, dict[str, dict[str, int]]] = {}
    found = [np.zeros(0, dtype=np.int64)]
    for name, splits in data.items():
        task, recipe = study.task(name), study.recipe(name)
        for key, data_hash in splits.items():
            code = key.partition(".")[2]
            tables = {arm.transliterate.get(code, ""): None for arm in arms}
            for table_name in tables:
                table = study.table(table_name) if table_name else None
                rows, made = features(store, task, key, data_hash, recipe, tokenizer, table)
                cut = dict(KINDS[task.kind].counts(rows, made))
                check_usable(task, key, rows, made, cut)
                lost.setdefault(name, {})[key] = cut
                ids = made["input_ids"].combine_chunks().values.to_numpy()
                sizes.setdefault(name, {}).setdefault(key, (made.num_rows, len(ids)))
                found.append(np.unique(ids).astype(np.int64))
    if counts is not None:
        store.write(counts, json.dumps(sizes))
        for name, by_key in lost.items():
            add_counts(store, name, by_key)
    return np.unique(np.concatenate(found))


def _check_unchanged(what: str, before: dict[str, str] | object, now: dict[str, str]) -> None:
    assert isinstance(before, dict)
    changed = sorted(key for key in before if key in now and before[key] != now[key])
    if changed:
        raise StoreError(
            f"{what}: the rows of {', '.join(changed)} differ from those in the store's lock file."
            " Data, limits or reader changed; use a new --store, so that two versions never mix in"
            " one report."
        )
