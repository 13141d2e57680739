"""Small servers of objects on loopback, and how they answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Answers(BaseHTTPRequestHandler):
    """Says nothing on its own, and keeps connections."""

    protocol_version = "HTTP/1.1"
    # One packet an answer: a head and a body of their own wait for each other.
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def said(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer; of a HEAD without the body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving_on(handler: type[BaseHTTPRequestHandler], **state: Any) -> Iterator[int]:
    """The port of a server whose handlers share this state."""
    own = type(f"Own{handler.__name__}", (handler,), state)
    server = ThreadingHTTPServer(("127.0.0.1", 0), own)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
