"""Writers that race, writes that are late, and a network that fails."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from obstore.store import MemoryStore

from scaling.store import leases
from scaling.store.buckets import Bucket, Patience, read_uri
from scaling.store.files import Files, StoreError
from scaling.store.leases import claim, new_owner
from scaling.store.local_files import LocalFiles
from scaling.store.object_files import ObjectFiles
from scaling.store.store import Store
from tests.helpers.azure_server import azure_store, azurite
from tests.helpers.gcs_server import gcs_store
from tests.helpers.racers import raced_by_processes, raced_by_threads
from tests.helpers.s3_server import (
    CONFLICT,
    REFUSED,
    SLOW_DOWN,
    Objects,
    answer,
    object_store,
)
from tests.helpers.step_records import record

Row = dict[str, Any]
IN_BUCKET = "scaling.store.object_files:ObjectFiles.at"
LATE_TRIES = 20
FAULT_ROUNDS = 10
# Instead of 90 and 20 seconds, so that 20 tries end.
EXPIRY, BEAT = 1.5, 0.3
LATE = 4.0


def folder(path: str) -> LocalFiles:
    """Opened by `tests.helpers.racers`."""
    return LocalFiles(Path(path), "study.json")


def races(where: Path, keys: int) -> list[Row]:
    """The same keys wanted by two at once, on every storage that runs here."""
    found = {"a folder": raced_by_processes(f"{__name__}:folder", str(where / "folder"), keys)}
    whole = ObjectFiles(
        bucket=Bucket(scheme="s3", name="memory", root="r"), connect=_same(MemoryStore())
    )
    found["memory (threads)"] = raced_by_threads(lambda: whole, keys)
    with object_store() as objects:
        found["S3 (moto, locked)"] = raced_by_processes(IN_BUCKET, objects.uri("r"), keys)
    with gcs_store() as uri:
        name = "GCS (a server of our own, by the XML API's reference)"
        found[name] = raced_by_processes(IN_BUCKET, uri.format("r"), keys)
    if azurite() is not None:
        (where / "azurite").mkdir()
        with azure_store(where / "azurite") as uri:
            found["Azure (azurite)"] = raced_by_processes(IN_BUCKET, uri.format("r"), keys)
    rows = []
    for name, acts in found.items():
        for act, counts in acts.items():
            twice = sum(count > 1 for count in counts.values())
            nobody = keys - len(counts)
            rows.append(
                _row(
                    f"{keys:,} keys, {act} by two at once, {name}: won twice; by nobody",
                    "0; 0",
                    f"{twice}; {nobody}",
                    twice == nobody == 0,
                )
            )
    if azurite() is None:
        rows.append(_row("Azure (azurite): not installed, not run", "named", "not run", None))
    return rows


def _same(whole: Any) -> Callable[..., Any]:
    return lambda *_: whole


@contextmanager
def _short_leases() -> Iterator[None]:
    before = leases.EXPIRY_SECONDS, leases.BEAT_SECONDS
    leases.EXPIRY_SECONDS, leases.BEAT_SECONDS = EXPIRY, BEAT
    try:
        yield
    finally:
        leases.EXPIRY_SECONDS, leases.BEAT_SECONDS = before


def late(where: Path) -> list[Row]:
    """Driver A is cut off right before its record's PUT; B takes over; A's PUT lands then."""
    told_both, replaced, taken, late_beats = 0, 0, 0, 0
    with object_store() as objects, objects.beside() as slow, _short_leases():
        for turn in range(LATE_TRIES):
            step = record().step
            ours = Store.open(slow.uri(f"late{turn}"))
            theirs = Store.open(objects.uri(f"late{turn}"))
            lease = claim(ours, step, new_owner_elsewhere("a"))
            assert lease is not None
            slow.stalling = LATE
            said: list[bool] = []
            putting = threading.Thread(target=_commit, args=(ours, "a", said))
            putting.start()
            deadline, other = time.monotonic() + 20, None
            while other is None and time.monotonic() < deadline:
                other = claim(theirs, step, new_owner_elsewhere("b"))
                time.sleep(0.05)
            taken += other is not None
            won = theirs.commit(_by("b"))
            before = theirs.read_tagged(f"records/{step}.json").tag
            putting.join()
            slow.stalling = 0.0
            time.sleep(0.5)
            told_both += won and said == [True]
            replaced += theirs.read_tagged(f"records/{step}.json").tag != before
            # A beat that was sent last is refused so late.
            late_beats += not _noticed(lease, LATE + 2.0)
            lease.release()
            if other is not None:
                other.release()
    title = f"a PUT {LATE:.0f} s late, expiry {EXPIRY} s, {LATE_TRIES} tries"
    return [
        _row(f"{title}: records replaced", "0", replaced, replaced == 0),
        _row(f"{title}: both told that theirs counts", "0", told_both, told_both == 0),
        _row(
            f"{title}: taken over by the other; a holder that did not notice",
            f"{LATE_TRIES}; 0",
            f"{taken}; {late_beats}",
            taken == LATE_TRIES and late_beats == 0,
        ),
    ]


def _noticed(lease: leases.Lease, seconds: float) -> bool:
    """Whether a holder finds out within so many seconds that its step was taken over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            lease.check()
        except leases.LeaseLost:
            return True
        time.sleep(0.1)
    return False


def new_owner_elsewhere(host: str) -> str:
    """An owner whose machine is another: nobody here can see whether it lives."""
    return f"{host}-elsewhere.{new_owner().split('.', 1)[1]}"


def _by(attempt: str) -> Any:
    made = record()
    return replace(made, provenance=replace(made.provenance, attempt=attempt))


def _commit(store: Store, attempt: str, said: list[bool]) -> None:
    said.append(store.commit(_by(attempt)))


def faults(where: Path) -> list[Row]:
    """Every operation under every fault: right, or an OSError."""
    counts: Counter[str] = Counter()
    by_fault: dict[str, Counter[str]] = {}
    with object_store() as objects:
        for name, strike in _FAULTS.items():
            found = by_fault[name] = Counter()
            chance = random.Random(name)
            for turn in range(FAULT_ROUNDS):
                files = ObjectFiles(
                    bucket=read_uri(objects.uri(f"faults/{name}/{turn}")),
                    patience=Patience(small=0.7, bulk=2.0, first=1.0, tries=0.8),
                )
                for verdict in _acts(files, where, lambda: strike(objects, chance)):  # noqa: B023
                    found[verdict] += 1
            objects.breaking.clear()
            objects.losing = objects.hanging = objects.cutting = 0
            counts += found
    wrong = counts["wrong"]
    told = "; ".join(
        f"{name}: {found['right']} right, {found['OSError']} OSError"
        for name, found in by_fault.items()
    )
    return [
        _row(
            "operations under answers dropped, lost, 409, 412, 500, 503, hangs, bodies cut:"
            " neither right nor an OSError",
            "0",
            f"{wrong} of {counts.total():,} ({told})",
            wrong == 0,
        )
    ]


def _acts(files: Files, where: Path, strike: Callable[[], None]) -> Iterator[str]:
    """`right`, `OSError` or `wrong` of each operation, with a fault before it."""
    source, target = where / "source", where / "target"
    body = os.urandom(100_000)
    source.write_bytes(body)
    digest = hashlib.sha256(body).hexdigest()
    name = uuid.uuid4().hex
    tag: list[str] = []

    def created() -> bool:
        made = files.create(name, b"1")
        tag.extend([made] if made else [])
        return made is not None

    def replaced() -> bool:
        made = files.replace(name, b"2" + os.urandom(8), tag[0])
        return made is not None and files.replace(name, b"3", tag[0]) is None

    acts: list[Callable[[], bool]] = [
        created,
        lambda: files.create(name, b"other") is None,
        lambda: files.read(name).body == b"1",
        lambda: [entry.name for entry in files.entries("")] == [name],
        lambda: files.names("") == [name],
        lambda: files.read_if_changed(name, tag[0]) is None,
        replaced,
        lambda: files.replace(name, b"4", tag[0]) is None,
        lambda: files.read(name).body[:1] == b"2",
        lambda: files.upload(source, "big") == digest,
        lambda: files.download("big", target) == digest and target.read_bytes() == body,
        lambda: files.delete("big") is None,
        lambda: bool(files.write("last", b"5")),
    ]
    for act in acts:
        strike()
        try:
            yield "right" if act() else "wrong"
        except OSError:
            yield "OSError"
            if not tag:
                return


def _breaks(what: bytes, most: int = 3) -> Callable[[Objects, random.Random], None]:
    def strike(objects: Objects, chance: random.Random) -> None:
        objects.breaking[:] = [what] * chance.randint(1, most)

    return strike


def _lose(objects: Objects, chance: random.Random) -> None:
    objects.losing = chance.randint(1, 2)


def _hang(objects: Objects, chance: random.Random) -> None:
    objects.hanging = 1


def _cut(objects: Objects, chance: random.Random) -> None:
    objects.cutting = chance.randint(1, 3)


_FAULTS = {
    "dropped": _breaks(b""),
    "lost": _lose,
    "409": _breaks(answer("409 Conflict", CONFLICT), most=1),
    "412": _breaks(answer("412 Precondition Failed", REFUSED), most=1),
    "500": _breaks(answer("500 Internal Server Error", b"")),
    "503": _breaks(answer("503 Slow Down", SLOW_DOWN)),
    "hangs": _hang,
    "cut": _cut,
}


def ignored(where: Path) -> list[Row]:
    """A server that takes no notice of conditions."""
    with object_store() as objects:
        store = Store.open(objects.uri("x", bucket="ignoring"))
        try:
            store.check_writable()
            said = "accepted"
        except StoreError as error:
            said = str(error)
    met = "s3://ignoring/x" in said and "ignored" in said and "\n" not in said
    return [
        _row("a server that ignores conditions", "refused by name", said.partition(": two")[0], met)
    ]


def _row(figure: str, target: str, value: object, met: bool | None) -> Row:
    return {"figure": figure, "target": target, "value": value, "met": met}
