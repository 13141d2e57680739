"""Files in a bucket: the protocol on every server that runs here, writers that race, a network that
fails, credentials, and what is refused.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import re
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto")

from obstore.store import MemoryStore

from scaling.store import multipart, object_files
from scaling.store.buckets import Bucket, Patience, asked_region, read_uri
from scaling.store.files import StoreError
from scaling.store.multipart import unfinished_uploads
from scaling.store.object_files import ObjectFiles
from tests.helpers.azure_server import azure_store, azurite
from tests.helpers.gcs_server import gcs_store
from tests.helpers.racers import raced_by_processes, raced_by_threads
from tests.helpers.s3_server import (
    CONFLICT,
    DENIED,
    REFUSED,
    SKEWED,
    SLOW_DOWN,
    Objects,
    answer,
    object_store,
)

OPENER = "scaling.store.object_files:ObjectFiles.at"
HASTY = Patience(small=1.0, bulk=5.0, first=1.0, tries=2.0)


@pytest.fixture(scope="module")
def objects() -> Iterator[Objects]:
    with object_store() as running:
        yield running


@pytest.fixture(scope="module")
def gcs() -> Iterator[str]:
    with gcs_store() as uri:
        yield uri


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if azurite() is None:
        pytest.skip("azurite is not installed: npm install azurite, and AZURITE=its azurite-blob")
    with azure_store(tmp_path_factory.mktemp("azurite")) as uri:
        yield uri


def in_memory() -> ObjectFiles:
    whole = MemoryStore()
    bucket = Bucket(scheme="s3", name="memory", root="a/b")
    return ObjectFiles(bucket=bucket, connect=lambda *_: whole)


@pytest.fixture(params=["memory", "s3", "gcs", "azure"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectFiles:
    if request.param == "memory":
        return in_memory()
    found = request.getfixturevalue("objects" if request.param == "s3" else request.param)
    prefix = f"own {uuid.uuid4().hex[:8]}/é"
    if isinstance(found, Objects):
        return ObjectFiles.at(found.uri(prefix.replace(" ", "%20")))
    return ObjectFiles.at(found.format(prefix.replace(" ", "%20")))


@pytest.fixture
def s3(objects: Objects) -> Iterator[ObjectFiles]:
    """A prefix of its own, asked by somebody in a hurry."""
    objects.breaking.clear()
    objects.holding.clear()
    uri = objects.uri(uuid.uuid4().hex)
    yield ObjectFiles(bucket=read_uri(uri), patience=HASTY)
    objects.always, objects.losing, objects.hanging, objects.cutting = None, 0, 0, 0


# The protocol


def test_a_file_is_made_once_and_replaced_by_its_tag(files: ObjectFiles) -> None:
    files.reach()
    files.try_conditions("probe/x")
    assert files.entries("") == []
    first = files.create("a/b", b"1")
    assert first is not None
    assert files.create("a/b", b"2") is None
    assert files.create("a/b", b"1") == first
    assert files.read_if_changed("a/b", first) is None
    second = files.replace("a/b", b"22", first)
    assert second is not None and second != first
    assert files.replace("a/b", b"3", first) is None
    changed = files.read_if_changed("a/b", first)
    assert changed is not None and (changed.body, changed.tag) == (b"22", second)
    assert files.read("a/b") == changed
    looked = files.look("a/b")
    assert looked is not None and (looked.tag, looked.size) == (second, 2)
    listed = files.entries("a")
    assert [(one.name, one.tag, one.size) for one in listed] == [("a/b", second, 2)]
    # A header has whole seconds, a listing may have more.
    assert abs((listed[0].at - looked.at).total_seconds()) < 1
    third = files.write("a/b", b"4")
    assert files.replace("a/b", b"5", second) is None
    # Somebody else knows the tag by a listing alone.
    stranger = pickle.loads(pickle.dumps(files)) if files.bucket.name != "memory" else files
    assert stranger.entries("")[0].tag == third
    assert stranger.replace("a/b", b"6", third) is not None
    files.delete("a/b")
    assert files.replace("a/b", b"7", third) is None
    assert files.look("a/b") is None
    for act in (files.read, files.digest, lambda name: files.read_if_changed(name, third)):
        with pytest.raises(FileNotFoundError, match=r"there is no file 'a/b' in"):
            act("a/b")
    files.delete("a/b")


def test_listings_show_files_below_a_folder_and_no_others(files: ObjectFiles) -> None:
    names = ["a/b/c", "a/b-c", "a/é +%25 ~#x", "ab", "z"]
    for name in names:
        files.write(name, name.encode())
    files.write("a/empty", b"")
    # Of a folder store that was copied into the bucket.
    for name in (".replacing", "a/.replacing", "a/.part-0badcafe"):
        files.write(name, b"")
    assert [entry.name for entry in files.entries("")] == sorted([*names, "a/empty"])
    assert [entry.name for entry in files.entries("a/b")] == ["a/b/c"]
    assert files.entries("a/b/c/d") == files.entries("nowhere") == []
    assert files.names("") == ["a/", "ab", "z"]
    assert files.names("a") == ["b-c", "b/", "empty", "é +%25 ~#x"]
    assert files.names("nowhere") == []
    assert all(files.read(name).body == name.encode() for name in names)
    files.delete_all("a")
    files.delete_all("nowhere")
    assert [entry.name for entry in files.entries("")] == ["ab", "z"]
    for name in ("", "../x", "a//b", "/a", "a\\b", "a\n", "a" * 901, "a\ud800"):
        with pytest.raises(StoreError, match=r"in an object store|in a store"):
            files.look(name) if name else files.look("a/")


def test_a_large_file_goes_and_comes_in_parts(
    files: ObjectFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_files, "UPLOAD_PART", 5 << 20)
    monkeypatch.setattr(object_files, "DOWNLOAD_PART", 1 << 20)
    source, target = tmp_path / "source", tmp_path / "target"
    for size in (0, 7, 1 << 20, (6 << 20) + 3):
        source.write_bytes(os.urandom(size))
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        assert files.upload(source, "big/file") == digest
        target.write_bytes(b"longer than what comes" * 9)
        assert files.download("big/file", target) == files.digest("big/file") == digest
        assert target.read_bytes() == source.read_bytes()
    assert files.upload(source, "big/moved", move=True) == digest
    assert not source.exists()
    with pytest.raises(FileNotFoundError):
        files.upload(source, "big/none")
    with pytest.raises(FileNotFoundError):
        files.download("big/none", target)


def test_a_file_that_is_replaced_while_it_is_read_is_an_error(
    s3: ObjectFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_files, "DOWNLOAD_PART", 10)
    monkeypatch.setattr(object_files, "AT_ONCE", 1)
    s3.write("file", b"a" * 100)
    parts = s3._parts("file")
    next(parts)
    s3.write("file", b"b" * 100)
    with pytest.raises(OSError, match="was replaced while it was read"):
        list(parts)


def test_requests_are_few(objects: Objects, s3: ObjectFiles) -> None:
    def requests(act: Any) -> int:
        with objects.counted() as found:
            act()
        return len(found)

    assert requests(lambda: s3.create("a", b"1")) == 1
    tag = s3.read("a").tag
    assert requests(lambda: s3.replace("a", b"2", tag)) == 1
    assert requests(lambda: s3.read("a")) == 1
    assert requests(lambda: s3.look("a")) == 1
    assert requests(lambda: s3.entries("")) == 1
    assert requests(lambda: s3.names("")) == 1
    assert requests(lambda: s3.delete("a")) == 1


# Races


@pytest.mark.parametrize(
    ("server", "keys"),
    [
        ("s3", 100),
        ("gcs", 50),
        pytest.param("s3", 1000, marks=pytest.mark.slow),
        pytest.param("gcs", 300, marks=pytest.mark.slow),
        pytest.param("azure", 300, marks=pytest.mark.slow),
    ],
)
def test_of_two_processes_one_wins_each_key(
    server: str, keys: int, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue("objects" if server == "s3" else server)
    prefix = uuid.uuid4().hex
    uri = found.uri(prefix) if isinstance(found, Objects) else found.format(prefix)
    for counted in raced_by_processes(OPENER, uri, keys).values():
        assert counted == {key: 1 for key in range(keys)}


def test_of_two_threads_one_wins_each_key() -> None:
    whole = in_memory()
    for counted in raced_by_threads(lambda: whole, 300).values():
        assert counted == {key: 1 for key in range(300)}


# A network that fails


def test_a_lost_answer_is_settled_by_reading(objects: Objects, s3: ObjectFiles) -> None:
    for turn in range(2):
        name = f"file{turn}"
        objects.losing = 1
        tag = s3.create(name, b"1")
        assert tag is not None and s3.read(name).tag == tag
        objects.losing = 1
        after = s3.replace(name, b"2", tag)
        assert after is not None and s3.read(name).body == b"2"
        objects.losing = 1
        assert s3.create(name, b"3") is None
        objects.losing = 1
        assert s3.replace(name, b"3", tag) is None
        assert s3.read(name).body == b"2"


@pytest.mark.parametrize(
    "broken",
    [
        answer("409 Conflict", CONFLICT),
        answer("412 Precondition Failed", REFUSED),
        answer("503 Slow Down", SLOW_DOWN),
        answer("500 Internal Server Error", b""),
        b"",
    ],
    ids=["409", "412", "503", "500", "dropped"],
)
def test_an_answer_that_says_nothing_is_asked_again(
    objects: Objects, s3: ObjectFiles, broken: bytes
) -> None:
    objects.breaking[:] = [broken]
    tag = s3.create("file", b"1")
    assert tag is not None
    objects.breaking[:] = [broken]
    assert s3.replace("file", b"2", tag) is not None
    objects.breaking[:] = [broken]
    assert s3.replace("file", b"3", tag) is None
    assert s3.read("file").body == b"2"
    if not broken.startswith(b"HTTP/1.1 4"):
        objects.breaking[:] = [broken] * 2
        assert s3.read("file").body == b"2"
        objects.breaking[:] = [broken] * 2
        assert len(s3.entries("")) == 1
        objects.breaking[:] = [broken] * 2
        s3.write("file", b"4")


def test_requests_that_hang_are_given_up_and_settled(objects: Objects, s3: ObjectFiles) -> None:
    objects.hanging = 1
    assert s3.create("file", b"1") is not None
    objects.hanging = 1
    assert s3.read("file").body == b"1"


def test_a_write_that_is_late_replaces_nothing(objects: Objects, s3: ObjectFiles) -> None:
    other = ObjectFiles(bucket=s3.bucket)
    tag = other.create("lease", b"first")
    assert tag is not None
    objects.holding.update({"/record": 1.5, "/lease": 1.5})
    said: dict[str, str | None] = {}

    def late() -> None:
        said["record"] = s3.create("record", b"of the late")

    held = threading.Thread(target=late)
    held.start()
    while "/record" in objects.holding:
        time.sleep(0.01)
    record = other.create("record", b"of the other")
    held.join()
    assert record is not None and said["record"] is None
    assert other.read("record").tag == record
    # The lease was taken over, and a beat of the old holder arrives afterwards.
    beat = threading.Thread(target=lambda: said.update(lease=s3.replace("lease", b"beat", tag)))
    beat.start()
    while "/lease" in objects.holding:
        time.sleep(0.01)
    taken = other.replace("lease", b"taken over", tag)
    beat.join()
    time.sleep(1.0)
    assert taken is not None and said["lease"] is None
    assert (other.read("lease").tag, other.read("record").tag) == (taken, record)


def test_a_body_that_breaks_off_is_asked_for_again(objects: Objects, s3: ObjectFiles) -> None:
    body = os.urandom(300_000)
    s3.write("file", body)
    objects.cutting = 2
    assert s3.read("file").body == body
    objects.cutting = 1
    assert s3.digest("file") == hashlib.sha256(body).hexdigest()


def test_what_does_not_pass_is_an_error_of_one_line(objects: Objects, s3: ObjectFiles) -> None:
    s3 = ObjectFiles(bucket=s3.bucket, patience=replace(HASTY, tries=0.2))
    for broken, kind, said in (
        (answer("503 Slow Down", SLOW_DOWN), OSError, "the store asks us to slow down"),
        (answer("403 Forbidden", DENIED), PermissionError, r"access is refused \(403: AccessDen"),
        (answer("403 Forbidden", SKEWED), PermissionError, "clock of this machine is off by min"),
        (answer("400 Bad Request", b"?sig=secret"), OSError, "the store answers 400$"),
        (answer("412 Precondition Failed", REFUSED), OSError, "the store answers 412"),
        (answer("304 Not Modified", b""), OSError, "the store answers 304"),
        (b"", OSError, "broke off"),
    ):
        objects.always = broken
        acts = [lambda: s3.read("a"), lambda: s3.write("a", b""), lambda: s3.create("a", b"")]
        for act in acts if kind is PermissionError else acts[:1]:
            with pytest.raises(kind, match=said) as raised:
                act()
            assert "\n" not in str(raised.value) and "secret" not in str(raised.value)
    objects.always = None
    assert s3.look("a") is None


# What is refused


def test_a_server_that_ignores_conditions_is_refused_by_name(objects: Objects) -> None:
    files = ObjectFiles.at(objects.uri("x", bucket="ignoring"))
    with pytest.raises(StoreError, match=r"s3://ignoring/x at http://127.*If-None-Match") as said:
        files.try_conditions("probe/x")
    assert "\n" not in str(said.value)
    assert files.entries("") == []


def test_a_bucket_that_is_missing_is_named(objects: Objects, gcs: str) -> None:
    missing = [objects.uri("x", bucket="nowhere"), gcs.replace("bucket", "nowhere").format("x")]
    for files in map(ObjectFiles.at, missing):
        for act in (files.reach, lambda files=files: files.read("a")):
            with pytest.raises(OSError, match="there is no bucket 'nowhere'") as said:
                act()
            assert not isinstance(said.value, FileNotFoundError)
        with pytest.raises(OSError, match="there is no bucket"):
            files.try_conditions("probe/x")


def test_nobody_at_the_address_is_said_within_seconds(objects: Objects) -> None:
    uri = "s3://bucket/x?endpoint_override=http%3A%2F%2F127.0.0.1%3A1"
    files = ObjectFiles(bucket=read_uri(uri), patience=HASTY)
    with pytest.raises(OSError, match=r"nobody answers at s3://bucket/x at http://127.0.0.1:1"):
        files.reach()


def test_missing_credentials_are_named(
    objects: Objects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(PermissionError, match="no credentials were found: set AWS_ACCESS_KEY_ID"):
        ObjectFiles.at(objects.uri("x")).reach()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(
        PermissionError, match=r"no credentials of S3 were found.*AWS_ACCESS_KEY_ID"
    ):
        ObjectFiles.at(objects.uri("x")).reach()
    # A machine whose metadata service does not answer.
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    files = ObjectFiles(bucket=read_uri(objects.uri("x")), patience=HASTY)
    with pytest.raises(PermissionError, match=r"no credentials were found: set AWS_ACCESS_KEY_ID"):
        files.reach()
    assert not unfinished_uploads(files.bucket)


def test_a_profile_gives_credentials_by_boto3(
    objects: Objects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("boto3")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    (tmp_path / "credentials").write_text(
        "[lab]\naws_access_key_id = test\naws_secret_access_key = hidden\nregion = eu-west-3\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    files = ObjectFiles.at(objects.uri("profile"))
    files.reach()
    assert files._clients["first"].config["region"] == "eu-west-3"
    assert files.unfinished() == []
    assert "hidden" not in repr(files) and b"hidden" not in pickle.dumps(files)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(PermissionError, match=r"AWS_PROFILE=nobody: .*could not be found"):
        ObjectFiles.at(objects.uri("profile")).reach()
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(
        PermissionError, match=r"a profile of ~/.aws needs boto3: pip install boto3"
    ):
        ObjectFiles.at(objects.uri("profile")).reach()


def _in_a_fork(files: ObjectFiles, said: Any) -> None:
    try:
        files.look("a")
    except OSError as error:
        said.put(str(error))
    else:
        said.put("nothing")


def test_a_process_that_is_forked_later_says_so(s3: ObjectFiles) -> None:
    s3.write("a", b"1")
    context = multiprocessing.get_context("fork")
    said = context.Queue()
    process = context.Process(target=_in_a_fork, args=(s3, said))
    process.start()
    assert re.fullmatch(r"process \d+ was forked from \d+ .* by 'spawn'.*", said.get(timeout=20))
    process.join(20)
    assert process.exitcode == 0


# URIs


@pytest.mark.parametrize(
    ("uri", "bucket"),
    [
        ("s3://b.c/a%20b/c/", Bucket(scheme="s3", name="b.c", root="a b/c")),
        ("s3://bb", Bucket(scheme="s3", name="bb", root="")),
        (
            "s3://bb/x?endpoint_override=127.0.0.1:9000&scheme=http&region=eu-west-1",
            Bucket(
                scheme="s3",
                name="bb",
                root="x",
                region="eu-west-1",
                endpoint="http://127.0.0.1:9000",
            ),
        ),
        ("gcs://bb/x", Bucket(scheme="gs", name="bb", root="x")),
        ("az://box/x", Bucket(scheme="az", name="box", root="x")),
        (
            "abfss://box@lab1.dfs.core.windows.net/x",
            Bucket(scheme="az", name="box", root="x", account="lab1"),
        ),
    ],
)
def test_a_uri_names_a_bucket(uri: str, bucket: Bucket) -> None:
    assert read_uri(uri) == bucket


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://KEY:secret@bucket/x", "may hold no secret"),
        ("s3://KEY:sec/secret@bucket/x", "may hold no secret"),
        ("abfss://KEY:secret@lab.dfs.core.windows.net/x", "may hold no secret"),
        ("abfss://box@lab.dfs.core.windows.net/x@secret", "may hold no secret"),
        ("abfss://box@lab.dfs.core.windows.net/x?a=secret@b", "may hold no secret"),
        ("s3://bucket/x?token=secret", "'token' of its query is no option .* endpoint_override, r"),
        ("s3://bucket/x?secret", "a part of its query is no option"),
        ("s3://bucket/x?region=a&region=secret", "'region' of its query"),
        ("gs://bucket/x?region=us", "'region' of its query .* valid: endpoint_override, scheme"),
        ("s3://bucket/a/../secret", "has a prefix that is none"),
        ("s3://bucket/a%2F..%2Fsecret", "has a prefix that is none"),
        ("s3:///x", "names no bucket"),
        ("s3://bucket/x?scheme=ftp", "other than http and https"),
        ("s3://bucket/x?scheme=http", "needs an endpoint_override"),
        ("s3://bucket/x?scheme=http&endpoint_override=https://h", "another protocol"),
        ("s3://bucket/x?endpoint_override=http://h?secret", "is no http"),
        ("ftp://bucket/secret", "valid: a folder, s3, gs, gcs, az, abfss"),
    ],
)
def test_any_other_uri_is_refused_and_no_secret_repeated(uri: str, said: str) -> None:
    with pytest.raises(StoreError, match=said) as refused:
        read_uri(uri)
    assert "secret" not in str(refused.value).replace("no secret", "").replace("the secret", "")
    assert "KEY" not in str(refused.value)


def test_the_region_of_a_bucket_is_asked_for(objects: Objects) -> None:
    assert asked_region(f"http://127.0.0.1:{objects.port}/bucket") == "us-east-1"
    assert asked_region("http://127.0.0.1:1/bucket", timeout=1.0) is None


# Lost uploads


def test_uploads_that_were_never_ended_are_named_and_aborted(objects: Objects) -> None:
    boto3 = pytest.importorskip("boto3")
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{objects.port}")
    for key in ("lost/b c", "lost/a", "elsewhere/x"):
        client.create_multipart_upload(Bucket="bucket", Key=key)
    files = ObjectFiles.at(objects.uri("lost"))
    found = files.unfinished()
    assert found is not None and [entry.name for entry in found] == ["a", "b c"]
    files.discard(found[1])
    files.discard(found[1])
    assert files.unfinished() == found[:1]
    assert ObjectFiles.at("gs://bucket/x").unfinished() is None
    try:
        objects.always = answer("403 Forbidden", DENIED)
        assert files.unfinished() is None
        with pytest.raises(PermissionError, match=r"refuses it \(403\)"):
            files.discard(found[0])
        objects.always = answer("500 Internal Server Error", b"")
        with pytest.raises(OSError, match="answers 500 about its uploads"):
            files.unfinished()
    finally:
        objects.always = None


def test_requests_are_signed_as_botocore_signs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore")
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    keys = {"access_key_id": "K", "secret_access_key": "S", "token": "T"}
    path, query = "/bucket/a%20b", "prefix=x%2F&uploads="
    ours = multipart._signed("GET", "h:1", path, query, region="eu-west-3", keys=keys)
    request = AWSRequest(method="GET", url=f"http://h:1{path}?{query}", headers={})
    auth = S3SigV4Auth(Credentials("K", "S", "T"), "s3", "eu-west-3")
    request.headers["X-Amz-Content-SHA256"] = ours["x-amz-content-sha256"]
    request.headers["X-Amz-Security-Token"] = "T"
    request.headers["X-Amz-Date"] = ours["x-amz-date"]
    request.context.update(timestamp=ours["x-amz-date"], payload_signing_enabled=True)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    signature = auth.signature(text, request)
    assert ours["authorization"].endswith(f"Signature={signature}")
