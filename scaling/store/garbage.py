"""What a store can do without: `scaling gc` says it first, then deletes it. Never touches a step
somebody works on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pyarrow import fs

from scaling.store.leases import EXPIRY_SECONDS, dead_here, store_time
from scaling.store.pending import pending_steps
from scaling.store.store import Store, StoreError
from scaling.study.identity import token_cache_name
from scaling.study.steps import Plan

GROUPS = {
    "weights": "trained weights that no pending step needs",
    "resume": "resume points of steps that are done or gone",
    "attempts": "abandoned attempts",
    "leases": "expired leases",
    "tokens": "token features of data that the lock no longer names",
    "parts": "torn writes",
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
    rest: str
    """Name below the step's folder."""
    num_bytes: int
    at: datetime


def find_garbage(plan: Plan, store: Store) -> list[Garbage]:
    """Everything that can go. StoreError before staging, and while another version of the study
    runs here.
    """
    if plan.provisional:
        raise StoreError(
            f"{store.uri} is not staged, so that nobody can say which of its files are needed"
        )
    now = store_time(store)
    steps = _files_by_step(store, store.listing("steps", recursive=True))
    for step, files in steps.items():
        if step not in plan.steps and _live(files, now):
            raise StoreError(
                f"{step} is being worked on and is not in this study file: another version of the"
                f" study runs on {store.uri}, and may need what this one does not. Wait for it, or"
                " give its study file."
            )
    pending = frozenset(pending_steps(plan, store.scan()))
    found = [
        item
        for step, files in steps.items()
        for item in _step_garbage(step, files, plan, store, pending, now)
    ]
    return [*found, *_stale_tokens(plan, store, now)]


def free(found: Iterable[Garbage], plan: Plan, store: Store) -> list[Garbage]:
    """Delete what was found, each step looked at once more just before; what was deleted."""
    pending = frozenset(pending_steps(plan, store.scan()))
    by_step: dict[str, list[Garbage]] = {}
    for item in found:
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


def _names_now(step: str, plan: Plan, store: Store, pending: frozenset[str]) -> set[str]:
    # Leases first: whoever let go before this look had written its record, and the second listing
    # shows it.
    infos = [
        *store.listing(f"steps/{step}/leases"),
        *store.listing(f"steps/{step}", recursive=True),
    ]
    files = _files_by_step(store, infos).get(step, [])
    return {
        item.name for item in _step_garbage(step, files, plan, store, pending, store_time(store))
    }


def _files_by_step(store: Store, infos: Iterable[fs.FileInfo]) -> dict[str, list[_File]]:
    start = len(store.path("steps")) + 1
    steps: dict[str, list[_File]] = {}
    for info in infos:
        if info.type == fs.FileType.File:
            step, _, rest = info.path[start:].partition("/")
            steps.setdefault(step, []).append(
                _File(rest=rest, num_bytes=info.size or 0, at=info.mtime)
            )
    return steps


def _is_lease(file: _File) -> bool:
    folder, _, name = file.rest.partition("/")
    return folder == "leases" and name.endswith(".json") and not name.startswith(".")


def _expired(file: _File, now: datetime) -> bool:
    owner = file.rest.removeprefix("leases/").removesuffix(".json")
    return (now - file.at).total_seconds() > EXPIRY_SECONDS or dead_here(owner)


def _live(files: Iterable[_File], now: datetime) -> bool:
    return any(_is_lease(file) and not _expired(file, now) for file in files)


def _step_garbage(
    step: str, files: list[_File], plan: Plan, store: Store, pending: frozenset[str], now: datetime
) -> Iterator[Garbage]:
    def item(group: str, rest: str) -> Garbage:
        size = sum(
            file.num_bytes
            for file in files
            if file.rest == rest or file.rest.startswith(f"{rest}/")
        )
        return Garbage(group=group, name=f"steps/{step}/{rest}", step=step, num_bytes=size)

    if _live(files, now):
        return
    for file in files:
        name = file.rest.rpartition("/")[2]
        if _is_lease(file):
            yield item("leases", file.rest)
        elif name.startswith(".part-") and (now - file.at).total_seconds() > EXPIRY_SECONDS:
            yield item("parts", file.rest)
    counts = (
        store.record(step).provenance.attempt if store.exists(f"steps/{step}/record.json") else None
    )
    attempts = {file.rest.split("/")[1] for file in files if file.rest.startswith("attempts/")}
    for attempt in sorted(attempts):
        weights = f"attempts/{attempt}/weights"
        if attempt != counts:
            yield item("attempts", f"attempts/{attempt}")
        elif any(file.rest.startswith(f"{weights}/") for file in files) and not _needed(
            step, plan, pending
        ):
            yield item("weights", weights)
    if step not in pending and any(file.rest.startswith("resume/") for file in files):
        yield item("resume", "resume")


def _needed(step: str, plan: Plan, pending: frozenset[str]) -> bool:
    """Whether somebody still starts from this step's weights, or the study keeps them."""
    if plan.study.keeps_weights(step.partition(".")[0]):
        return True
    return step in plan.steps and any(child in pending for child in plan.children_of(step))


def _stale_tokens(plan: Plan, store: Store, now: datetime) -> Iterator[Garbage]:
    study, lock = plan.study, plan.lock
    # An arm with new pieces has a tokenizer of its own, one that transliterates has features of its
    # own.
    tokenizers = {model["tokenizer"] for model in lock.models.values()}
    used = {
        token_cache_name(study.task(task), study.recipe(task), data_hash, tokenizer, table)
        for task in study.used_tasks
        for key, data_hash in lock.data[task].items()
        for table in (None, *study.tables_of(key.partition(".")[2]))
        for tokenizer in tokenizers
    }
    for info in store.listing("tokens"):
        name = f"tokens/{info.base_name}"
        # A young one may belong to a staging that has not written its lock yet.
        if name not in used and (now - info.mtime).total_seconds() > EXPIRY_SECONDS:
            yield Garbage(group="tokens", name=name, step="", num_bytes=info.size or 0)
