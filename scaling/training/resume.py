"""Resume points: where a training stands in the middle of a step.

Each lies in a folder of its own below the step; a manifest with hashes, written last, names the one
that counts. It is tied to a number of workers, a ZeRO stage and the rows that are trained. A torn,
tampered or differently laid out one is not used: the step starts over, which costs time and changes
no number.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from scaling.catalogue.hardware import Placement
from scaling.encoders.world import World
from scaling.planning.saving import planned_save_seconds
from scaling.store.cache import Cache, fetch
from scaling.store.files import StoreError
from scaling.store.paths import StepFolder
from scaling.store.store import Store

# Plain files since 2; those before are pickles, which are not read. Since 3 with what is known of
# each update.
FORMAT = 3
# What each rank sends to learn how fast sending is, and from how long a save on that is worth it.
PROBE_BYTES, WORTH_SECONDS = 64_000_000, 30.0


@dataclass(frozen=True, kw_only=True)
class ResumePoint:
    """Where a training found itself, and how it saves itself."""

    found: Path | None
    """A whole resume point of this very layout, as a folder of this machine; None without one."""
    save: Callable[[Callable[[Path], None], int], None]
    """Called by all ranks with a function that fills a folder, and the updates that are done."""
    save_seconds: Callable[[], float] = lambda: 0.0
    """What saving takes, the same on all ranks: last time's, or the size over a rate."""
    clock: Callable[[], float] = time.monotonic
    """Seconds; rank 0's decides when a resume point is due."""


NO_RESUME_POINT = ResumePoint(found=None, save=lambda fill, update: None)
"""Of a training that is not to be resumed: none is found, and saving does nothing."""


def resume_point(
    step: str,
    store: Store,
    world: World,
    placement: Placement,
    cache: Cache,
    total_params: int,
    rows: int,
    token: int,
) -> ResumePoint:
    """The resume point of a step on this process group.

    Args:
        step: Id of the step.
        store: Where its resume points lie.
        world: The ranks, all of which call this.
        placement: Its ZeRO stage counts.
        cache: Where a resume point is fetched to, and filled before its upload to a remote store.
        total_params: Parameters of the model, for the size of what is saved.
        rows: Of the word embedding that are trained; 0 for all.
        token: Of the lease: a holder that slept while another one took over writes over nothing of
            that one's.
    """
    name = StepFolder(step).resume
    layout = {
        "workers": world.size,
        "zero_stage": placement.zero_stage,
        "rows": rows,
        "format": FORMAT,
    }
    took: list[float] = []

    def save(fill: Callable[[Path], None], update: int) -> None:
        started = time.monotonic()
        target = f"{name}/{update}.{token}"
        # Every rank fills a folder of its own and uploads that, on whatever machine it is. Nobody
        # else's: a rank of a try that was given up may live for some seconds more.
        folder = (
            store.local_path(name) or cache.own / "resume"
        ) / f".rank-{world.rank}-{uuid4().hex[:8]}"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            fill(folder)
            files = store.upload(folder, target, move=True)
        finally:
            # Half of one is of no use, and a full disk may be why it is half.
            shutil.rmtree(folder, ignore_errors=True)
        by_rank = world.gather(files)
        if world.rank == 0:
            own = f"{update}.{token}"
            there = [part.rstrip("/") for part in store.names(name)]
            manifest = {"at": update, "token": token, "by_rank": by_rank, **layout}
            if _write_manifest(name, store, manifest):
                stale = [part for part in there if part not in ("manifest.json", own)]
            else:
                stale = [own]
            for part in stale:
                if _token_of(part) <= token:
                    store.delete_folder(f"{name}/{part}")
        world.barrier()
        took.append(time.monotonic() - started)

    def save_seconds() -> float:
        if not took:
            assumed = planned_save_seconds(total_params, world.size)
            if assumed > WORTH_SECONDS:
                rate = measured_rate(store, name, world, cache)
                assumed = planned_save_seconds(total_params, world.size, rate)
            took.append(assumed)
        return float(world.from_first(took[-1]))

    return ResumePoint(
        found=_find(name, store, world, layout, cache), save=save, save_seconds=save_seconds
    )


def measured_rate(store: Store, name: str, world: World, cache: Cache) -> float:
    """Bytes/s of a rank's way into the store while all ranks send, that of the slowest.

    Args:
        store: Where to.
        name: The folder in which resume points lie; what is sent is deleted again.
        world: The ranks, all of which call this.
        cache: Where what is sent is made, for a remote store.
    """
    own = f".probe-{world.rank}-{uuid4().hex[:8]}"
    folder = (store.local_path(name) or cache.own / "resume") / f"{own}-here"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # Random, so that nothing on the way makes it smaller.
        (folder / "bytes").write_bytes(os.urandom(PROBE_BYTES))
        world.barrier()
        started = time.monotonic()
        store.upload(folder, f"{name}/{own}")
        seconds = time.monotonic() - started
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        store.delete_folder(f"{name}/{own}")
    return min(world.gather(PROBE_BYTES / max(seconds, 1e-3)))


class _Manifest(BaseModel):
    """What says that a resume point is whole: written last, by the first rank."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    at: int
    token: int
    by_rank: list[dict[str, str]]
    workers: int
    zero_stage: int
    rows: int
    format: int


def _read_manifest(name: str, store: Store) -> _Manifest | None:
    """None where there is none, or another thing: a resume point that cannot be read is none."""
    try:
        return _parse_manifest(store.read(f"{name}/manifest.json"))
    except FileNotFoundError:
        return None


def _parse_manifest(text: bytes) -> _Manifest | None:
    try:
        found = _Manifest.model_validate_json(text)
    except ValidationError:
        return None
    return found if len(found.by_rank) == found.workers else None


def _write_manifest(name: str, store: Store, manifest: Mapping[str, Any]) -> bool:
    """Have this resume point be the one that counts, unless whoever took over wrote one."""
    file = f"{name}/manifest.json"
    body = json.dumps({**manifest})
    try:
        content = store.read_tagged(file)
    except FileNotFoundError:
        return store.create(file, body) is not None
    found = _parse_manifest(content.body)
    if found is not None and found.token > manifest["token"]:
        return False
    return store.replace(file, body, content.tag) is not None


def _token_of(part: str) -> int:
    """Whose resume point a folder is; 0 for what a try left half."""
    update, _, token = part.partition(".")
    return int(token) if update.isdigit() and token.isdigit() else 0


def _find(
    name: str, store: Store, world: World, layout: Mapping[str, int], cache: Cache
) -> Path | None:
    manifest = world.from_first(_read_manifest(name, store) if world.rank == 0 else None)
    if manifest is None or {key: getattr(manifest, key) for key in layout} != layout:
        return None
    folder: Path | None
    try:
        # DeepSpeed reads what this rank wrote and what rank 0 wrote for all.
        files = {**manifest.by_rank[0], **manifest.by_rank[world.rank]}
        folder = fetch(store, f"{name}/{manifest.at}.{manifest.token}", files, cache)
    except (StoreError, OSError):
        folder = None
    # All or none: half a process group cannot resume.
    return folder if all(world.gather(folder is not None)) else None
