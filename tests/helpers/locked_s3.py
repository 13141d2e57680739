"""moto's S3 server with one lock around what changes a key: `python -m tests.helpers.locked_s3`.

moto checks a condition, then writes, in threads: about one of 1,000 keys that two processes create
at once goes to both. Real S3 does both in one step. In a bucket called `ignoring` it takes no
notice of conditions, as some servers do.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from moto.s3.responses import S3Response
from moto.server import main

_CHANGES = ("put_object", "delete_object", "copy_object", "_bucket_response_delete_keys")
_CONDITIONS = ("If-Match", "If-None-Match")


def serve(port: int) -> None:
    """Serve until killed."""
    lock = threading.RLock()

    def locked(name: str) -> None:
        true = getattr(S3Response, name)

        def held(self: Any, *given: Any, **named: Any) -> Any:
            if name == "put_object" and self.bucket_name == "ignoring":
                self.headers = {
                    header: value
                    for header, value in self.headers.items()
                    if header not in _CONDITIONS
                }
            with lock:
                return true(self, *given, **named)

        setattr(S3Response, name, held)

    for name in _CHANGES:
        locked(name)
    main(["-H", "127.0.0.1", "-p", str(port)])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
