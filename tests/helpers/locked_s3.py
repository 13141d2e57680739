"""moto's S3 server with one lock around what changes a key.

`python -m tests.helpers.locked_s3 PORT [FOLDER]`: what lies below FOLDER is in `bucket` at once.

moto checks a condition, then writes, in threads: about one of 1,000 keys that two processes create
at once goes to both. Real S3 does both in one step. In a bucket called `ignoring` it takes no
notice of conditions, as some servers do.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.s3.responses import S3Response
from moto.server import main

_CHANGES = ("put_object", "delete_object", "copy_object", "_bucket_response_delete_keys")
_CONDITIONS = ("If-Match", "If-None-Match")


def serve(port: int, folder: Path | None = None) -> None:
    """Serve until killed."""
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for bucket in ("bucket", "ignoring"):
        backend.create_bucket(bucket, "us-east-1")
    for path in sorted(folder.rglob("*")) if folder is not None else ():
        if path.is_file():
            backend.put_object("bucket", path.relative_to(folder).as_posix(), path.read_bytes())
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
    serve(int(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None)
