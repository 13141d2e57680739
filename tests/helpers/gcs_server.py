"""A bucket of GCS in memory, by the reference of its XML API, which is what obstore speaks.

No emulator that can be installed has the whole of it: fake-gcs-server and gcp-storage-emulator
speak the JSON API. Conditions name generations and are checked under one lock, as GCS does.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.helpers.environment import environment
from tests.helpers.http_server import Answers, serving_on

# A token of one's own: nothing asks a metadata service for one.
ENVIRONMENT = {"GOOGLE_BEARER_TOKEN": "test"}


@dataclass(frozen=True, kw_only=True)
class _Object:
    body: bytes
    generation: int
    at: datetime
    e_tag: str


class _Handler(Answers):
    """One bucket; the objects are the server's."""

    objects: dict[str, _Object]
    parts: dict[str, dict[int, bytes]]
    lock: threading.Lock
    generation = 1_700_000_000_000_000

    def _made(self, body: bytes) -> _Object:
        type(self).generation += 1
        e_tag = f'"{hashlib.md5(body).hexdigest()}"'
        return _Object(body=body, generation=self.generation, at=datetime.now(UTC), e_tag=e_tag)

    def _error(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        self.said(status, body.encode())

    def _asked(self) -> tuple[str | None, dict[str, str]]:
        split = urlsplit(self.path)
        bucket, _, key = split.path.lstrip("/").partition("/")
        query = {name: value[0] for name, value in parse_qs(split.query, True).items()}
        if bucket != "bucket":
            self._error(404, "NoSuchBucket")
            return None, query
        return unquote(key), query

    def _headers(self, found: _Object) -> dict[str, str]:
        return {
            "ETag": found.e_tag,
            "x_goog_generation": str(found.generation),
            "Last_Modified": format_datetime(found.at, usegmt=True),
        }

    def do_PUT(self) -> None:
        """An object, or a part of one."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key, query = self._asked()
        if key is None:
            return
        if "uploadId" in query:
            self.parts[query["uploadId"]][int(query["partNumber"])] = body
            self.said(200, ETag=f'"{hashlib.md5(body).hexdigest()}"')
            return
        self._put(key, body)

    def _put(self, key: str, body: bytes) -> None:
        wanted = self.headers.get("x-goog-if-generation-match")
        with self.lock:
            there = self.objects.get(key)
            now = there.generation if there else 0
            if wanted is not None and int(wanted) != now:
                self._error(412, "PreconditionFailed")
                return
            made = self.objects[key] = self._made(body)
        self.said(200, **self._headers(made))

    def do_POST(self) -> None:
        """The beginning and the end of a multipart upload."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        key, query = self._asked()
        if key is None:
            return
        if "uploads" in query:
            with self.lock:
                upload = str(len(self.parts) + 1)
                self.parts[upload] = {}
            answer = (
                "<InitiateMultipartUploadResult><Bucket>bucket</Bucket>"
                f"<Key>{escape(key)}</Key><UploadId>{upload}</UploadId>"
                "</InitiateMultipartUploadResult>"
            )
            self.said(200, answer.encode())
            return
        parts = self.parts.pop(query["uploadId"])
        numbers = [int(number) for number in re.findall(r"<PartNumber>(\d+)<", body)]
        whole = b"".join(parts[number] for number in numbers)
        with self.lock:
            made = self.objects[key] = self._made(whole)
        answer = (
            "<CompleteMultipartUploadResult><Location>x</Location><Bucket>bucket</Bucket>"
            f"<Key>{escape(key)}</Key><ETag>{made.e_tag}</ETag></CompleteMultipartUploadResult>"
        )
        self.said(200, answer.encode(), **self._headers(made))

    def do_GET(self) -> None:
        """An object, a range of it, or a listing."""
        key, query = self._asked()
        if key is None:
            return
        if not key:
            self._list(query)
            return
        found = self.objects.get(key)
        if found is None:
            self._error(404, "NoSuchKey")
            return
        headers = self._headers(found)
        if self.headers.get("If-None-Match") == found.e_tag:
            self.said(304, **headers)
            return
        if self.headers.get("If-Match", found.e_tag) != found.e_tag:
            self._error(412, "PreconditionFailed")
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        size = len(found.body)
        if self.command == "HEAD":
            self.send_response(200)
            for name, value in {**headers, "Content_Length": str(size)}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
        elif wanted is None:
            self.said(200, found.body, **headers)
        elif int(wanted[1]) >= size:
            self._error(416, "InvalidRange")
        else:
            body = found.body[int(wanted[1]) : int(wanted[2]) + 1]
            last = int(wanted[1]) + len(body) - 1
            headers["Content_Range"] = f"bytes {wanted[1]}-{last}/{size}"
            self.said(206, body, **headers)

    do_HEAD = do_GET

    def _list(self, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        after = unquote(query.get("continuation-token", ""))
        with self.lock:
            keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
            found = {key: self.objects[key] for key in keys}
        folders, lines, last = set(), [], ""
        for key in keys:
            below = key[len(prefix) :]
            if delimiter and delimiter in below:
                folders.add(prefix + below.partition(delimiter)[0] + delimiter)
                continue
            if len(lines) == 1000:
                break
            one, last = found[key], key
            lines.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(one.body)}</Size>"
                f"<LastModified>{one.at:%Y-%m-%dT%H:%M:%S.%f}Z</LastModified>"
                f"<ETag>{one.e_tag}</ETag></Contents>"
            )
        more = bool(lines) and last != keys[-1] and not delimiter
        lines += [
            f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
            for folder in sorted(folders)
        ]
        if more:
            token = escape(quote(last))
            lines.append(f"<NextContinuationToken>{token}</NextContinuationToken>")
        self.said(200, f"<ListBucketResult>{''.join(lines)}</ListBucketResult>".encode())

    def do_DELETE(self) -> None:
        """An object."""
        key, _ = self._asked()
        if key is None:
            return
        with self.lock:
            gone = self.objects.pop(key, None)
        if gone is None:
            self._error(404, "NoSuchKey")
        else:
            self.said(204)


@contextmanager
def gcs_store() -> Iterator[str]:
    """URI of a bucket, with {} for the prefix; its token is in the environment."""
    state = {"objects": {}, "parts": {}, "lock": threading.Lock()}
    with serving_on(_Handler, **state) as port, environment(ENVIRONMENT):
        endpoint = quote(f"http://127.0.0.1:{port}", safe="")
        yield f"gs://bucket/{{}}?endpoint_override={endpoint}&scheme=http"
