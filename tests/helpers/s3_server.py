"""An S3-compatible server for tests: moto's, locked, in its own process, behind a proxy that counts
and breaks requests.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tests.helpers.environment import environment

ROOT = Path(__file__).parents[2]

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# What a developer's own shell may say of other credentials.
OTHERS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL")
SLOW_DOWN = (
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
CONFLICT = (
    b"<Error><Code>ConditionalRequestConflict</Code><Message>Writes overlapped.</Message></Error>"
)
REFUSED = b"<Error><Code>PreconditionFailed</Code><Message>It did not hold.</Message></Error>"
SKEWED = (
    b"<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and"
    b" the current time is too large.</Message><ServerTime>2026-11-28T09:00:00Z</ServerTime>"
    b"</Error>"
)
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def answer(status: str, body: bytes) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


@dataclass
class Objects:
    """A running server. The proxy passes bytes on; moto closes a connection after each request, so
    one is one.
    """

    port: int
    """Of the proxy."""
    server: int
    requests: list[str] = field(default_factory=list)
    """`METHOD /path?query` of every request so far."""
    breaking: list[bytes] = field(default_factory=list)
    """What the next requests get instead of an answer; b"" for a dropped connection."""
    always: bytes | None = None
    cutting: int = 0
    """So many of the next answers end in the middle of their body."""
    stalling: float = 0.0
    """Seconds that every request waits for its answer."""
    losing: int = 0
    """So many of the next requests are done, and their answers dropped."""
    hanging: int = 0
    """So many of the next requests are neither done nor answered."""
    holding: dict[str, float] = field(default_factory=dict)
    """Part of a request's line → seconds until the next such request is passed on, once."""

    def uri(self, prefix: str, bucket: str = "bucket") -> str:
        endpoint = quote(f"http://127.0.0.1:{self.port}", safe="")
        return f"s3://{bucket}/{prefix}?endpoint_override={endpoint}&scheme=http"

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """The requests made inside."""
        before, found = len(self.requests), list[str]()
        yield found
        found += self.requests[before:]

    @contextmanager
    def beside(self) -> Iterator[Objects]:
        """Another way to the same server, whose network fails by itself."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            other = Objects(port=listener.getsockname()[1], server=self.server)
            threading.Thread(target=other._listen, args=(listener,), daemon=True).start()
            yield other

    def _serve(self, client: socket.socket) -> None:
        head = client.recv(65536)
        if not head:
            client.close()
            return
        line = head.split(b" HTTP/", 1)[0].decode(errors="replace")
        self.requests.append(line)
        broken = (
            self.always
            if self.always is not None
            else self.breaking.pop(0)
            if self.breaking
            else None
        )
        if broken is not None:
            client.sendall(broken)
            client.close()
            return
        if self.hanging:
            self.hanging -= 1
            while client.recv(65536):
                pass
            client.close()
            return
        time.sleep(self.stalling)
        late = next((part for part in self.holding if part in line), None)
        if late is not None:
            time.sleep(self.holding.pop(late))
        server = socket.create_connection(("127.0.0.1", self.server))
        server.sendall(head)
        if self.cutting and head.startswith(b"GET"):
            self.cutting -= 1
            _cut(server, client)
            return
        if self.losing:
            self.losing -= 1
            _lose(server, client, head)
            return
        threading.Thread(target=_pump, args=(client, server), daemon=True).start()
        _pump(server, client)

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()


def _cut(server: socket.socket, client: socket.socket) -> None:
    """Pass on an answer but for the second half of its body."""
    whole = b""
    while chunk := server.recv(65536):
        whole += chunk
    head, _, body = whole.partition(b"\r\n\r\n")
    client.sendall(head + b"\r\n\r\n" + body[: len(body) // 2])
    for end in (client, server):
        end.close()


def _lose(server: socket.socket, client: socket.socket, head: bytes) -> None:
    """Have a request done whose body is short, and close without an answer."""
    begun, _, body = head.partition(b"\r\n\r\n")
    lengths = [
        int(line.split(b":")[1])
        for line in begun.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    ]
    missing = sum(lengths) - len(body)
    while missing > 0 and (chunk := client.recv(65536)):
        server.sendall(chunk)
        missing -= len(chunk)
    while server.recv(65536):
        pass
    for end in (client, server):
        end.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue


@contextmanager
def object_store(folder: Path | None = None) -> Iterator[Objects]:
    """The server with `bucket`, and `ignoring`, where conditions mean nothing; the credentials it
    takes are in the environment as long as it runs. What lies below `folder` is in `bucket`.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.helpers.locked_s3",
            str(port),
            *([str(folder)] if folder else []),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        with environment(ENVIRONMENT | dict.fromkeys(OTHERS)):
            _until_it_answers(port)
            objects = Objects(port=listener.getsockname()[1], server=port)
            threading.Thread(target=objects._listen, args=(listener,), daemon=True).start()
            yield objects
    finally:
        listener.close()
        process.kill()
        process.wait()


def _until_it_answers(port: int) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("moto's server did not start within 180 seconds")
