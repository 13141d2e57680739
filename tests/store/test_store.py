"""All-or-nothing files, and folders that are no store."""

from __future__ import annotations

import re
import resource
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.catalogue.task import Key
from scaling.data.rows import data_name, manifest_name
from scaling.store.cache import Cache, fetch, open_cache
from scaling.store.files import StoreAway, StoreError
from scaling.store.leases import claim
from scaling.store.paths import StepFolder
from scaling.store.store import Store, pause_after
from scaling.study.identity import Lock
from tests.helpers.far_store import far_store
from tests.helpers.step_records import STEP, record


def test_first_record_stays(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.commit(record())
    other = record()
    assert not store.commit(replace(other, cost=replace(other.cost, wall_seconds=9.0)))
    assert store.record(STEP) == record()
    assert store.scan().done == {STEP}


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    sizes = (10, 3_000_000)
    store.write("f", b"0" * sizes[0])
    stop = threading.Event()

    def rewrite() -> None:
        for index in range(40):
            store.write("f", bytes([48 + index % 2]) * sizes[index % 2])
        stop.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    while not stop.is_set():
        content = store.read("f")
        assert len(content) in sizes
        assert len(set(content)) == 1
    writer.join()


def test_lock_round_trip(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    model = {"weights": "a", "tokenizer": "c", "revision": ""}
    lock = Lock(models={"m": model}, data={"t": {"test.en": "b"}}, revisions={"hub:x": "d"})
    store.write_lock(lock)
    assert store.read_lock() == lock


def test_of_two_who_write_the_lock_one_is_told(tmp_path: Path) -> None:
    def lock(text: str) -> Lock:
        return Lock(models={}, data={"t": {"test.en": text}})

    one, other = Store.open(tmp_path), Store.open(tmp_path)
    for turn in range(2):
        one.read_lock(), other.read_lock()
        one.write_lock(lock(f"one {turn}"))
        with pytest.raises(StoreError, match=r"lock\.json was written by somebody else meanwhile"):
            other.write_lock(lock("other"))
    one.write_lock(lock("again"))
    assert other.read_lock() == lock("again")


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises((StoreError, OSError)):
        Store.open(tmp_path / "file" / "store").check_study("s")


def test_a_store_that_became_read_only_is_refused() -> None:
    # Nobody, root included, can make a folder there.
    with pytest.raises(StoreError, match="/proc/store cannot be written to"):
        Store.open("/proc/store").check_writable()


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(StoreError, match="ftp://"):
        Store.open("ftp://x/y")


BAD_NAMES = [
    "",
    ".",
    "..",
    "/",
    "/etc/x",
    "../../x",
    "models/../../x",
    "models/..",
    "models/./x",
    "models//x",
    "models/",
    "models\\..\\x",
    "models/a\nb",
    "models/a\x00b",
    "models/a\x7fb",
]
GOOD_NAMES = [
    "study.json",
    "models/xlm-r-base+swahili/config.json",
    "attempts/iii.m.t.s0.abc/host-4026531836.123.0a1b2c3d/weights/manifest.json",
    "attempts/a/o/.rank-0/x..y",
    "data/t/test.zh-Hant.parquet",
    "models/m/größe é.json",
]


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(params=["local", "remote"])
def inner(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store inside a folder where other files lie: its own one, and one that is no folder."""
    for name in ("x/theirs", "store/models/m/ours", "models/x/theirs"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("keep")
    if request.param == "local":
        return Store.open(tmp_path / "store")
    return far_store(tmp_path / "store")


def test_names_of_a_store_lie_below_it(inner: Store) -> None:
    for name in GOOD_NAMES:
        assert not inner.exists(name)
        inner.write(name, "content")
        assert inner.read(name) == b"content"
    found = {entry.name for entry in inner.entries("models")}
    assert {name for name in GOOD_NAMES if name.startswith("models/")} < found


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_could_lead_out_is_refused_and_nothing_is_touched(
    inner: Store, tmp_path: Path, name: str
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / "file").write_text("new")
    before = files_below(tmp_path)
    for act in (
        lambda: inner.local_path(name),
        lambda: inner.exists(name),
        lambda: inner.read(name),
        lambda: inner.write(name, "bad"),
        lambda: inner.create(name, "bad"),
        lambda: inner.delete(name),
        lambda: inner.entries(name) if name else inner.read(name),
        lambda: inner.names(name) if name else inner.read(name),
        lambda: inner.delete_folder(name),
        lambda: inner.replace(name, "bad", "tag"),
        lambda: inner.digest(name),
        lambda: inner.download(name, made / "file"),
        lambda: inner.upload(made, name),
        lambda: inner.upload(made, name, move=True),
    ):
        with pytest.raises(StoreError, match=re.escape(repr(name))):
            act()
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("part", ["../../../x", "..", "", "a\\b", "a\nb"])
def test_steps_attempts_owners_and_files_are_names_too(
    inner: Store, tmp_path: Path, part: str
) -> None:
    before = files_below(tmp_path)
    with open_cache() as cache:
        for act in (
            lambda: inner.commit(record(part)),
            lambda: inner.record(part),
            lambda: inner.delete_folder(StepFolder(STEP).attempt(part)),
            lambda: inner.delete_folder(StepFolder(part).attempt("o")),
            lambda: claim(inner, part, "o"),
            lambda: inner.exists(f"leases/{part}/o.json"),
            lambda: inner.exists(manifest_name(part)),
            lambda: inner.exists(data_name(part, Key("test", "en"))),
            lambda: inner.exists(f"models/{part}/manifest.json"),
            lambda: fetch(inner, "models/m", {"config.json": "0" * 64, part: "0" * 64}, cache),
            lambda: fetch(inner, f"models/{part}", {"config.json": "0" * 64}, cache),
        ):
            with pytest.raises(StoreError, match="is no name of a file in a store"):
                act()
        assert not (cache.own / "store").exists()
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("move", [False, True])
@pytest.mark.parametrize("file", ["b\\c", "b\nc"])
def test_a_folder_with_a_bad_file_name_is_not_uploaded_in_part(
    inner: Store, tmp_path: Path, file: str, move: bool
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    for name in ("a", file):
        (made / name).write_text("new")
    before = files_below(tmp_path)
    with pytest.raises(StoreError, match="is no name"):
        inner.upload(made, "models/m", move=move)
    assert files_below(tmp_path) == before


def test_looking_takes_a_twentieth_of_the_time_at_most() -> None:
    assert pause_after(0.01, 1.0) == 1.0
    assert pause_after(3.0, 1.0) == 60.0


def test_links_in_a_folder_store_are_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    store.commit(record())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "theirs").write_text("keep")
    attempts = tmp_path / "store" / "attempts" / STEP
    attempts.parent.mkdir()
    attempts.symlink_to(elsewhere)
    for act in (
        lambda: store.entries("attempts"),
        lambda: store.delete(f"attempts/{STEP}/theirs"),
        lambda: store.delete_folder(f"attempts/{STEP}"),
        lambda: store.read(f"attempts/{STEP}/theirs"),
        lambda: store.write(f"attempts/{STEP}/ours", ""),
    ):
        with pytest.raises(StoreError, match=rf"{STEP} is a link; a store has none"):
            act()
    assert files_below(elsewhere) == {"theirs": b"keep"}
    # The store itself may be reached through one.
    attempts.unlink()
    (tmp_path / "way").symlink_to(tmp_path / "store")
    assert Store.open(tmp_path / "way").record(STEP) == record()


@pytest.mark.parametrize("name", ["a b", ".hidden", "-x", "a:b", "é"])
def test_a_name_outside_the_pattern_is_read_and_not_made(tmp_path: Path, name: str) -> None:
    store = Store.open(tmp_path)
    for act in (
        lambda: claim(store, name, "o"),
        lambda: claim(store, STEP, name),
        lambda: store.commit(record(name)),
    ):
        with pytest.raises(StoreError, match="is no name of a step or of who works on it"):
            act()
    store.write(f"records/{name}.{STEP}.json", record(f"{name}.{STEP}").to_json())
    assert store.record(f"{name}.{STEP}").step == f"{name}.{STEP}"
    assert store.scan().done == {f"{name}.{STEP}"}


def test_a_store_that_is_gone_is_not_a_new_one(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    store.check_study("s")
    store.commit(record())
    lease = claim(store, STEP, "o")
    assert lease is not None
    # A disk that drops out leaves the empty folder that it was mounted on.
    (tmp_path / "store").rename(tmp_path / "away")
    for place in ("nothing", "a mount point"):
        if place == "a mount point":
            (tmp_path / "store").mkdir()
        for act in (
            lambda: store.exists(f"records/{STEP}.json"),
            lambda: store.read("lock.json"),
            lambda: store.read_lock(),
            lambda: store.scan(),
            lambda: store.write("logs/s/0.log", ""),
            lambda: store.commit(record()),
            lambda: store.upload(tmp_path / "away", "models/m"),
            lambda: fetch(store, "models/m", {"config.json": "0" * 64}, Cache(tmp_path, tmp_path)),
            lease.beat,
        ):
            with pytest.raises(StoreAway, match=r"store is gone \(is its disk mounted\?\)"):
                act()
    assert not list((tmp_path / "store").iterdir())
    (tmp_path / "store").rmdir()
    (tmp_path / "away").rename(tmp_path / "store")
    assert store.scan().done == {STEP}
    # Nobody took it over meanwhile.
    lease.beat()
    lease.release()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write("rows.parquet", "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        for act in (store.write, store.create):
            with pytest.raises(StoreAway, match=r"/rows.parquet: File too large"):
                act("rows.parquet", b"0" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_below(tmp_path) == {"rows.parquet": b"old"}


@pytest.mark.parametrize(
    "text",
    [
        '{"t": {"test.de": [1, "2"]}}',
        '{"t": {"test.de": [1, -2]}}',
        '{"t": {"test.de": [1, 2.5]}}',
        '{"t": {"test.de": [1, NaN]}}',
        '{"t": {"test.de": [1, true]}}',
        '{"t": {"test.de": [1, 2, -3]}}',
        '{"t": {"test.de": [1, 2, 3, 4]}}',
        '{"t": {"test.de": {}}}',
        '{"t": []}',
        "[]",
        "null",
        "{",
        "[" * 99999,
    ],
)
def test_sizes_that_nobody_counted_are_named(tmp_path: Path, text: str) -> None:
    store = Store.open(tmp_path)
    store.write("sizes.json", text)
    with pytest.raises(
        StoreError, match=r"sizes\.json is broken .* delete it, and `scaling stage`"
    ):
        store.read_sizes()


@pytest.mark.parametrize("text", ["[]", "{}", "null", "{", '{"name": 3}', '{"name": null}'])
def test_a_store_that_does_not_say_whose_it_is_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(StoreError, match=r"study\.json is broken .* restore it, or write"):
        Store.open(tmp_path).check_study("s")
    assert files_below(tmp_path) == {"study.json": text.encode()}


def test_a_store_of_a_later_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"name": "s", "layout": 9}')
    with pytest.raises(
        StoreError, match="has the layout 9, this version reads 1 and 2: take the version"
    ):
        Store.open(tmp_path).check_study("s")
    assert list(files_below(tmp_path)) == ["study.json"]


@pytest.mark.parametrize(
    "text",
    [
        '{"models": {"m": {"weights": "a"}}, "data": {}}',
        '{"models": {"m": {"weights": "a", "tokenizer": null}}, "data": {}}',
        '{"models": {"m": "a"}, "data": {}}',
        '{"models": {}, "data": {"t": {"test.en": 3}}}',
        '{"models": {}, "data": {}, "revisions": {"hub:x": 3}}',
        '{"models": {}, "data": {}, "revisions": []}',
        '{"models": []}',
        "[]",
        "null",
        "[" * 99999,
    ],
)
def test_what_is_no_lock_is_named(tmp_path: Path, text: str) -> None:
    store = Store.open(tmp_path)
    store.write("lock.json", text)
    with pytest.raises(StoreError, match=r"lock\.json is broken .* restore it, or use a new"):
        store.read_lock()


def test_what_is_altered_in_a_json_file_is_seen(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    sizes = {"t": {"test.de": [12, 345, 67]}}
    store.write_json("sizes.json", sizes)
    assert store.read_json("sizes.json") == sizes
    assert store.read_sizes() == {"t": {"test.de": (12, 345, 67)}}
    path = tmp_path / "sizes.json"
    path.write_text(path.read_text().replace("345", "346"))
    with pytest.raises(StoreError, match=r"sizes.json is broken \(its digest is another\): delete"):
        store.read_sizes()
    # Those of older versions have none, and count no different tokens.
    path.write_text('{"t": {"test.de": [12, 346]}}')
    assert store.read_sizes() == {"t": {"test.de": (12, 346, 0)}}


@pytest.mark.parametrize(
    "uri",
    [
        "s3://KEY:sec/ret@bucket/prefix",
        "s3://KEY:secret@bucket",
        "s3://bucket/x?secret_key=secret",
        "s3://bucket/x?region=us&access_key=secret",
        "s3://bucket/x?secret",
        "s3://bucket/x?endpoint_override=http://me:secret@host",
        "s3://bucket/x?endpoint_override=http://me:secret%40host",
        "gs://bucket/x?token=secret",
        "ftp://me:secret@host/x",
    ],
)
def test_a_uri_with_a_secret_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(StoreError, match="may hold no secret") as refused:
        Store.open(uri)
    said = str(refused.value)
    assert all(part not in said for part in ("sec/ret", "=secret", ":secret", "KEY"))
    assert "secret of its query" not in said


@pytest.mark.parametrize("digest", ["../../x", "0" * 63, "A" * 64, "", "/etc/x"])
def test_a_digest_that_could_be_a_path_is_refused(
    inner: Store, tmp_path: Path, digest: str
) -> None:
    before = files_below(tmp_path)
    with open_cache() as cache, pytest.raises(StoreError, match="is no SHA-256"):
        fetch(inner, "models/m", {"config.json": digest}, cache)
    assert files_below(tmp_path) == before
