"""How much is asked of an object store, and a store of layout 1 that is continued."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from scaling.cli.live import show_live
from scaling.store.leases import claim, new_owner
from scaling.store.records import digest_of
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import load_study
from tests.helpers.s3_server import Objects, object_store
from tests.helpers.step_records import record, record_of
from tests.helpers.studies import HARM

Row = dict[str, Any]
ROOT = Path(__file__).parents[1]
DONE = 5000
NEWER = 3
SESSIONS = 60
LOOKS, LOOKS_SECONDS = 5, 150.0
_STATUS = (sys.executable, "-m", "scaling.cli", "status")


def acts(where: Path) -> list[Row]:
    """Requests of one step's life."""
    with object_store() as objects:
        store = Store.open(objects.uri("acts"))
        store.check_study("acts")
        counts = {}
        with objects.counted() as found:
            lease = claim(store, record().step, new_owner())
        assert lease is not None
        counts["claim"] = len(found)
        with objects.counted() as found:
            lease.beat()
        counts["beat"] = len(found)
        with objects.counted() as found:
            assert store.commit(record())
        counts["record"] = len(found)
        lease.release(done=True)
    said = ", ".join(str(counts[name]) for name in ("claim", "beat", "record"))
    return [_row("requests of claim, beat, record", "1, 1, 1", said, said == "1, 1, 1")]


def _old(record: str) -> str:
    """A record as code of layout 1 wrote it: it refuses fields that it does not know."""
    raw = json.loads(record)
    raw["cost"].pop("kwh", None)
    raw["provenance"].pop("curve", None)
    raw.pop("digest", None)
    return json.dumps({**raw, "digest": digest_of(raw)})


def status(where: Path, parent: str) -> list[Row]:
    """`scaling status` of 5,000 steps done, by this code and by the parent's, on one server."""
    content = yaml.safe_load((ROOT / "scaling/catalogue/studies/xtreme_r.yaml").read_text())
    content |= {"name": "large", "seeds": list(range(8))}
    file = where / "large.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True))
    plan = make_plan(load_study(str(file)))
    done = list(plan.steps)[:DONE]
    new, old, seed = "layout-2", "layout-1", where / "seed"
    texts = {step: record_of(plan, step).to_json() for step in done}
    shared = {
        f"sessions/session-{number}.json": _session(done[number::SESSIONS])
        for number in range(SESSIONS)
    }
    Store.open(seed / new).check_study("large")
    _lay(seed / old, {"study.json": json.dumps({"name": "large"}), **shared})
    _lay(seed / old, {f"steps/{step}/record.json": _old(text) for step, text in texts.items()})
    _lay(seed / new, shared)
    _lay(seed / new, {f"records/{step}.json": texts[step] for step in done[:-NEWER]})
    with object_store(seed) as objects:
        first_seconds, first = _status(file, objects, new, ROOT)
        _fill(objects, new, {f"records/{step}.json": texts[step] for step in done[-NEWER:]})
        seconds, requests = _status(file, objects, new, ROOT)
        print(f"  {seconds:.1f} s, {len(requests)} requests", flush=True)
        looks, live_requests = _live(plan, objects, new)
        print(f"  {looks} live looks, {live_requests} requests", flush=True)
        old_seconds, old_requests = 0.0, list[str]()
        if parent:
            with _worktree(where / "parent", parent) as old_code:
                old_seconds, old_requests = _status(file, objects, old, old_code)
    steps = f"{len(done):,} of {len(plan.steps):,} steps"
    rows = [
        _row(
            f"requests of `status`, {steps} done, {NEWER} since the index",
            "≤ 25",
            len(requests),
            len(requests) <= 25,
        ),
        _row(
            f"requests of the very first `status`, {steps}: it makes the index",
            "",
            len(first),
            None,
        ),
        _row(
            "requests of a live look, mean",
            "≤ 3",
            f"{live_requests / max(1, looks):.2f} ({looks} looks)",
            looks > 1 and live_requests <= 3 * looks,
        ),
    ]
    if not parent:
        return rows
    ratio = old_seconds / seconds
    value = (
        f"1/{ratio:.1f}: {seconds:.1f} of {old_seconds:.1f}, which has {len(old_requests):,}"
        f" requests; the very first, {first_seconds:.1f}"
    )
    figure = f"seconds of that `status`, the whole command, against the parent commit {parent}"
    return [*rows, _row(figure, "≤ 1/8", value, ratio >= 8)]


def _session(steps: list[str]) -> str:
    """A session that ended, as both layouts have it."""
    return json.dumps(
        {
            "asked_at": 1_790_000_000.0,
            "start_seconds": 10.0,
            "workers": 2,
            "steps": steps,
            "device_seconds": 7200.0 * len(steps),
        }
    )


def _lay(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _fill(objects: Objects, prefix: str, files: Mapping[str, str]) -> None:
    """Put files past the proxy."""

    def put(item: tuple[str, str]) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{objects.server}/bucket/{prefix}/{item[0]}",
            method="PUT",
            data=item[1].encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=120).close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, files.items()))


def _status(file: Path, objects: Objects, prefix: str, code: Path) -> tuple[float, list[str]]:
    """Seconds and requests of the command, run by the code of a folder."""
    began = time.monotonic()
    with objects.counted() as requests:
        done = subprocess.run(
            [*_STATUS, str(file), "--store", objects.uri(prefix)],
            cwd=code,
            env={**os.environ, "PYTHONPATH": str(code), "COLUMNS": "160"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(f"{number:,} of" in done.stdout for number in (DONE, DONE - NEWER)), done.stdout
    return time.monotonic() - began, requests


def _live(plan: Plan, objects: Objects, prefix: str) -> tuple[int, int]:
    """(looks, their requests) of `status --live` after its first look."""
    store = Store.open(objects.uri(prefix))
    store.check_study("large")
    # No terminal: a display there would take this process's own output too.
    console = Console(file=io.StringIO(), width=160)
    threading.Thread(target=show_live, args=(plan, store, console), daemon=True).start()
    before = len(objects.requests)
    while not any("/leases" in _path(line) for line in objects.requests[before:]):
        time.sleep(0.1)
    # The first look reads all that there is; a slow look is followed by a long pause.
    time.sleep(10.0)
    deadline = time.monotonic() + LOOKS_SECONDS
    with objects.counted() as requests:
        before = len(objects.requests)
        while time.monotonic() < deadline and _looks(objects.requests[before:]) < LOOKS:
            time.sleep(0.2)
    return _looks(requests), len(requests)


def _looks(requests: list[str]) -> int:
    return sum("/leases" in _path(line) for line in requests)


def _path(line: str) -> str:
    return line.replace("%2F", "/")


@contextmanager
def _worktree(path: Path, commit: str) -> Iterator[Path]:
    subprocess.run(
        ["git", "worktree", "add", "--quiet", "--detach", str(path), commit], cwd=ROOT, check=True
    )
    try:
        yield path
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(path)], cwd=ROOT, check=True)


def continued(where: Path, old_store: Path | None, more: int = 3) -> list[Row]:
    """A demo store that the parent commit began: go on for some steps, and run none again."""
    figure = "a demo store of layout 1, begun by the parent commit, continued: steps run again"
    if old_store is None or not old_store.is_dir():
        return [_row(figure, "0", "not run: no --old-store given", False)]
    path = where / "demo"
    shutil.copytree(old_store, path)
    before = _old_files(path)
    done = {name.split("/")[1] for name in before if name.endswith("/record.json")}
    process = subprocess.Popen(
        [sys.executable, "-m", "scaling.cli", "run", str(HARM), "--store", str(path), "--here"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
        stdout=(where / "log").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    deadline = time.monotonic() + 900
    try:
        while len(list(path.glob("records/*.json"))) < more and process.poll() is None:
            assert time.monotonic() < deadline, (where / "log").read_text()[-2000:]
            time.sleep(0.5)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
    new = {file.stem for file in path.glob("records/*.json")}
    tried = {folder.name for folder in path.glob("attempts/*")}
    again = done & (new | tried)
    after = _old_files(path)
    changed = [name for name in before if after.get(name, "gone") != before[name]]
    records_moved = [name for name in changed if name.endswith("/record.json")]
    return [
        _row(
            figure,
            "0",
            f"{len(again)} ({len(done)} done before, {len(new)} more by now)",
            not again and len(new) >= more,
        ),
        _row(
            "records of layout 1 that were moved, changed or deleted",
            "0",
            len(records_moved),
            not records_moved,
        ),
    ]


def _old_files(path: Path) -> dict[str, str]:
    return {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.glob("steps/**/*")
        if file.is_file()
    }


def _row(figure: str, target: str, value: object, met: bool | None) -> Row:
    return {"figure": figure, "target": target, "value": value, "met": met}
