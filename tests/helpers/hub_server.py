"""A small hub on this machine that speaks the HTTP API of Hugging Face's: what staging asks it for.

Repository info, tree (in pages), resolve with redirects and ranges, branches whose names have
slashes, and the answers of a hub that refuses, limits, fails or goes away in the middle. It counts
the bytes that it sends.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

# Files above this many bytes are kept apart from the repository (LFS), and resolve to a redirect.
_SMALL = 1024
_API = re.compile(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/(.*))?)?$")
_RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")
_BLOB = re.compile(r"/blobs/([0-9a-f]{64})$")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


@dataclass(kw_only=True)
class Repository:
    """One repository: its commits, and the branches that name some of them."""

    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, Path]] = field(default_factory=dict)
    private: bool = False
    gated: bool = False


@dataclass(kw_only=True)
class Fault:
    """What happens to requests whose path matches, the next `times` of them."""

    path: re.Pattern[str]
    times: int
    status: int = 0
    """Of the answer; 0: the body ends after `after` bytes, and with it the connection."""
    after: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


class Hub:
    """The content of the hub, what goes wrong with it, and what it has sent."""

    def __init__(self, folder: Path, page: int = 1_000) -> None:
        """
        Args:
            folder: where the files lie.
            page: entries of a tree in one answer; more have a next page.
        """
        self.folder, self.page = folder, page
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.blobs: dict[str, Path] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, int]] = []
        """(method and path, file of the repository or '', bytes of the body) of each answer."""
        self.token = "hf_reader"
        self.url = ""
        self.files_url = ""
        """Of the host that large files are sent from."""
        self._lock = threading.Lock()

    def commit(
        self,
        name: str,
        files: Mapping[str, bytes | Path],
        ref: str = "main",
        commit: str = "",
        kind: str = "datasets",
    ) -> str:
        """A commit with these files and no others, at which `ref` points from now on.

        Args:
            name: ORG/NAME.
            files: content, or where it lies, by path.
            ref: a branch.
            commit: 40 hex digits; made from the content where none are given.
            kind: datasets or models.
        """
        repository = self.repositories.setdefault((kind, name), Repository())
        held: dict[str, Path] = {}
        for path, content in files.items():
            if isinstance(content, bytes):
                file = self.folder / "blobs" / hashlib.sha256(content).hexdigest()
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                content = file
            held[path] = content
        named = json.dumps(
            [name, ref, sorted((path, _sha256(file)) for path, file in held.items())]
        )
        commit = commit or hashlib.sha1(named.encode()).hexdigest()
        repository.commits[commit] = held
        repository.refs[ref] = commit
        return commit

    def fail(self, path: str, times: int, status: int = 0, after: int = 0, **headers: str) -> None:
        """Let the next requests go wrong.

        Args:
            path: regular expression, searched in the request's path.
            times: how many.
            status: of the answer; 0 to end the connection in the middle of the body.
            after: bytes of the body that are sent before that.
            headers: of the answer, `_` for `-`.
        """
        self.faults.append(
            Fault(
                path=re.compile(path),
                times=times,
                status=status,
                after=after,
                headers={key.replace("_", "-"): value for key, value in headers.items()},
            )
        )

    def fault(self, path: str) -> Fault | None:
        """What goes wrong with this request."""
        with self._lock:
            for fault in self.faults:
                if fault.times and fault.path.search(path):
                    fault.times -= 1
                    return fault
        return None

    def sent(self, path: str = "") -> int:
        """Bytes of all answers so far whose request or file matches."""
        return sum(
            count for asked, file, count in self.requests if re.search(path, f"{asked} {file}")
        )

    def count(self, asked: str, file: str, size: int) -> None:
        """Note one answer."""
        with self._lock:
            self.requests.append((asked, file, size))


_digests: dict[tuple[str, int, int], str] = {}


def _sha256(file: Path) -> str:
    stat = file.stat()
    key = (str(file), stat.st_size, stat.st_mtime_ns)
    if key not in _digests:
        with file.open("rb") as stream:
            _digests[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _digests[key]


def _git_sha1(file: Path) -> str:
    content = file.read_bytes()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the hub keeps its own list."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        parts = urlsplit(self.path)
        self.with_body, self.file, self.cut = with_body, "", None
        if fault := self.hub.fault(f"{self.command} {unquote(parts.path)}"):
            if fault.status:
                self._refuse(fault.status, "", f"planted {fault.status}", fault.headers)
                return
            self.cut = fault.after
        if match := _API.match(parts.path):
            self._api(match, parse_qs(parts.query))
        elif match := _BLOB.match(parts.path):
            self.file = str(self.hub.blobs[match[1]])
            self._send_file(self.hub.blobs[match[1]], {"ETag": f'"{match[1]}"'})
        elif match := _RESOLVE.match(parts.path):
            self._resolve(match)
        else:
            self._refuse(404, "", "no such page")

    def _repository(self, kind: str, name: str) -> Repository | None:
        """The repository, if whoever asks may read it; else it has been refused."""
        found = self.hub.repositories.get((kind, name))
        has_token = self.headers.get("Authorization") == f"Bearer {self.hub.token}"
        # As the hub does: what nobody may know of does not exist.
        if found is None or (found.private and not has_token):
            self._refuse(404 if has_token else 401, "RepoNotFound", "Repository not found")
            return None
        return found

    def _commit(self, found: Repository, revision: str) -> str | None:
        commit = found.refs.get(revision, revision)
        if commit not in found.commits:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return commit

    def _api(self, match: re.Match[str], query: Mapping[str, list[str]]) -> None:
        kind, name, what, revision, below = match.groups()
        found = self._repository(kind, name)
        if found is None or (commit := self._commit(found, unquote(revision or "main"))) is None:
            return
        files = found.commits[commit]
        if what != "tree":
            self._send_json(
                {
                    "id": name,
                    "sha": commit,
                    "private": found.private,
                    "gated": "manual" if found.gated else False,
                    "disabled": False,
                    "tags": [],
                    "siblings": [{"rfilename": path} for path in sorted(files)],
                }
            )
            return
        under = unquote(below or "")
        entries = [
            _entry(path, file) for path, file in sorted(files.items()) if path.startswith(under)
        ]
        start = int(query.get("cursor", ["0"])[0])
        page, headers = entries[start : start + self.hub.page], {}
        if start + self.hub.page < len(entries):
            again = urlsplit(self.path)
            headers["Link"] = (
                f"<{self.hub.url}{again.path}?recursive=true&cursor={start + self.hub.page}>;"
                ' rel="next"'
            )
        self._send_json(page, headers)

    def _resolve(self, match: re.Match[str]) -> None:
        kind, name = "datasets" if match[1] else "models", match[2]
        revision, path = unquote(match[3]), unquote(match[4])
        found = self._repository(kind, name)
        if found is None or (commit := self._commit(found, revision)) is None:
            return
        if found.gated and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._refuse(403, "GatedRepo", "Access to this repository is restricted")
            return
        if path not in found.commits[commit]:
            headers = {"X-Repo-Commit": commit}
            self._refuse(404, "EntryNotFound", "Entry not found", headers)
            return
        file = found.commits[commit][path]
        size, self.file = file.stat().st_size, path
        if size <= _SMALL:
            headers = {"ETag": f'"{_git_sha1(file)}"', "X-Repo-Commit": commit}
            self._send_file(file, headers)
            return
        digest = _sha256(file)
        self.hub.blobs[digest] = file
        self._send(
            302,
            b"",
            {
                # Large files lie on another host, which gets no token.
                "Location": f"{self.hub.files_url}/blobs/{digest}",
                "X-Repo-Commit": commit,
                "X-Linked-Size": str(size),
                "X-Linked-ETag": f'"{digest}"',
            },
        )

    def _send_file(self, file: Path, headers: Mapping[str, str]) -> None:
        size = file.stat().st_size
        headers = {**headers, "Accept-Ranges": "bytes"}
        asked = _RANGE.match(self.headers.get("Range", ""))
        if asked is None:
            self._send(200, file, headers, 0, size)
            return
        first, last = asked.groups()
        start = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        if start >= size:
            self._send(416, b"", {**headers, "Content-Range": f"bytes */{size}"})
            return
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        self._send(206, file, headers, start, end)

    def _send_json(self, value: Any, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self._send(200, body, {"Content-Type": "application/json", **(headers or {})})

    def _refuse(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        named = {"X-Error-Code": code} if code else {}
        self._send(status, b"{}", {**named, "X-Error-Message": message, **(headers or {})})

    def _send(
        self,
        status: int,
        body: bytes | Path,
        headers: Mapping[str, str],
        start: int = 0,
        end: int | None = None,
    ) -> None:
        end = len(body) if end is None and isinstance(body, bytes) else end or 0
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        sent = 0
        if self.with_body:
            if self.cut is not None:
                end = min(end, start + self.cut)
                self.close_connection = True
            if isinstance(body, bytes):
                self.wfile.write(body[start:end])
            else:
                with body.open("rb") as stream:
                    stream.seek(start)
                    left = end - start
                    while left and (block := stream.read(min(left, 1 << 20))):
                        self.wfile.write(block)
                        left -= len(block)
            sent = end - start
        self.hub.count(f"{self.command} {unquote(self.path)}", self.file, sent)


def _entry(path: str, file: Path) -> dict[str, Any]:
    """A file as the tree lists it."""
    size = file.stat().st_size
    entry: dict[str, Any] = {"type": "file", "path": path, "size": size}
    if size <= _SMALL:
        return {**entry, "oid": _git_sha1(file)}
    digest = _sha256(file)
    pointer = hashlib.sha1(digest.encode()).hexdigest()
    return {**entry, "oid": pointer, "lfs": {"oid": digest, "size": size, "pointerSize": 134}}


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub on a port of this machine alone; its address is `hub.url`."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    port = server.server_address[1]
    hub.url, hub.files_url = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
