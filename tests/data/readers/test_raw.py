"""Packed files: bounded in what they unpack to, never unpacked to where their names lead."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling.data.readers.raw import MOST_LINE, lines, open_text, read_json
from scaling.data.schema import BadData

CHUNK = b" " * 2**20


def packed_spaces(path: Path, mebibytes: int) -> None:
    with gzip.open(path, "wb") as stream:
        for _ in range(mebibytes):
            stream.write(CHUNK)


def tar_of(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("act", [lambda path: list(lines(path)), read_json])
def test_a_small_file_that_unpacks_to_a_large_one_is_refused(
    tmp_path: Path, act: Callable[[Path], object]
) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    packed_spaces(path, 70)
    assert path.stat().st_size < 2**20
    start = time.process_time()
    with pytest.raises(BadData, match=r"bomb\.jsonl\.gz:?1?: (a line of|more than .* unpacked)"):
        act(path)
    assert time.process_time() - start < 10


def test_an_archive_of_much_air_is_refused(tmp_path: Path) -> None:
    """Its one member is large, and comes after what must be skipped to find it."""
    path = tmp_path / "bomb.tar.gz"
    tar_of(path, [(tarfile.TarInfo("a.txt"), b"x\n" * (35 * 2**20))])
    with pytest.raises(BadData, match=r"bomb\.tar\.gz: more than .* bytes unpacked"):
        list(lines(path))


def test_text_that_packs_well_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt.gz"
    with gzip.open(path, "wb") as stream:
        stream.write(b"the same line\n" * 200_000)
    assert sum(1 for _ in lines(path)) == 200_000


def test_an_endless_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_bytes(b"one\n" + b"x" * MOST_LINE)
    with pytest.raises(BadData, match=r"rows\.txt:2: a line of 16,777,216 characters or more"):
        list(lines(path))
    path.write_bytes(b"one\n" + b"x" * (MOST_LINE - 1))
    assert len(list(lines(path))) == 2


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "a/../../b"])
def test_a_member_is_read_where_it_lies_whatever_its_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in" / "here"
    folder.mkdir(parents=True)
    tar_of(folder / "a.tar.gz", [(tarfile.TarInfo(name), b"one\ntwo\n")])
    before = sorted(tmp_path.rglob("*"))
    assert [line for _, line in lines(folder / "a.tar.gz")] == ["one", "two"]
    assert sorted(tmp_path.rglob("*")) == before


def test_links_and_folders_are_no_files_and_two_files_are_one_too_many(tmp_path: Path) -> None:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    path = tmp_path / "a.tar.gz"
    tar_of(path, [(link, b"")])
    with pytest.raises(BadData, match="an archive of no files; exactly one is expected"):
        list(lines(path))
    tar_of(path, [(link, b""), (tarfile.TarInfo("b"), b"1\n")])
    assert [line for _, line in lines(path)] == ["1"]
    tar_of(path, [(tarfile.TarInfo(str(number)), b"1\n") for number in range(3)])
    with pytest.raises(BadData, match="an archive of several files"):
        list(lines(path))


@pytest.mark.parametrize(
    "content", [b"", b"no archive", gzip.compress(b"no archive", mtime=0)[:-3]]
)
@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.gz"])
def test_what_is_no_archive_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if name == "a.gz" and not content:
        assert list(lines(path)) == []
        return
    with pytest.raises(BadData, match=rf"{name}: broken"), open_text(path) as text:
        text.read()
