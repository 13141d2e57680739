"""Azurite, Microsoft's emulator of Azure's blobs, where somebody has installed it (npm)."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.helpers.environment import environment

ACCOUNT = "devstoreaccount1"
# The emulator's well-known key, which is no secret.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
ENVIRONMENT = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY}


def azurite() -> str | None:
    """The program: `azurite-blob` of the PATH, or what AZURITE names."""
    return os.environ.get("AZURITE") or shutil.which("azurite-blob")


@contextmanager
def azure_store(folder: Path) -> Iterator[str]:
    """URI of a container of an emulator in memory; its credentials are in the environment."""
    program = azurite()
    assert program is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--silent", "--disableTelemetry", "--inMemoryPersistence", "--skipApiVersionCheck"]
    process = subprocess.Popen(
        [program, *options, "--blobPort", str(port)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with environment(ENVIRONMENT):
            _make_container(port, "bucket")
            endpoint = quote(f"http://127.0.0.1:{port}/{ACCOUNT}", safe="")
            yield f"az://bucket/{{}}?endpoint_override={endpoint}&scheme=http"
    finally:
        process.kill()
        process.wait()


def _make_container(port: int, name: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        date, version = email.utils.formatdate(usegmt=True), "2021-08-06"
        signed = "\n".join(
            [
                "PUT",
                *[""] * 11,
                f"x-ms-date:{date}",
                f"x-ms-version:{version}",
                f"/{ACCOUNT}/{ACCOUNT}/{name}",
                "restype:container",
            ]
        )
        digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/{ACCOUNT}/{name}?restype=container",
            method="PUT",
            headers={
                "x-ms-date": date,
                "x-ms-version": version,
                "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
            },
        )
        try:
            urllib.request.urlopen(request, timeout=30).close()
            return
        except ConnectionError:
            assert time.monotonic() < deadline
        except urllib.error.URLError as error:
            assert isinstance(error.reason, ConnectionError) and time.monotonic() < deadline
        time.sleep(0.2)
