"""The faults that one process of `scaling run --here` meets, by name.

Each strikes at a moment that the seed chooses, mends what a user would mend, and runs again.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.fault_case import HANG_SECONDS, Case, Kind, Missed, disk, fill, remount, stop_for
from scaling.store.paths import StepFolder, step_in

# Of a disk on which the study has room.
DISK_MB = 64


def flip(path: Path, case: Case) -> None:
    """Turn one bit of a file, in place."""
    content = bytearray(path.read_bytes())
    at = case.random.randrange(len(content))
    content[at] ^= 1 << case.random.randrange(8)
    path.write_bytes(content)


def some(case: Case, pattern: str) -> Path:
    """One of the store's files that fit."""
    found = sorted(path for path in case.store_path.glob(pattern) if path.is_file())
    if not found:
        raise Missed(f"no {pattern}")
    return case.random.choice(found)


def _signalled(case: Case, number: int, times: int = 1) -> None:
    process = case.begin().start()
    case.until(case.moment(), process)
    for _ in range(times):
        case.end(process, number)
        time.sleep(0.05)
    code = case.join(process)
    if number != signal.SIGKILL and times == 1 and code == 0:
        raise Missed("over")
    if number != signal.SIGKILL and times == 1:
        said = case.said()
        if code != 128 + number or "interrupted; " not in said or "Traceback" in said:
            case.complaints.append(f"signal {number}: {code}, {said[-300:]!r}")
    case.finish()


def _killed_again(case: Case) -> None:
    case.begin()
    for done in (0, 1, 3):
        process = case.start()
        case.until(done, process)
        case.end(process, signal.SIGKILL)
        case.join(process)
    case.finish()


def _suspended(case: Case) -> None:
    process = case.begin().start()
    case.until(case.moment(), process)
    stop_for(case, process, 5.0)
    case.join(process)
    case.finish()


def _limited(case: Case, what: int, value: int) -> None:
    """A limit of the system that a running process meets from a moment on."""
    process = case.begin().start()
    case.until(case.moment(), process)
    assert process.pid is not None
    if what == resource.RLIMIT_AS:
        status = Path(f"/proc/{process.pid}/statm").read_text()
        value = int(status.split()[0]) * resource.getpagesize()
    try:
        resource.prlimit(process.pid, what, (value, value))
    except ProcessLookupError as error:
        raise Missed("over") from error
    case.join(process)
    case.finish()


def _full(case: Case, seconds: float | None) -> None:
    """The disk of the store is filled; room again after the run has ended, or after seconds."""
    with disk(case.folder / "disk", DISK_MB) as path:
        case.store_path = path / "store"
        process = case.begin().start()
        case.until(case.moment(), process)
        filler = fill(path)
        process.join(HANG_SECONDS if seconds is None else seconds)
        filler.unlink()
        case.join(process)
        _judged_there(case)


def _judged_there(case: Case) -> None:
    case.finish()
    case.verdict = case.judge()


def _full_from_the_start(case: Case) -> None:
    with disk(case.folder / "disk", DISK_MB) as path:
        case.store_path = path / "store"
        case.begin(staged=False)
        filler = fill(path)
        # Room for some of what staging writes.
        os.truncate(filler, filler.stat().st_size - case.random.choice((0, 40_000, 150_000)))
        before = len(case.said())
        code = case.join(case.start())
        said = case.said()[before:]
        if code not in (1, 2) or "Traceback" in said or "No space left" not in said:
            case.complaints.append(f"a full disk: {code}, {said[-400:]!r}")
        filler.unlink()
        _judged_there(case)


def _read_only(case: Case, seconds: float) -> None:
    with disk(case.folder / "disk", DISK_MB) as path:
        case.store_path = path / "store"
        process = case.begin().start()
        case.until(case.moment(), process)
        remount(path, "ro")
        time.sleep(seconds)
        remount(path, "rw")
        case.join(process)
        _judged_there(case)


def _read_only_from_the_start(case: Case) -> None:
    with disk(case.folder / "disk", DISK_MB) as path:
        case.store_path = path / "store"
        process = case.begin().start()
        case.until(3, process)
        case.end(process, signal.SIGKILL)
        case.join(process)
        remount(path, "ro")
        case.refused(str(case.store_path), "Read-only")
        remount(path, "rw")
        _judged_there(case)


def _gone(case: Case, seconds: float) -> None:
    """The store's disk is not there for some seconds; an empty folder is in its place."""
    process = case.begin().start()
    case.until(case.moment(), process)
    away = case.store_path.with_name("away")
    os.rename(case.store_path, away)
    case.store_path.mkdir()
    time.sleep(seconds)
    grown = sorted(path.name for path in case.store_path.iterdir())
    if grown:
        case.complaints.append(f"a second store grew in its place: {grown}")
        subprocess.run(["rm", "-r", str(case.store_path)], check=True)
    else:
        case.store_path.rmdir()
    os.rename(away, case.store_path)
    case.join(process)
    case.finish()


def _full_temporary(case: Case) -> None:
    with disk(case.folder / "small", 1) as path:
        case.environment["TMPDIR"] = str(path)
        process = case.begin().start()
        case.until(case.moment(), process)
        filler = fill(path)
        case.join(process)
        filler.unlink()
        case.finish()
        left = [found.name for found in path.iterdir()]
        if left:
            case.complaints.append(f"left in the temporary folder: {left}")


def _damaged(case: Case, pattern: str, damage: Callable[[Path, Case], None], heal: str) -> None:
    """A file of the store is damaged between two runs; `heal`: what its refusal says to do."""
    process = case.begin().start()
    case.until(case.random.choice((1, 3, 4) if "record" in pattern else (0, 1, 3, 4)), process)
    case.end(process, signal.SIGKILL)
    case.join(process)
    path = some(case, pattern)
    whole = path.read_bytes()
    damage(path, case)
    inside = path.relative_to(case.store_path).parts
    if heal == "delete":
        # What it started from may have to be made again as well.
        known = inside[0] in ("records", "attempts", "weights", "collapsed")
        step = step_in("/".join(inside)) if known else None
        while step is not None:
            case.again.add(step)
            step = case.calm.plan.steps[step].parent
        case.refused("/".join(inside))
        path.unlink()
    elif heal == "restore":
        case.refused("/".join(inside))
        path.write_bytes(whole)
    elif heal == "retrain":
        case.again.add(inside[1])
    case.finish()


def _cut(path: Path, case: Case) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: case.random.choice((0, 1, len(content) // 2, len(content) - 1))])


def _gone_file(path: Path, case: Case) -> None:
    path.unlink()


def _of_another(path: Path, case: Case) -> None:
    """The record of another step."""
    others = [found for found in case.store_path.glob("records/*.json") if found != path]
    if not others:
        raise Missed("one record only")
    path.write_bytes(case.random.choice(sorted(others)).read_bytes())


def _emptied(path: Path, case: Case) -> None:
    path.write_text(case.random.choice(("", "[]", "{}", '{"a": 1}', "\x00")))


def _resume_of_another(case: Case, damage: Callable[[Path, Case], None]) -> None:
    """A killed training's resume point is not what it was, or not of this code."""
    process = case.begin().start()
    deadline = time.monotonic() + 100
    while not list(case.store_path.glob("resume/*/manifest.json")):
        if process.exitcode is not None or time.monotonic() > deadline:
            raise Missed("no resume point")
        time.sleep(0.005)
    case.end(process, signal.SIGKILL)
    case.join(process)
    damage(some(case, "resume/*/**/*"), case)
    case.finish()


def _foreign(path: Path, case: Case) -> None:
    """Of another layout, or made up to lead elsewhere."""
    manifest = some(case, "resume/*/manifest.json")
    raw = json.loads(manifest.read_text())
    forged = (
        {**raw, "workers": 4},
        {**raw, "format": 1},
        [],
        {**raw, "by_rank": [{"../../x": "0" * 64}]},
        {**raw, "at": "../../.."},
        {**raw, "by_rank": 5},
    )
    manifest.write_text(json.dumps(case.random.choice(forged)))


def _refused_stage(case: Case) -> None:
    """Somebody stages an edited study into the store while a run works on it."""
    process = case.begin().start()
    case.until(case.random.choice((0, 1)), process)
    edited = case.folder / "edited.yaml"
    edited.write_text(case.calm.file.read_text().replace("train: 48", "train: 40"))
    before = len(case.said())
    code = case.join(case.start("stage", str(edited), "--store", str(case.store_path)))
    if code != 2 or "Nothing was written" not in case.said()[before:]:
        case.complaints.append(f"staging another study: {code}, {case.said()[before:][-300:]!r}")
    case.join(process)
    if case.codes[-1] != 0:
        case.complaints.append("the run was disturbed by a staging that was refused")
    case.finish()


def _asked_to_stop(case: Case, how: tuple[str, ...] = ()) -> None:
    process = case.begin().start()
    case.until(case.random.choice((0, 1)), process)
    case.command("cancel", *how)
    if case.join(process) == 0:
        raise Missed("over")
    case.finish()


def _looked_at(case: Case) -> None:
    process = case.begin().start()
    case.until(case.random.choice((0, 1, 3)), process)
    for words in (("gc", "--yes"), ("status",)):
        case.command(*words)
    if case.join(process) != 0:
        case.complaints.append("a run was disturbed by who looked at it")
    case.finish()


def _strays(case: Case) -> None:
    """Files that nobody knows, in every folder, and a request that is none."""
    process = case.begin().start()
    case.until(case.random.choice((0, 1, 3)), process)
    folders = sorted(path for path in case.store_path.rglob("*") if path.is_dir())
    strays = []
    for folder in case.random.sample(folders, min(12, len(folders))):
        for name in ("stray", "stray.json", ".stray.json"):
            (folder / name).write_text(case.random.choice(("", "{", "[]", "\x00\xff")))
            strays.append(folder / name)
    (case.store_path / "stop.json").write_text("{")
    case.command("status", expect=(0, 2))
    case.join(process)
    for stray in strays:
        stray.unlink(missing_ok=True)
    (case.store_path / "stop.json").unlink()
    case.finish()


def _wrong_clock(case: Case, hours: float) -> None:
    process = case.begin().start(shift_seconds=hours * 3600)
    case.until(case.moment(), process)
    case.end(process, signal.SIGKILL)
    case.join(process)
    case.join(case.start(shift_seconds=-hours * 3600))
    case.finish()


def _left_by_a_dead_machine(case: Case) -> None:
    """A lease of a machine that is no more, and one that nobody can read."""
    case.begin()
    step = case.random.choice(list(case.calm.plan.steps))
    lease = case.store_path / StepFolder(step).lease
    lease.parent.mkdir(exist_ok=True)
    lease.write_text(case.random.choice(("", "{}", "[", "\x00")))
    os.utime(lease, (time.time() - 300, time.time() - 300))
    case.finish()


KINDS: dict[str, Kind] = {
    "killed": partial(_signalled, number=signal.SIGKILL),
    "killed three times": _killed_again,
    "Ctrl-C": partial(_signalled, number=signal.SIGINT),
    "Ctrl-C three times": partial(_signalled, number=signal.SIGINT, times=3),
    "SIGTERM": partial(_signalled, number=signal.SIGTERM),
    "SIGHUP": partial(_signalled, number=signal.SIGHUP),
    "suspended": _suspended,
    "no more memory": partial(_limited, what=resource.RLIMIT_AS, value=0),
    "no more open files": partial(_limited, what=resource.RLIMIT_NOFILE, value=3),
    "files too large": partial(_limited, what=resource.RLIMIT_FSIZE, value=4096),
    "disk full": partial(_full, seconds=None),
    "disk full for a moment": partial(_full, seconds=1.0),
    "disk full from the start": _full_from_the_start,
    "disk read-only for a moment": partial(_read_only, seconds=2.0),
    "disk read-only from the start": _read_only_from_the_start,
    "disk gone for a moment": partial(_gone, seconds=1.0),
    "disk gone": partial(_gone, seconds=12.0),
    "temporary folder full": _full_temporary,
    "bit flipped in rows": partial(_damaged, pattern="data/*/*.parquet", damage=flip, heal=""),
    "rows gone": partial(_damaged, pattern="data/*/*.parquet", damage=_gone_file, heal=""),
    "manifest of rows damaged": partial(
        _damaged, pattern="data/*/manifest.json", damage=_emptied, heal=""
    ),
    "bit flipped in tokens": partial(_damaged, pattern="tokens/*", damage=flip, heal=""),
    "bit flipped in a staged model": partial(_damaged, pattern="models/*/*", damage=flip, heal=""),
    "bit flipped in trained weights": partial(
        _damaged, pattern="attempts/*/*/weights/*", damage=flip, heal="retrain"
    ),
    "record cut": partial(_damaged, pattern="records/*.json", damage=_cut, heal="delete"),
    "record of another step": partial(
        _damaged, pattern="records/*.json", damage=_of_another, heal="delete"
    ),
    "lock file damaged": partial(_damaged, pattern="lock.json", damage=_cut, heal="restore"),
    "study.json damaged": partial(_damaged, pattern="study.json", damage=_emptied, heal="restore"),
    "register damaged": partial(
        _damaged, pattern="registered/*.json", damage=_emptied, heal="restore"
    ),
    "sizes damaged": partial(_damaged, pattern="sizes.json", damage=_emptied, heal=""),
    "session damaged": partial(_damaged, pattern="sessions/*", damage=_emptied, heal=""),
    "resume point damaged": partial(_resume_of_another, damage=flip),
    "resume point cut": partial(_resume_of_another, damage=_cut),
    "resume point of somebody else": partial(_resume_of_another, damage=_foreign),
    "another study staged meanwhile": _refused_stage,
    "asked to stop": _asked_to_stop,
    "asked to stop now": partial(_asked_to_stop, how=("--now",)),
    "gc and status meanwhile": _looked_at,
    "stray files": _strays,
    "clock two hours ahead, then behind": partial(_wrong_clock, hours=2.0),
    "clock two hours behind, then ahead": partial(_wrong_clock, hours=-2.0),
    "leases of dead machines": _left_by_a_dead_machine,
}
