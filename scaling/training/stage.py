"""`scaling stage`: everything that a study reads, into the store, with hashes in the lock file."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from scaling.catalogue.readers import DEFECTS
from scaling.catalogue.task import Key
from scaling.data.checks import check_usable
from scaling.data.rows import add_counts, manifest_name, read_table, stage_task
from scaling.data.tokens import features
from scaling.data.transliterate import transliterated
from scaling.encoders.vocabulary import add_pieces
from scaling.encoders.weights import model_revision, stage_model, tokenizer_file
from scaling.kinds import KINDS
from scaling.spec import known
from scaling.store.cache import own_folder
from scaling.store.files import StoreError
from scaling.store.leases import Lease, claim, new_owner
from scaling.store.paths import STAGING
from scaling.store.store import Store
from scaling.study.arms import Arm
from scaling.study.identity import Lock, canonical_json, staged_name
from scaling.study.study import Study

# Task → `SPLIT.LANGUAGE` → (sequences, tokens, different ones).
Sizes = dict[str, dict[str, tuple[int, int, int]]]
# (task, `SPLIT.LANGUAGE`) → different tokens of one tokenizer, in all scripts that are read.
Different = dict[tuple[str, str], int]
# Task → `SPLIT.LANGUAGE` → what its texts lose as tokens.
Lost = dict[str, dict[str, dict[str, int]]]


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
    with _alone(store, progress) as lease:
        before = store.read_lock()
        lock = _stage(study, store, folder, progress, accept, before)
        # Now, before what cannot be taken back.
        lease.beat()
        if lock != before:
            store.write_lock(lock)
    return lock


@contextmanager
def _alone(store: Store, progress: Callable[[str], None]) -> Iterator[Lease]:
    """Nobody else stages into this store meanwhile: two would delete each other's files."""
    while (lease := claim(store, STAGING, new_owner())) is None:
        progress("waits: another `scaling stage` or `run` stages into this store")
        time.sleep(1.0)
    try:
        yield lease
    finally:
        lease.release()


def _stage(
    study: Study,
    store: Store,
    folder: Path | None,
    progress: Callable[[str], None],
    accept: Collection[str],
    before: Lock,
) -> Lock:
    """The lock; everything that it names is in the store then.

    Args:
        study: The study.
        store: Where everything goes.
        folder: Where local sources lie; None without one.
        progress: Called with a line of text before each part.
        accept: Names of defects of the data to count instead of refusing.
        before: The lock so far.
    """
    data: dict[str, dict[str, str]] = {}
    revisions = dict(before.revisions)
    for name in study.used_tasks:
        progress(f"data of {name}")
        data[name] = stage_task(
            study,
            study.task(name),
            store,
            folder,
            locked=revisions,
            expected=before.data.get(name, {}),
            accept=accept,
        )
        revisions = _with_sources(
            f"task {name}", revisions, store.read_json(manifest_name(name))["sources"]
        )
    models: dict[str, dict[str, str]] = {}
    sizes: Sizes = {}
    most: Different = {}
    lost: Lost = {}
    with own_folder() as temporary:
        vocabularies: dict[tuple[Path, str], _Vocabulary] = {}
        for model in study.models:
            spec = study.model(model)
            revision = model_revision(
                spec, folder, before.models.get(model, {}).get("revision", "")
            )
            tokenizer = tokenizer_file(spec, folder, revision, temporary)
            for arm in (None, *(arm for arm in study.arms if arm.new_pieces)):
                key = (tokenizer, arm.name if arm else "")
                if key not in vocabularies:
                    progress(f"tokens for {spec.family}" + (f", {arm.name}" if arm else ""))
                    vocabularies[key] = _vocabulary(study, store, data, tokenizer, arm, temporary)
                found = vocabularies[key]
                sizes, lost = found.sizes or sizes, found.lost or lost
                for split, count in found.different.items():
                    most[split] = max(most.get(split, 0), count)
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
                    locked=before.models.get(name, {}),
                    check=partial(_check_model, store, name, before.models.get(name, {})),
                )
    counted: Sizes = {
        task: {key: (*counts[:2], most[task, key]) for key, counts in keys.items()}
        for task, keys in sizes.items()
    }
    store.write_json("sizes.json", counted)
    for name, by_key in lost.items():
        add_counts(store, name, by_key)
    return Lock(models=models, data=data, revisions=revisions)


def _check_model(
    store: Store, name: str, locked: Mapping[str, str], found: Mapping[str, str]
) -> None:
    """StoreError if a model is not the one of the lock file and finished steps rest on that."""
    changed = [part for part in ("weights", "tokenizer") if locked.get(part, "") != found[part]]
    if not locked or not changed:
        return
    records = store.records(store.scan().done).values()
    # A step has the hashes of its model in its identity, or the fingerprint of one that has.
    resting = [
        record.step
        for record in records
        if any(f'"{locked[part]}"' in canonical_json(record.identity) for part in changed)
    ]
    if resting:
        raise StoreError(
            f"model {name}: its {' and '.join(changed)} differ from those in the store's lock file,"
            f" from which {len(resting):,} finished steps started ({resting[0]} is one). Model,"
            " data or languages changed; use a new --store, so that two versions never mix in one"
            " report. Nothing was written."
        )


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
    sizes: Sizes
    """What every split has; empty of a tokenizer that an arm made."""
    different: Different
    lost: Lost
    """What the texts of every split lose; empty of a tokenizer that an arm made."""


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
        used, sizes, lost = _token_ids(study, store, data, tokenizer, arms)
        return _Vocabulary(
            tokenizer=tokenizer,
            new={},
            used=used,
            sizes=sizes,
            different=_different(sizes),
            lost=lost,
        )
    grown = temporary / f"{len(list(temporary.iterdir()))}-{arm.name}.json"
    text = _adaptation_text(study, store, data, arm)
    new = add_pieces(tokenizer, text, arm.new_pieces, grown)
    used, sizes, _ = _token_ids(study, store, data, grown, [arm])
    return _Vocabulary(
        tokenizer=grown, new=new, used=used, sizes={}, different=_different(sizes), lost={}
    )


def _different(sizes: Sizes) -> Different:
    return {(task, key): counts[2] for task, keys in sizes.items() for key, counts in keys.items()}


def _adaptation_text(
    study: Study, store: Store, data: Mapping[str, Mapping[str, str]], arm: Arm
) -> Iterator[str]:
    for text in arm.adapt:
        task = study.task(text.task)
        for code in text.languages or task.train_languages:
            key = Key("train", code)
            rows = read_table(store, task.name, key, data[task.name][str(key)])
            if code in arm.transliterate:
                rows = transliterated(rows, task.kind, code, study.table(arm.transliterate[code]))
            yield from rows["text"].to_pylist()


def _token_ids(
    study: Study,
    store: Store,
    data: dict[str, dict[str, str]],
    tokenizer: Path,
    arms: Sequence[Arm],
) -> tuple[np.ndarray, Sizes, Lost]:
    """Every token id in the text that the arms read, ascending, shape (N,), and what was counted.

    The cache of token features is filled on the way.
    """
    sizes: Sizes = {}
    lost: Lost = {}
    found = [np.zeros(0, dtype=np.int64)]
    for name, splits in data.items():
        task, recipe = study.task(name), study.recipe(name)
        for text, data_hash in splits.items():
            key = Key.read(text)
            tables = {arm.transliterate.get(key.language, ""): None for arm in arms}
            own = np.zeros(0, dtype=np.int64)
            for table_name in tables:
                table = study.table(table_name) if table_name else None
                rows, made = features(
                    store, task, key, data_hash, recipe, tokenizer, table, study.architecture
                )
                cut = dict(KINDS[task.kind].counts(rows, made))
                check_usable(task, key, rows, made, cut)
                lost.setdefault(name, {})[text] = cut
                ids = made["input_ids"].combine_chunks().values.to_numpy()
                own = np.union1d(own, ids)
                # Of several scripts the first one's length counts.
                rows_of, tokens_of, _ = sizes.setdefault(name, {}).get(
                    text, (made.num_rows, len(ids), 0)
                )
                sizes[name][text] = (rows_of, tokens_of, len(own))
            found.append(own)
    return np.unique(np.concatenate(found)), sizes, lost
