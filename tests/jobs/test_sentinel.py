"""Spot notices of a real HTTP server that speaks like the metadata services of AWS and GCP."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest

from jobs.sentinel import GCP_PREEMPTED_SECONDS, Aws, Gcp, Notice, watch

ROOT = Path(__file__).parents[2]


class Metadata(ThreadingHTTPServer):
    """Path → text; without the headers that the real ones ask for, the answer is 401 or 403, as
    there.
    """

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.asked: list[str] = []
        self.broken = 0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Metadata

    def _answer(self, status: int, text: str = "") -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self) -> None:
        known = (
            self.path == "/latest/api/token"
            and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        )
        self._answer(200 if known else 400, "secret")

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.broken:
            self.server.broken -= 1
            return self._answer(503)
        if (
            self.path.startswith("/latest/")
            and self.headers["X-aws-ec2-metadata-token"] != "secret"
        ):
            return self._answer(401)
        if (
            self.path.startswith("/computeMetadata/")
            and self.headers["Metadata-Flavor"] != "Google"
        ):
            return self._answer(403)
        text = self.server.answers.get(self.path)
        return self._answer(404) if text is None else self._answer(200, text)

    def log_message(self, format: str, *args: object) -> None:
        """Not into the test's output."""


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    server = Metadata()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def interruption(seconds: int) -> str:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return json.dumps({"action": "terminate", "time": at.strftime("%Y-%m-%dT%H:%M:%SZ")})


def test_aws_notice_carries_its_deadline(metadata: Metadata) -> None:
    aws = Aws(metadata.url)
    assert aws.notice() is None
    metadata.answers["/latest/meta-data/spot/instance-action"] = interruption(120)
    found = aws.notice()
    assert found is not None
    assert 110 <= found.seconds <= 120
    assert "terminate" in found.why


def test_aws_rebalance_counts_only_if_wanted(metadata: Metadata) -> None:
    metadata.answers["/latest/meta-data/events/recommendations/rebalance"] = (
        '{"noticeTime": "2026-11-23T08:22:00Z"}'
    )
    assert Aws(metadata.url).notice() is None
    assert Aws(metadata.url, rebalance=True).notice() is not None


def test_gcp_notices(metadata: Metadata) -> None:
    at = "/computeMetadata/v1/instance/"
    metadata.answers.update(
        {f"{at}preempted": "FALSE", f"{at}maintenance-event": "MIGRATE_ON_HOST_MAINTENANCE"}
    )
    gcp = Gcp(metadata.url)
    assert gcp.notice() is None
    metadata.answers[f"{at}maintenance-event"] = "TERMINATE_ON_HOST_MAINTENANCE"
    found = gcp.notice()
    assert found is not None
    assert found.seconds > GCP_PREEMPTED_SECONDS
    metadata.answers[f"{at}preempted"] = "TRUE"
    found = gcp.notice()
    assert found is not None
    assert found.seconds == GCP_PREEMPTED_SECONDS


def test_a_metadata_server_that_fails_is_not_a_notice(metadata: Metadata) -> None:
    metadata.broken = 3
    metadata.answers["/latest/meta-data/spot/instance-action"] = interruption(90)
    assert watch(Aws(metadata.url).notice, 0.01).seconds <= 90
    assert len(metadata.asked) == 4
    # Nor is an answer that is none: it goes on watching.
    metadata.answers["/latest/meta-data/spot/instance-action"] = "<html>"
    threading.Timer(
        0.2,
        lambda: metadata.answers.update(
            {"/latest/meta-data/spot/instance-action": interruption(60)}
        ),
    ).start()
    assert watch(Aws(metadata.url).notice, 0.01).seconds <= 60


@pytest.mark.parametrize(
    "odd",
    [
        '{"action": "terminate", "time": "2026-11-2',
        '{"action": "terminate", "time": "soon"}',
        '{"action": "terminate", "time": 5}',
        "[]",
        "null",
        "5",
        "\x00\xff",
        "[" * 100_000,
    ],
)
def test_an_odd_answer_ends_nothing(metadata: Metadata, odd: str) -> None:
    action = "/latest/meta-data/spot/instance-action"
    metadata.answers[action] = odd
    turn = threading.Timer(0.1, lambda: metadata.answers.update({action: interruption(60)}))
    turn.start()
    assert watch(Aws(metadata.url).notice, 0.01).seconds <= 60
    assert len(metadata.asked) > 1
    turn.join()


def test_a_time_without_a_zone_is_utc(metadata: Metadata) -> None:
    at = (datetime.now(UTC) + timedelta(seconds=60)).strftime("%Y-%m-%dT%H:%M:%S")
    metadata.answers["/latest/meta-data/spot/instance-action"] = json.dumps(
        {"action": "stop", "time": at}
    )
    found = Aws(metadata.url).notice()
    assert found is not None
    assert 50 <= found.seconds <= 60


@pytest.mark.parametrize("said", [b"HTTP/9 what\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"", b"\n"])
def test_a_server_that_breaks_off_ends_nothing(said: bytes) -> None:
    """A status line that is none, and answers that end too early."""

    class Short(StreamRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.wfile.write(said)

    server = ThreadingTCPServer(("127.0.0.1", 0), Short)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    looks = []

    def look() -> Notice | None:
        looks.append(1)
        if len(looks) > 2:
            return Notice("over", 1)
        return Gcp(f"http://127.0.0.1:{server.server_address[1]}").notice()

    assert watch(look, 0.01).why == "over"
    server.shutdown()
    server.server_close()


def test_no_proxy_is_asked(metadata: Metadata) -> None:
    """A process of its own: what it would use of the environment is read when it starts."""
    proxy = Metadata()
    threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
    at = "/computeMetadata/v1/instance/"
    metadata.answers.update({f"{at}preempted": "TRUE"})
    script = "import sys; from jobs.sentinel import Gcp; print(Gcp(sys.argv[1]).notice().seconds)"
    env = {key: text for key, text in os.environ.items() if "proxy" not in key.lower()}
    ran = subprocess.run(
        [sys.executable, "-c", script, metadata.url],
        env={**env, "http_proxy": proxy.url, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    proxy.shutdown()
    proxy.server_close()
    assert ran.stdout == f"{GCP_PREEMPTED_SECONDS}\n", ran.stderr
    assert proxy.asked == []
    assert metadata.asked == [f"{at}preempted"]


def test_no_test_asks_a_real_metadata_server() -> None:
    """Sentinels of tests and benchmarks get an address of this machine, or have none to ask."""
    named = re.compile(r"169\.254\.169\.254|metadata\.google|(Aws|Gcp)\(\)")
    found = [
        path.relative_to(ROOT).as_posix()
        for folder in ("tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if named.search(path.read_text()) and path != Path(__file__)
    ]
    assert found == []


@pytest.mark.ray
def test_the_notice_drains_the_node_of_a_real_cluster(metadata: Metadata) -> None:
    pytest.importorskip("ray")
    from tests.helpers.ray_head import RayHead

    with RayHead(num_cpus=1) as head:
        # A node without work leaves at once when it is drained; this one has some.
        worker = subprocess.Popen(
            [sys.executable, "-c", BUSY_DRIVER, head.address],
            env=head.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "working {}\n"
        sentinel = subprocess.Popen(
            [
                sys.executable,
                str(ROOT / "jobs" / "sentinel.py"),
                "aws",
                "--address",
                head.address,
                "--metadata",
                metadata.url,
                "--every",
                "0.2",
            ],
            env=head.env,
            cwd=head.folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert sentinel.stdout is not None
        assert "watching" in sentinel.stdout.readline()
        metadata.answers["/latest/meta-data/spot/instance-action"] = interruption(100)
        assert sentinel.wait(60) == 0
        (deadline_ms,) = json.loads(worker.stdout.readline().removeprefix("draining ")).values()
        assert 60 <= deadline_ms / 1000 - time.time() <= 101
        worker.kill()
        worker.wait(10)


# Holds an actor, says which nodes drain until when: {} first, then the first that does.
BUSY_DRIVER = """
import json, sys, time
import ray
from ray._raylet import GcsClient

ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")

@ray.remote(num_cpus=1)
class Worker:
    def ping(self): return True

worker = Worker.remote()
ray.get(worker.ping.remote())
client = GcsClient(address=sys.argv[1])
print("working", json.dumps(client.get_draining_nodes()), flush=True)
while not client.get_draining_nodes():
    time.sleep(0.2)
found = {str(k): v for k, v in client.get_draining_nodes().items()}
print("draining", json.dumps(found), flush=True)
time.sleep(600)
"""
