"""Two writers who want the same keys at the same moment: how many were told that they won.

`python -m tests.helpers.racers MODULE:OPENER URI KEYS` is one of them.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

from scaling.store.files import Files

ROOT = Path(__file__).parents[2]
ACTS = ("create", "replace")


def tags(files: Files) -> dict[str, str]:
    """What is there to be replaced."""
    return {entry.name: entry.tag for entry in files.entries("race")}


def won(files: Files, keys: int, before: dict[str, str] | None) -> list[int]:
    """Keys of `race/` that this writer created, or of which it replaced the version `before`."""
    found = []
    for key in range(keys):
        name, body = f"race/{key}", uuid.uuid4().hex.encode()
        tag = (
            files.create(name, body) if before is None else files.replace(name, body, before[name])
        )
        if tag is not None:
            found.append(key)
    return found


def raced_by_processes(opener: str, uri: str, keys: int) -> dict[str, Counter[int]]:
    """`create` and `replace` → key → how many of two processes were told that they won.

    `opener` is `MODULE:NAME`, called with the URI.
    """
    found = {act: Counter[int]() for act in ACTS}
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.racers", opener, uri, str(keys)],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(2)
    ]
    try:
        for act in ACTS:
            for writer in writers:
                assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
            for writer in writers:
                assert writer.stdin is not None
                writer.stdin.write("go\n")
                writer.stdin.flush()
            for writer in writers:
                assert writer.stdout is not None
                found[act].update(int(key) for key in writer.stdout.readline().split())
        assert [writer.wait(60) for writer in writers] == [0, 0]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    return found


def raced_by_threads(opener: Callable[[], Files], keys: int) -> dict[str, Counter[int]]:
    """The same of two threads, where what is written is seen in this process alone."""
    found = {act: Counter[int]() for act in ACTS}
    both = [opener(), opener()]
    for act in ACTS:
        before = tags(both[0]) if act == "replace" else None

        def run(files: Files, act: str = act, before: dict[str, str] | None = before) -> None:
            found[act].update(won(files, keys, before))

        threads = [threading.Thread(target=run, args=(files,)) for files in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return found


def main() -> None:
    """One of two processes: it lists what is there, and waits for its turn, twice."""
    module, _, name = sys.argv[1].partition(":")
    files: Files = attrgetter(name)(importlib.import_module(module))(sys.argv[2])
    for act in ACTS:
        before = tags(files) if act == "replace" else None
        print("ready", flush=True)
        sys.stdin.readline()
        print(*won(files, int(sys.argv[3]), before), flush=True)


if __name__ == "__main__":
    main()
