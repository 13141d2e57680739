"""A Ray cluster of one's own for a test: `ray start --head` as a process, token authentication,
free ports.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

START_SECONDS = 120
RAY = str(Path(sys.executable).with_name("ray"))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def http_status(url: str, token: str | None = None) -> int:
    """Status of a GET, 0 if nobody answers."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=10
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, OSError):
        return 0


class RayHead:
    """Started by `with`, ended by process id together with everything below it."""

    def __init__(
        self,
        *,
        num_cpus: int = 2,
        resources: dict[str, int] | None = None,
        auth: bool = True,
        autoscaling: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        # Ray's sockets lie below this folder, and a socket's path has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="rh", dir="/tmp"))
        self.token = secrets.token_hex(32)
        token_file = self.folder / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(self.token)
        self.port, self.dashboard_port = free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.dashboard = f"http://127.0.0.1:{self.dashboard_port}"
        # `python` in a job's entry point is the head's.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        signing = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file)}
        self.env = {**kept, "PATH": path, **(signing if auth else {"RAY_AUTH_MODE": "disabled"})}
        self.command = [
            RAY,
            "start",
            "--head",
            "--block",
            "--node-ip-address=127.0.0.1",
            f"--port={self.port}",
            "--include-dashboard=true",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={self.dashboard_port}",
            f"--dashboard-agent-listen-port={free_port()}",
            f"--ray-client-server-port={free_port()}",
            "--min-worker-port=0",
            "--max-worker-port=0",
            f"--temp-dir={self.folder / 'r'}",
            f"--num-cpus={num_cpus}",
            "--num-gpus=0",
            "--object-store-memory=100000000",
            "--disable-usage-stats",
            f"--resources={json.dumps({'driver_slot': 8} if resources is None else resources)}",
        ]
        if autoscaling is not None:
            config = self.folder / "autoscaling.json"
            provider = {**autoscaling["provider"], "gcs_address": self.address}
            config.write_text(json.dumps({**autoscaling, "provider": provider}))
            self.command.append(f"--autoscaling-config={config}")
        self.log = self.folder / "head.log"
        self.head_env = {**self.env, **(env or {})}
        self.family: dict[int, float] = {}

    def __enter__(self) -> RayHead:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.head_env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        # The dashboard answers seconds before the head's own node has registered.
        while http_status(f"{self.dashboard}/api/version", self.token) != 200 or self.nodes() == 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                text = self.log.read_text()[-3000:]
                self.close()
                raise AssertionError(f"ray start did not come up:\n{text}")
            time.sleep(0.3)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self) -> None:
        """Remember the processes below the head; some outlive it for a moment."""
        if self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self.family.setdefault(child.pid, child.create_time())

    def get(self, path: str) -> Any:
        """What the dashboard answers to us."""
        headers = {"Authorization": f"Bearer {self.token}"}
        with urllib.request.urlopen(
            urllib.request.Request(self.dashboard + path, headers=headers), timeout=30
        ) as said:
            return json.loads(said.read())

    def job_status(self, job: str) -> str:
        """PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED."""
        return str(self.get(f"/api/jobs/{job}")["status"])

    def nodes(self) -> int:
        """Living nodes, the head included."""
        found = self.get("/api/v0/nodes?limit=100")["data"]["result"]["result"]
        return sum(node["state"] == "ALIVE" for node in found)

    def close(self) -> None:
        self.look()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        for pid, created in self.family.items():
            if psutil.pid_exists(pid) and psutil.Process(pid).create_time() == created:
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
