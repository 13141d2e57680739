"""Files of a store on this machine: verified, downloaded once for all processes, kept while there
is room.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("moto")

import torch

from scaling.encoders.checkpoint import BadWeights, TensorSpec, read_index, write_index, write_shard
from scaling.store import cache as fetching
from scaling.store.cache import (
    INDEX,
    Cache,
    fetch,
    forget_steps,
    hashed_files,
    keep,
    open_cache,
    own_folder,
)
from scaling.store.files import StoreError
from scaling.store.store import Store
from tests.helpers.far_store import far_store
from tests.helpers.s3_server import Objects, object_store

pytestmark = pytest.mark.torch
ROOT = Path(__file__).parents[2]
STEP = "attempts/iii.x/o/weights"


@pytest.fixture(scope="module")
def objects() -> Iterator[Objects]:
    with object_store() as running:
        yield running


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCALING_CACHE", str(tmp_path / "shared"))
    return tmp_path / "shared"


@pytest.fixture
def cache(shared: Path) -> Iterator[Cache]:
    with open_cache() as found:
        yield found


def remote(folder: Path) -> Store:
    """A store that is not local, without a server."""
    return far_store(folder)


def uploaded(
    store: Store, folder: Path, contents: dict[str, bytes], name: str = STEP
) -> dict[str, str]:
    folder.mkdir()
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    return store.upload(folder, name)


def weights(folder: Path, store: Store) -> dict[str, str]:
    """A folder of weights in the store, in two files."""
    folder.mkdir()
    shares = {
        f"model-{n}.safetensors": [TensorSpec(f"t{n}{i}", torch.float32, (50, 3)) for i in "ab"]
        for n in (1, 2)
    }
    hashes: dict[str, str] = {}
    for file, share in shares.items():
        hashes |= write_shard(folder / file, share, (torch.randn(spec.shape) for spec in share))
    write_index(folder, shares, hashes)
    (folder / "config.json").write_text("{}")
    return store.upload(folder, STEP)


# a store that is a folder


def test_a_local_store_is_read_in_place_and_its_weights_by_who_loads_them(
    tmp_path: Path, cache: Cache
) -> None:
    store = Store.open(tmp_path / "store")
    files = weights(tmp_path / "made", store)
    folder = fetch(store, STEP, files, cache)
    assert folder == tmp_path / "store" / STEP and not cache.shared.exists()
    assert hashed_files(folder) == {"model-1.safetensors", "model-2.safetensors"}
    path = folder / "model-2.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    fetch(store, STEP, files, cache)
    with pytest.raises(BadWeights, match=r"model-2\.safetensors: tensor 't2b' has SHA-256"):
        read_index(folder)["t2b"].read()
    path.unlink()
    with pytest.raises(StoreError, match=r"model-2\.safetensors: SHA-256 is missing"):
        fetch(store, STEP, files, cache)


@pytest.mark.parametrize("file", [INDEX, "config.json"])
def test_a_tampered_small_file_is_refused(tmp_path: Path, cache: Cache, file: str) -> None:
    store = Store.open(tmp_path / "store")
    files = weights(tmp_path / "made", store)
    path = tmp_path / "store" / STEP / file
    path.write_text(path.read_text() + " ")
    with pytest.raises(StoreError, match=rf"{file}: SHA-256 is .*, recorded was"):
        fetch(store, STEP, files, cache)


@pytest.mark.parametrize("lacks", ["headers", "sha256", "index"])
def test_weights_without_every_hash_are_hashed_whole(
    tmp_path: Path, cache: Cache, lacks: str
) -> None:
    store = Store.open(tmp_path / "store")
    files = weights(tmp_path / "made", store)
    index = tmp_path / "made" / INDEX
    raw = json.loads(index.read_text())
    if lacks == "sha256":
        # One tensor without a hash makes a file one of which something is not hashed.
        del raw["metadata"]["sha256"]["t1a"]
    else:
        del raw["metadata"]["headers"]
    index.write_text(json.dumps(raw))
    if lacks == "index":
        index.unlink()
        (tmp_path / "store" / STEP / INDEX).unlink()
    files = store.upload(tmp_path / "made", STEP)
    assert fetch(store, STEP, files, cache)
    path = tmp_path / "store" / STEP / "model-1.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        StoreError, match=r"weights/model-1\.safetensors: SHA-256 is .*, recorded was"
    ):
        fetch(store, STEP, files, cache)


# any other store


FETCHER = """
import json, sys, hashlib
from scaling.store import cache as fetching
from scaling.store.cache import fetch, open_cache
from scaling.store.store import Store
uri, name, files, how = sys.argv[1:]
store = Store.open(uri)
class Stuck:
    def __init__(self): self.seen = 0
    def update(self, chunk):
        self.seen += len(chunk)
        if self.seen > 2_000_000:
            print("half", flush=True)
            sys.stdin.readline()
if how == "stuck":
    fetching._CHUNK_BYTES = 1 << 20
    hashlib.sha256 = Stuck
with open_cache() as cache:
    print("ready", flush=True)
    sys.stdin.readline()
    folder = fetch(store, name, json.loads(files), cache)
    print(sum(path.stat().st_size for path in folder.iterdir()), flush=True)
"""


def fetcher(store: Store, files: dict[str, str], how: str = "") -> subprocess.Popen[str]:
    """A process that fetches when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", FETCHER, store.uri, STEP, json.dumps(files), how],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def files_read(requests: list[str]) -> Counter[str]:
    return Counter(
        line.split("?")[0].rsplit("/", 1)[1] for line in requests if line.startswith("GET")
    )


def test_processes_of_a_node_download_each_file_once(
    objects: Objects, tmp_path: Path, shared: Path
) -> None:
    store = Store.open(objects.uri("once"))
    contents = {f"model-{index}.safetensors": os.urandom(6_000_000) for index in range(3)} | {
        "config.json": b"{}"
    }
    files = uploaded(store, tmp_path / "made", contents)
    processes = [fetcher(store, files) for _ in range(3)]
    with objects.counted() as requests:
        for process in processes:
            go(process)
        outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert outputs == ["18000002\n"] * 3
    assert files_read(requests) == dict.fromkeys(contents, 1)
    # A later session of the same machine needs nothing, and hashes nothing.
    with (
        objects.counted() as requests,
        open_cache() as later,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(fetching, "sha256", lambda path: pytest.fail(f"{path} was hashed again"))
        folder = fetch(store, STEP, files, later)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents
    assert requests == []


def test_a_killed_download_blocks_nobody(objects: Objects, tmp_path: Path, shared: Path) -> None:
    store = Store.open(objects.uri("killed"))
    files = uploaded(store, tmp_path / "made", {"model.safetensors": os.urandom(6_000_000)})
    stuck, waiting = fetcher(store, files, "stuck"), fetcher(store, files)
    go(stuck)
    assert stuck.stdout is not None and stuck.stdout.readline() == "half\n"
    assert [path.suffix for path in shared.iterdir() if path.suffix != ".lock"] == [".part"]
    go(waiting)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(timeout=1)
    stuck.send_signal(signal.SIGKILL)
    stuck.communicate()
    assert waiting.communicate(timeout=60)[0] == "6000000\n"
    assert sorted(path.suffix for path in shared.iterdir()) == ["", ".lock"]


def test_a_file_that_changed_in_the_cache_is_downloaded_again(tmp_path: Path, cache: Cache) -> None:
    store = remote(tmp_path / "store")
    files = uploaded(store, tmp_path / "made", {"a.bin": b"content"})
    folder = fetch(store, STEP, files, cache)
    assert folder.is_relative_to(cache.own) and (folder / "a.bin").read_bytes() == b"content"
    cached = cache.shared / files["a.bin"]
    before = cached.stat()
    cached.write_bytes(b"c0ntent")
    # Even with its time stamp put back.
    os.utime(cached, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (fetch(store, STEP, files, cache) / "a.bin").read_bytes() == b"content"
    cached.write_bytes(b"c0ntent")
    store.write(f"{STEP}/a.bin", b"evil")
    with pytest.raises(StoreError, match=r"weights/a\.bin: SHA-256 is .*, recorded was"):
        fetch(store, STEP, files, cache)
    store.delete(f"{STEP}/a.bin")
    with pytest.raises(StoreError, match=r"weights/a\.bin: SHA-256 is missing"):
        fetch(store, STEP, files, cache)


def test_what_nobody_uses_goes_first_and_only_when_room_is_needed(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = remote(tmp_path / "store")
    steps = {}
    for index in range(4):
        name = f"attempts/s{index}/o/weights"
        contents = {"w.bin": os.urandom(1000)}
        steps[name] = uploaded(store, tmp_path / f"made-{index}", contents, name)
        fetch(store, name, steps[name], cache)
        # Used one after another, whatever the resolution of the clock.
        os.utime(cache.shared / f"{steps[name]['w.bin']}.lock", (index, index))
    names = [files["w.bin"] for files in steps.values()]

    def there() -> list[bool]:
        return [(cache.shared / digest).exists() for digest in names]

    forget_steps(cache, {"s0", None})
    assert there() == [True] * 4
    assert [path.name for path in (cache.own / "store/attempts").glob("*/o/*")] == ["weights"]
    # No byte would be free without the three that nobody uses: they may take a third of themselves.
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 0}))
    with open_cache() as other:
        fetch(store, "attempts/s3/o/weights", steps["attempts/s3/o/weights"], other)
        forget_steps(cache, {"s0"})
        uploaded(store, tmp_path / "more", {"x.bin": b"x"}, "more")
        fetch(store, "more", {"x.bin": fetching.sha256(tmp_path / "more/x.bin")}, cache)
        assert there() == [True, False, False, True]
    assert (cache.own / "store/attempts/s0/o/weights/w.bin").read_bytes()


def test_a_shared_folder_that_others_can_write_to_is_refused(tmp_path: Path, cache: Cache) -> None:
    store = remote(tmp_path / "store")
    files = uploaded(store, tmp_path / "made", {"a.bin": b"content"})
    cache.shared.mkdir()
    cache.shared.chmod(0o777)
    with pytest.raises(StoreError, match="can be written by others"):
        fetch(store, STEP, files, cache)


KILLED = """
import os, signal
from scaling.store.cache import own_folder
with own_folder() as folder:
    (folder / "half").write_text("x" * 1000)
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_folder_of_a_killed_process_is_freed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], env=environment, capture_output=True, text=True, timeout=60
    )
    left = Path(killed.stdout.strip())
    assert killed.returncode == -signal.SIGKILL and (left / "half").is_file()
    with own_folder() as alive:
        assert not left.exists()
        with own_folder():
            assert alive.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_here_is_not_downloaded(cache: Cache, tmp_path: Path) -> None:
    store = remote(tmp_path / "store")
    files = uploaded(store, tmp_path / "made", {"a": b"weights", "b": b"others"})
    keep(cache, tmp_path / "made" / "a", files["a"])
    assert not (tmp_path / "made" / "a").exists()
    # Gone from the store: only what lies here already can be had.
    (tmp_path / "store" / STEP / "a").unlink()
    folder = fetch(store, STEP, {"a": files["a"]}, cache)
    assert (folder / "a").read_bytes() == b"weights"
    # A second rank that made the same, and what is damaged here meanwhile.
    (tmp_path / "made" / "a").write_bytes(b"weights")
    keep(cache, tmp_path / "made" / "a", files["a"])
    forget_steps(cache, ())
    (cache.shared / files["a"]).write_bytes(b"weighty")
    with pytest.raises(StoreError, match="missing"):
        fetch(store, STEP, {"a": files["a"]}, cache)
