"""The start of a file and its end, without the rest: of a hub's file by range requests.

Parquet keeps its columns, its number of rows and the names of its classes at its end.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import hf_hub_url
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

# The last bytes of a Parquet file: the length of its footer, and the name of the format.
_END = 8
_MAGIC = b"PAR1"
# Of a column that is read for its first rows, in one request.
_PIECE = 8 << 10
# Of a file of lines.
_START = 64 << 10


class HubFile(io.RawIOBase):
    """A file of a dataset repository at a commit, read by ranges; `size` is in bytes."""

    def __init__(self, name: str, path: str, revision: str, size: int) -> None:
        """
        Args:
            name: ORG/NAME.
            path: of the file.
            revision: the commit.
            size: of the file, as its listing states it.
        """
        self._url = hf_hub_url(name, path, repo_type="dataset", revision=revision)
        self._size, self._at = size, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read starts."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move; nothing is asked for."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Fill the buffer from where it stands; one of hub.FAILURES if the hub refuses."""
        end = min(self._size, self._at + len(buffer))
        if end <= self._at:
            return 0
        found = self._ask(self._at, end)
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def _ask(self, start: int, end: int) -> bytes:
        headers = {**build_hf_headers(), "Range": f"bytes={start}-{end - 1}"}
        answer = http_backoff("GET", self._url, headers=headers, follow_redirects=True)
        hf_raise_for_status(answer)
        return bytes(answer.content)


def footer(file: BinaryIO) -> pq.FileMetaData:
    """The end of a Parquet file: its columns, their own metadata, its number of rows.

    Arrow's own reader asks for 64 kB of every file. pa.ArrowInvalid for another format.
    """
    size = file.seek(-_END, io.SEEK_END) + _END
    end = file.read(_END)
    length = int.from_bytes(end[:4], "little") + _END
    if end[4:] != _MAGIC or length > size - len(_MAGIC):
        raise pa.ArrowInvalid("not a Parquet file, or one cut short")
    file.seek(-length, io.SEEK_END)
    return pq.read_metadata(io.BytesIO(_MAGIC + file.read(length)))


def first_rows(file: BinaryIO, end: pq.FileMetaData, columns: list[str], count: int) -> bytes:
    """A Parquet file of the first rows of some columns of another.

    Args:
        file: the other.
        end: its footer.
        columns: names, of the outermost level.
        count: rows.
    """
    held = pq.ParquetFile(file, metadata=end, buffer_size=_PIECE, pre_buffer=False)
    batch = next(held.iter_batches(count, row_groups=[0], columns=columns), None)
    whole = held.schema_arrow
    schema = pa.schema([whole.field(name) for name in columns], metadata=whole.metadata)
    table = (
        schema.empty_table() if batch is None else pa.Table.from_batches([batch]).select(columns)
    )
    out = io.BytesIO()
    pq.write_table(table.cast(schema), out)
    return out.getvalue()


def first_lines(file: BinaryIO, path: str, count: int) -> bytes:
    """A file of the first lines of another, packed alike: plain, .gz or an archive of one file."""
    start = file.read(_START)
    if path.endswith((".tar.gz", ".tgz")):
        name, text = _of_archive(start)
        lines = _whole_lines(text, count)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            info = tarfile.TarInfo(name)
            info.size = len(lines)
            archive.addfile(info, io.BytesIO(lines))
        return out.getvalue()
    if path.endswith(".gz"):
        return gzip.compress(_whole_lines(_unpacked(start), count))
    return _whole_lines(start, count)


def _unpacked(start: bytes) -> bytes:
    """What the start of a gzip file holds."""
    return zlib.decompressobj(wbits=31).decompress(start)


def _of_archive(start: bytes) -> tuple[str, bytes]:
    """(name, start) of the first file in the start of an archive."""
    raw = _unpacked(start)
    at = 0
    while at + 512 <= len(raw):
        info = tarfile.TarInfo.frombuf(raw[at : at + 512], "utf-8", "replace")
        if info.isfile():
            return info.name, raw[at + 512 : at + 512 + info.size]
        # Headers of headers: long names, times.
        at += 512 + -(-info.size // 512) * 512
    raise tarfile.ReadError("no file at its start")


def _whole_lines(text: bytes, count: int) -> bytes:
    """The first lines, none of them cut unless it is the only one."""
    *whole, last = text.split(b"\n")
    whole = whole[:count] or [last]
    return b"".join(line + b"\n" for line in whole if line)
