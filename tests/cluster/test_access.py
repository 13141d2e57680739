"""Tokens that others can read, clusters that ask for none, servers that would like to have one."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("ray")

from scaling.cluster.access import check_dashboard, check_head, private_token
from scaling.cluster.check import ClusterError
from scaling.spec import UserError
from tests.helpers.ray_head import RayHead


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is set here is not left to other tests, which talk to clusters."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    yield
    monkeypatch.undo()
    from scaling.cluster.ray_private import set_auth_mode

    before = os.environ.get("RAY_AUTH_MODE")
    set_auth_mode("token" if before == "token" else "disabled")
    if before is None:
        del os.environ["RAY_AUTH_MODE"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_made_for_this_user_alone_and_once(home: Path) -> None:
    before = os.umask(0o022)
    try:
        private_token()
    finally:
        os.umask(before)
    token = home / ".ray" / "auth_token"
    assert (mode(token), mode(token.parent)) == (0o600, 0o700)
    text = token.read_text()
    assert len(text) == 64
    assert list(token.parent.iterdir()) == [token]
    private_token()
    assert token.read_text() == text


def test_a_token_that_others_could_read_is_closed_and_said(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = home / ".ray" / "auth_token"
    token.parent.mkdir(mode=0o755)
    token.write_text("a" * 64)
    token.chmod(0o644)
    private_token()
    assert (mode(token), mode(token.parent)) == (0o600, 0o700)
    assert token.read_text() == "a" * 64
    assert "could be read by other users of this machine" in caplog.text
    caplog.clear()
    private_token()
    assert not caplog.text


def test_a_named_token_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(UserError, match="there is no such file"):
        private_token()


class _Server(ThreadingHTTPServer):
    """Says one status to everything, and remembers whether a token came."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.tokens = status, list[str]()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.tokens += [self.headers["Authorization"]] * ("Authorization" in self.headers)
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, format: str, *args: object) -> None:
        """Not into the test's output."""


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[_Server]:
    started = _Server(request.param)
    threading.Thread(target=started.serve_forever, args=(0.05,), daemon=True).start()
    yield started
    started.shutdown()
    started.server_close()


@pytest.mark.parametrize("server", [401], indirect=True)
def test_the_token_goes_to_this_machine_or_to_a_host_that_was_named_twice(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A name of another machine, which leads to this server: a stranger's, by a proxy.
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    check_dashboard(f"http://127.0.0.1:{server.server_port}", open_cluster=False, send_token_to="")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    asked: dict[str, bool] = {"open_cluster": False}
    monkeypatch.setattr("scaling.cluster.access._bypass_proxies", lambda host: None)
    for address in ("http://head.example:8265", "http://127.0.0.1.head.example:8265"):
        with pytest.raises(
            ClusterError, match=r"your token would go to .*head\.example unencrypted"
        ):
            check_dashboard(address, **asked, send_token_to="")
    with pytest.raises(ClusterError, match="your token would go"):
        check_dashboard("http://head.example:8265", **asked, send_token_to="other.example")
    check_dashboard("http://head.example:8265", **asked, send_token_to="head.example")
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert server.tokens == []


def test_plain_http_goes_to_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = _Server(401)
    threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
    monkeypatch.setenv("no_proxy", "first.example")
    # Nobody listens at port 9: an answer would be the proxy's.
    with pytest.raises(ClusterError, match="no Ray dashboard answers"):
        check_dashboard("http://127.0.0.1:9", open_cluster=False, send_token_to="")
    assert os.environ["no_proxy"] == "first.example,127.0.0.1"
    proxy.shutdown()
    proxy.server_close()


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8265@head.example",
        "http://head.example\\@127.0.0.1:8265",
        "http://127.0.0.1:8265#@head.example",
        "file:///etc/passwd",
        "http://",
        "127.0.0.1:8265",
    ],
)
def test_an_address_that_two_libraries_could_read_differently_is_refused(address: str) -> None:
    with pytest.raises(ClusterError, match="is no URL of a Ray dashboard"):
        check_dashboard(address, open_cluster=True, send_token_to="head.example")


@pytest.mark.parametrize("server", [200], indirect=True)
def test_an_open_dashboard_is_wanted_or_refused_and_gets_no_token(server: _Server) -> None:
    address = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(ClusterError, match="runs jobs of anybody who reaches it"):
        check_dashboard(address, open_cluster=False, send_token_to="")
    check_dashboard(address, open_cluster=True, send_token_to="")
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert server.tokens == []


@pytest.mark.ray
@pytest.mark.slow
def test_a_head_that_obeys_strangers_is_refused_unless_wanted() -> None:
    with RayHead(num_cpus=1, auth=False) as head:
        with pytest.raises(UserError, match="obeys anybody who reaches it, without a token"):
            check_head(head.address, open_cluster=False)
        check_head(head.address, open_cluster=True)
        assert os.environ["RAY_AUTH_MODE"] == "disabled"
    with RayHead(num_cpus=1) as head:
        check_head(head.address, open_cluster=False)
        assert os.environ["RAY_AUTH_MODE"] == "token"
    with pytest.raises(UserError, match="no Ray cluster at"):
        check_head(head.address, open_cluster=True)
