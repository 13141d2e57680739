"""Large files up and down: memory of one process, and their hashes while they move."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.http_server import Answers, serving_on
from tests.helpers.s3_server import ENVIRONMENT

ROOT = Path(__file__).parents[1]
FILE_BYTES = 4 << 30
MOST_MEGABYTES = 600


class _Sink(Answers):
    """S3 as far as a multipart upload and ranges go; parts lie in files, so memory stays small."""

    folder: Path
    lock: threading.Lock

    def _file(self) -> Path:
        return self.folder / urllib.parse.urlsplit(self.path).path.strip("/").replace("/", "+")

    def _query(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query, True))

    def do_POST(self) -> None:
        """Begins or ends an upload."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "uploads" in self._query():
            self._file().write_bytes(b"")
            self.said(
                200,
                b"<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                b"</InitiateMultipartUploadResult>",
            )
        else:
            self.said(
                200,
                b"<CompleteMultipartUploadResult><ETag>&quot;e&quot;</ETag>"
                b"</CompleteMultipartUploadResult>",
                ETag='"e"',
            )

    def do_PUT(self) -> None:
        """A part, at its place in the file: all have the size of the first."""
        size, number = int(self.headers["Content-Length"]), int(self._query()["partNumber"])
        handle = os.open(self._file(), os.O_WRONLY | os.O_CREAT)
        try:
            at = (number - 1) * (16 << 20)
            while size:
                block = self.rfile.read(min(size, 1 << 20))
                os.pwrite(handle, block, at)
                at += len(block)
                size -= len(block)
        finally:
            os.close(handle)
        self.said(200, ETag=f'"{number}"')

    def do_GET(self) -> None:
        """A range."""
        path = self._file()
        whole = path.stat().st_size
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        start, end = int(first), min(int(last) + 1, whole)
        self.send_response(206)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{whole}")
        self.send_header("ETag", '"e"')
        self.send_header("Last-Modified", "Sat, 28 Nov 2026 09:00:00 GMT")
        self.end_headers()
        with path.open("rb") as stream:
            stream.seek(start)
            while start < end:
                block = stream.read(min(1 << 20, end - start))
                self.wfile.write(block)
                start += len(block)


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    with serving_on(_Sink, folder=folder, lock=threading.Lock()) as port:
        yield f"s3://bucket/x?endpoint_override=http%3A%2F%2F127.0.0.1%3A{port}"


MOVER = """
import json, resource, sys, time
from pathlib import Path
from scaling.store.object_files import ObjectFiles
files, act, path, name = ObjectFiles.at(sys.argv[1]), *sys.argv[2:5]
began = time.monotonic()
digest = getattr(files, act)(*((Path(path), name) if act == "upload" else (name, Path(path))))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"digest": digest, "seconds": time.monotonic() - began, "megabytes": peak}))
"""


def bulk(where: Path, gigabytes: int) -> list[dict[str, Any]]:
    """Files of 4 GB, one after another, each up and down by a process of its own."""
    peak, seconds, moved, wrong = 0.0, {"upload": 0.0, "download": 0.0}, 0, 0
    source, target = where / "source", where / "target"
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    block = os.urandom(1 << 24)
    with _server(where) as uri:
        while moved < gigabytes << 30:
            size = min(FILE_BYTES, (gigabytes << 30) - moved)
            digest = hashlib.sha256()
            with source.open("wb") as stream:
                for number in range(size >> 24):
                    # No two parts are equal, so that one in another's place is seen.
                    part = number.to_bytes(8, "big") + moved.to_bytes(8, "big") + block[16:]
                    digest.update(part)
                    stream.write(part)
            for act, path in (("upload", source), ("download", target)):
                done = subprocess.run(
                    [sys.executable, "-c", MOVER, uri, act, str(path), "file"],
                    cwd=ROOT,
                    env=environment,
                    check=True,
                    capture_output=True,
                    text=True,
                )
                found = json.loads(done.stdout)
                peak = max(peak, found["megabytes"])
                seconds[act] += found["seconds"]
                wrong += found["digest"] != digest.hexdigest()
                print(f"  {act} {size >> 20} MiB: {found}", flush=True)
                if act == "upload":
                    source.unlink()
            target.unlink()
            (where / "bucket+x+file").unlink()
            moved += size
    rates = ", ".join(f"{act} {moved / 2**20 / seconds[act]:.0f} MiB/s" for act in seconds)
    ran = f"{moved >> 30} GiB; {rates}, both ends on this machine"
    return [
        {
            "figure": "30 GB in files of 4 GB up and down: memory of one process at most, MiB",
            "target": f"≤ {MOST_MEGABYTES}",
            "value": f"{peak:.0f} ({ran})",
            "met": peak <= MOST_MEGABYTES and gigabytes >= 30,
        },
        {
            "figure": "30 GB in files of 4 GB up and down: SHA-256 taken on the way, wrong",
            "target": "0",
            "value": f"{wrong} ({moved >> 30} GiB)",
            "met": wrong == 0 and gigabytes >= 30,
        },
    ]
