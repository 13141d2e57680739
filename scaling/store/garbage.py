"""What a store can do without. `scaling gc` says it first, then deletes it.

Nothing here touches a step that somebody works on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pyarrow import fs

from scaling.catalogue.task import Key
from scaling.store.leases import CLOCK, EXPIRY_SECONDS, dead_here, store_time
from scaling.store.paths import STEPS, StepFolder, lease_owner, split_step
from scaling.store.pending import pending_steps, weights_needed
from scaling.store.store import PART, PROBE, Scan, Store, StoreError
from scaling.study.identity import token_cache_name
from scaling.study.steps import Plan

GROUPS = {
    "weights": "trained weights that no pending step needs",
    "resume": "resume points of steps that are done or gone",
    "attempts": "abandoned attempts",
    "leases": "expired leases",
    "tokens": "token features of data that the lock no longer names",
    "parts": "torn writes, and questions that nobody waits for",
}


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """One file or folder that can go."""

    group: str
    name: str
    step: str
    """'' for what belongs to no step."""
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class _File:
    """A file of a step, as a listing shows it."""

    name: str
    """In the store."""
    owner: str | None
    """Whose lease it is; None for every other file."""
    num_bytes: int
    changed_at: datetime
    """By the store's clock."""

    def is_below(self, folder: str) -> bool:
        """Whether the file is this one, or lies in this folder."""
        return self.name == folder or self.name.startswith(f"{folder}/")


def find_garbage(plan: Plan, store: Store) -> list[Garbage]:
    """Everything that can go.

    StoreError before staging, and while another version of the study runs in this store.
    """
    if plan.provisional:
        raise StoreError(
            f"{store.uri} is not staged, so that nobody can say which of its files are needed"
        )
    now = store_time(store)
    steps = _files_by_step(store, store.listing(STEPS, recursive=True))
    for step, files in steps.items():
        if step not in plan.steps and _is_live(files, now):
            raise StoreError(
                f"{step} is being worked on and is not in this study file: another version of the"
                f" study runs on {store.uri}, and may need what this one does not. Wait for it, or"
                " give its study file."
            )
    pending = frozenset(pending_steps(plan, store.scan()))
    garbage = [
        item
        for step, files in steps.items()
        for item in _step_garbage(step, files, plan, store, pending, now)
    ]
    return [*garbage, *_stale_tokens(plan, store, now), *_torn_elsewhere(store, now)]


def free(garbage: Iterable[Garbage], plan: Plan, store: Store) -> list[Garbage]:
    """Delete what was found. Looks at each step once more just before; what was deleted."""
    pending = frozenset(pending_steps(plan, store.scan()))
    by_step: dict[str, list[Garbage]] = {}
    for item in garbage:
        by_step.setdefault(item.step, []).append(item)
    freed = []
    for step, items in by_step.items():
        still = (
            {item.name for item in items} if not step else _names_now(step, plan, store, pending)
        )
        for item in items:
            if item.name in still:
                store.delete(item.name)
                freed.append(item)
    return freed


def drop_replaced(plan: Plan, store: Store, scan: Scan) -> None:
    """Delete the weights of collapsed trainings that are not needed any more.

    A worker deletes weights by the plan that its session began with. In that plan a training that
    collapsed later still has the children that now start from its re-run.
    """
    if plan.study.reruns:
        pending = frozenset(pending_steps(plan, scan))
        for step in plan.collapsed & scan.weights & plan.steps.keys():
            if not weights_needed(plan, step, pending.__contains__):
                store.delete_weights(store.record(step))


def _names_now(step: str, plan: Plan, store: Store, pending: frozenset[str]) -> set[str]:
    """Names of what can go of one step, by a fresh look."""
    folder = StepFolder(step)
    # Leases first: whoever let go before this look had written its record, and the second listing
    # shows it.
    infos = [*store.listing(folder.leases), *store.listing(folder.name, recursive=True)]
    files = _files_by_step(store, infos).get(step, [])
    return {
        item.name for item in _step_garbage(step, files, plan, store, pending, store_time(store))
    }


def _files_by_step(store: Store, infos: Iterable[fs.FileInfo]) -> dict[str, list[_File]]:
    steps: dict[str, list[_File]] = {}
    for info in infos:
        name = store.name_of(info)
        inside = split_step(name)
        if info.type == fs.FileType.File and inside is not None:
            step, below = inside
            file = _File(
                name=name,
                owner=lease_owner(below),
                num_bytes=info.size or 0,
                changed_at=info.mtime,
            )
            steps.setdefault(step, []).append(file)
    return steps


def _is_old(at: datetime, now: datetime) -> bool:
    """Whether a file was not touched for as long as a lease lasts."""
    return (now - at).total_seconds() > EXPIRY_SECONDS


def _is_live(files: Iterable[_File], now: datetime) -> bool:
    """Whether somebody holds a lease that has not expired."""
    return any(
        file.owner is not None and not _is_old(file.changed_at, now) and not dead_here(file.owner)
        for file in files
    )


def _step_garbage(
    step: str, files: list[_File], plan: Plan, store: Store, pending: frozenset[str], now: datetime
) -> Iterator[Garbage]:
    def item(group: str, name: str) -> Garbage:
        size = sum(file.num_bytes for file in files if file.is_below(name))
        return Garbage(group=group, name=name, step=step, num_bytes=size)

    def holds(name: str) -> bool:
        return any(file.is_below(name) for file in files)

    if _is_live(files, now):
        return
    folder = StepFolder(step)
    for file in files:
        if file.owner is not None:
            yield item("leases", file.name)
        elif file.name.rpartition("/")[2].startswith(PART) and _is_old(file.changed_at, now):
            yield item("parts", file.name)
    counting = store.counting_attempt(step)
    prefix = f"{folder.attempts}/"
    attempts = {
        file.name.removeprefix(prefix).partition("/")[0]
        for file in files
        if file.name.startswith(prefix)
    }
    for attempt in sorted(attempts):
        weights = folder.weights(attempt)
        if attempt != counting:
            yield item("attempts", folder.attempt(attempt))
        elif holds(weights) and not weights_needed(plan, step, pending.__contains__):
            yield item("weights", weights)
    if step not in pending and holds(folder.resume):
        yield item("resume", folder.resume)


def _torn_elsewhere(store: Store, now: datetime) -> Iterator[Garbage]:
    """What a process that was killed left outside of steps: half-written files, and questions."""
    found = [
        (store.name_of(info), info.size or 0, info.mtime)
        for folder in (CLOCK, PROBE)
        for info in store.listing(folder)
        if info.is_file
    ]
    root = store.local
    for path in root.rglob(f"{PART}*") if root is not None else ():
        # Whoever wrote it may have ended since.
        with suppress(FileNotFoundError):
            state = path.lstat()
            at = datetime.fromtimestamp(state.st_mtime, UTC)
            found.append((path.relative_to(root or path).as_posix(), state.st_size, at))
    for name, num_bytes, at in sorted(set(found)):
        if split_step(name) is None and _is_old(at, now):
            yield Garbage(group="parts", name=name, step="", num_bytes=num_bytes)


def _stale_tokens(plan: Plan, store: Store, now: datetime) -> Iterator[Garbage]:
    study, lock = plan.study, plan.lock
    # An arm with new pieces has a tokenizer of its own. One that transliterates has features of its
    # own.
    tokenizers = {model["tokenizer"] for model in lock.models.values()}
    used = {
        token_cache_name(
            study.task(task),
            study.recipe(task),
            data_hash,
            tokenizer,
            table,
            study.architecture.reading,
        )
        for task in study.used_tasks
        for key, data_hash in lock.data[task].items()
        for table in (None, *study.tables_of(Key.read(key).language))
        for tokenizer in tokenizers
    }
    for info in store.listing("tokens"):
        name = store.name_of(info)
        # A young one may belong to a staging that has not written its lock yet.
        if name not in used and _is_old(info.mtime, now):
            yield Garbage(group="tokens", name=name, step="", num_bytes=info.size or 0)
