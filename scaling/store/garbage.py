"""What a store can do without. `scaling gc` says it first, then deletes it.

Nothing here touches a step that somebody works on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from scaling.catalogue.task import Key
from scaling.store.files import Entry, StoreError
from scaling.store.layout_one import CLOCK, STEPS, OldFolder, live_old_steps
from scaling.store.leases import EXPIRY_SECONDS, store_time, working
from scaling.store.paths import ATTEMPTS, PROBE, RESUME, WEIGHTS, StepFolder, step_in
from scaling.store.pending import pending_steps, weights_needed
from scaling.store.store import Scan, Store
from scaling.study.identity import token_cache_name
from scaling.study.steps import Plan

# From when on nobody can still be writing what is unfinished.
TORN_SECONDS = 12 * 3600.0
GROUPS = {
    "weights": "trained weights that no pending step needs",
    "resume": "resume points of steps that are done or gone",
    "attempts": "abandoned attempts",
    "leases": "leases of steps that are done or gone",
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
    whole: str = ""
    """A file that says that this is whole, and goes first."""


def find_garbage(plan: Plan, store: Store) -> list[Garbage]:
    """Everything that can go.

    StoreError before staging, and while another version of the study runs in this store.
    """
    if plan.provisional:
        raise StoreError(
            f"{store.uri} is not staged, so that nobody can say which of its files are needed"
        )
    now = store_time(store)
    leases, old_leases = store.leases(), store.old_steps().leases
    live = _live(store, leases, old_leases, now)
    for step in sorted(live):
        if step not in plan.steps:
            raise StoreError(
                f"{step} is being worked on and is not in this study file: another version of the"
                f" study runs on {store.uri}, and may need what this one does not. Wait for it, or"
                " give its study file."
            )
    pending = frozenset(pending_steps(plan, store.scan()))
    garbage = [
        item
        for step, files in _files_by_step(store).items()
        if step not in live
        for item in _step_garbage(step, files, plan, store, pending)
    ]
    return [
        *garbage,
        *_stale_leases([*leases.values(), *old_leases], live | pending, now),
        *_torn(store, now),
        *_stale_tokens(plan, store, now),
    ]


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
                _delete(store, item)
                freed.append(item)
    return freed


def _delete(store: Store, item: Garbage) -> None:
    if item.group == "parts":
        for entry in store.unfinished() or []:
            if entry.name == item.name:
                store.discard(entry)
    if item.group in ("parts", "leases", "tokens"):
        store.delete(item.name)
        return
    if item.whole:
        # First what says that weights are whole: a deletion cut short leaves no half of them.
        store.delete(item.whole)
    store.delete_folder(item.name)


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
    # Leases first: whoever let go before this look had written its record, and what is read after
    # them shows it.
    leases, now = store.leases(), store_time(store)
    old_leases = store.old_steps().leases
    live = _live(store, leases, old_leases, now)
    if step in live:
        return set()
    found = [
        *_step_garbage(step, _files_of(store, step), plan, store, pending),
        *_stale_leases([*leases.values(), *old_leases], live | pending, now),
    ]
    return {item.name for item in found}


def _files_by_step(store: Store) -> dict[str, list[Entry]]:
    """What every step has beside its record."""
    folders = [ATTEMPTS, WEIGHTS, RESUME, *([STEPS] if store.has_old else [])]
    steps: dict[str, list[Entry]] = {}
    for folder in folders:
        for entry in store.entries(folder):
            steps.setdefault(step_in(entry.name), []).append(entry)
    return steps


def _files_of(store: Store, step: str) -> list[Entry]:
    """What one step has beside its record."""
    folder = StepFolder(step)
    folders = [folder.attempts, f"{WEIGHTS}/{step}", folder.resume]
    folders += [OldFolder(step).name] if store.has_old else []
    return [entry for name in folders for entry in store.entries(name)]


def _is_old(at: datetime, now: datetime) -> bool:
    """Whether a file was not touched for as long as a lease lasts."""
    return (now - at).total_seconds() > EXPIRY_SECONDS


def _live(
    store: Store, leases: Mapping[str, Entry], old: Iterable[Entry], now: datetime
) -> frozenset[str]:
    """Steps that somebody works on, in whatever layout."""
    at_work = {item.step for item in working(store, leases.values(), now)}
    return frozenset(at_work | set(live_old_steps(old, now)))


def _stale_leases(
    leases: Iterable[Entry], used: frozenset[str], now: datetime
) -> Iterator[Garbage]:
    """Those of steps that are done or gone; the others' count how often they changed hands."""
    for entry in leases:
        step = step_in(entry.name)
        if step not in used and _is_old(entry.at, now):
            yield Garbage(group="leases", name=entry.name, step=step, num_bytes=entry.size)


def _torn(store: Store, now: datetime) -> Iterator[Garbage]:
    """What a process that was killed left: half-written files, and questions to the store."""
    torn = [
        entry
        for entry in store.unfinished() or []
        if (now - entry.at).total_seconds() > TORN_SECONDS
    ]
    asked = [
        entry
        for folder in (PROBE, CLOCK)
        for entry in store.entries(folder)
        if _is_old(entry.at, now)
    ]
    for entry in [*torn, *asked]:
        yield Garbage(group="parts", name=entry.name, step="", num_bytes=entry.size)


def _step_garbage(
    step: str, files: list[Entry], plan: Plan, store: Store, pending: frozenset[str]
) -> Iterator[Garbage]:
    def item(group: str, name: str, whole: str = "") -> Garbage:
        size = sum(file.size for file in files if _is_below(file, name) or file.name == whole)
        return Garbage(group=group, name=name, step=step, num_bytes=size, whole=whole)

    def holds(name: str) -> bool:
        return any(_is_below(file, name) for file in files)

    counting = store.counting_attempt(step)
    for folder in (StepFolder(step), OldFolder(step)):
        prefix = f"{folder.attempts}/"
        attempts = {
            file.name.removeprefix(prefix).partition("/")[0]
            for file in files
            if file.name.startswith(prefix)
        }
        for attempt in sorted(attempts):
            weights, whole = folder.weights(attempt), folder.weights_manifest(attempt)
            if attempt != counting:
                yield item("attempts", folder.attempt(attempt), whole)
            elif holds(weights) and not weights_needed(plan, step, pending.__contains__):
                yield item("weights", weights, whole)
        if step not in pending and holds(folder.resume):
            yield item("resume", folder.resume)


def _is_below(file: Entry, folder: str) -> bool:
    return file.name.startswith(f"{folder}/")


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
    for entry in store.entries("tokens"):
        # A young one may belong to a staging that has not written its lock yet.
        if entry.name not in used and _is_old(entry.at, now):
            yield Garbage(group="tokens", name=entry.name, step="", num_bytes=entry.size)
