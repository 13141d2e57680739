"""Who may do what on a cluster: this user's token, heads that ask for none, where a token goes."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from scaling.cluster.check import ClusterError
from scaling.cluster.ray_private import answers_strangers, head_of, new_token, set_auth_mode
from scaling.spec import UserError

LOG = logging.getLogger(__name__)

# Of one answer of a dashboard.
_ANSWER_SECONDS = 15


def private_token() -> None:
    """See that this user has a token for Ray that nobody else can read; make one if there is none.

    The default file and folder of this user are closed where others could read them, which is said.
    UserError for a file named by RAY_AUTH_TOKEN_PATH that is not there, or that everybody can read
    and that is not ours to close.
    """
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    if named := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        path = Path(named).expanduser()
        if not path.is_file():
            raise UserError(f"RAY_AUTH_TOKEN_PATH names {path}, and there is no such file")
    else:
        path = Path.home() / ".ray" / "auth_token"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close(path.parent, 0o700)
        if not path.exists():
            _create(path, new_token())
    _close(path, 0o600)


def _create(path: Path, text: str) -> None:
    """A file of this user alone, whole from the start; one that came in between stays."""
    # `mkstemp` makes it for its owner alone, whatever the umask says.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".token-")
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        os.link(temporary, path)
    except FileExistsError:
        LOG.info("%s was made by another process", path)
    finally:
        Path(temporary).unlink()


def _close(path: Path, mode: int) -> None:
    found = path.stat()
    if not found.st_mode & 0o077:
        return
    if found.st_uid == os.getuid():
        path.chmod(mode)
        if path.is_file():
            LOG.warning(
                "%s could be read by other users of this machine, who could run code as you on your"
                " clusters; it is closed now. If they may have read it, delete it and start your"
                " clusters again",
                path,
            )
    elif found.st_mode & 0o007:
        raise UserError(
            f"every user of this machine can read or replace {path}, and who has the token of a"
            " cluster runs code there: close it (chmod o-rwx), or name another file by"
            " RAY_AUTH_TOKEN_PATH"
        )


def only_with_tokens() -> None:
    """Switch Ray's token authentication on, whatever the environment says; a difference is said."""
    mode = os.environ.get("RAY_AUTH_MODE", "token")
    if mode != "token":
        LOG.warning("RAY_AUTH_MODE is %r here; what is started answers no stranger: token", mode)
    set_auth_mode("token")


def check_head(address: str, *, open_cluster: bool) -> None:
    """UserError for the address of a Ray head that obeys strangers, unless that is wanted.

    Who joins gives a head its code, and its token: an open one gets none.
    """
    try:
        is_open = answers_strangers(head_of(address))
    except ConnectionError as error:
        raise UserError(f"no Ray cluster at {address}: {error}") from error
    if not is_open:
        only_with_tokens()
        return
    if not open_cluster:
        raise UserError(
            f"{address} obeys anybody who reaches it, without a token. Start the cluster with"
            " RAY_AUTH_MODE=token (cluster.yaml does), or give --open-cluster if its network is"
            " closed"
        )
    set_auth_mode("disabled")


def check_dashboard(address: str, *, open_cluster: bool, send_token_to: str) -> None:
    """ClusterError if nobody answers, if a stranger is let in, or if a token would go astray.

    A job is arbitrary code, and who has the token may send one. It goes to this machine (the end of
    a tunnel), to a server that proves its name (https), or to a host that was named twice. An open
    dashboard gets no token.

    Args:
        address: URL of the dashboard.
        open_cluster: Accept a dashboard that asks for no token.
        send_token_to: Host that may get the token over plain http; '' for none.
    """
    host = _host(address)
    is_plain = urlsplit(address).scheme == "http"
    if is_plain:
        _bypass_proxies(host)
    try:
        # An opener of its own: the common one would remember today's proxies.
        with urllib.request.build_opener().open(
            f"{address.rstrip('/')}/api/jobs/", timeout=_ANSWER_SECONDS
        ) as answer:
            status = int(answer.status)
    except urllib.error.HTTPError as error:
        status = error.code
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise ClusterError(f"no Ray dashboard answers at {address}: {error}") from error
    if status == 200 and not open_cluster:
        raise ClusterError(
            f"{address} runs jobs of anybody who reaches it, without a token. Start the cluster"
            " with RAY_AUTH_MODE=token (cluster.yaml does), or give --open-cluster if its network"
            " is closed"
        )
    if status == 200:
        set_auth_mode("disabled")
        return
    if status not in (401, 403):
        raise ClusterError(
            f"{address} answers {status} to /api/jobs/; is it the address of a Ray dashboard?"
        )
    if is_plain and not _is_this_machine(host) and host != send_token_to.lower():
        raise ClusterError(
            f"your token would go to {host} unencrypted, whoever that is. Forward the port of the"
            " dashboard to this machine (`ray dashboard cluster.yaml`, ssh -L) and give its"
            f" address here, use https, or give --send-token-to {host} if the network is yours"
        )
    only_with_tokens()


def _host(address: str) -> str:
    """The host of a dashboard's URL, in lower case. ClusterError for what is no such URL."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    # Anything else in it is read differently by different libraries: two hosts in one address.
    if not host or not re.fullmatch(r"https?://[A-Za-z0-9.\-_:\[\]]+(/[A-Za-z0-9._/-]*)?", address):
        raise ClusterError(f"{address!r} is no URL of a Ray dashboard, such as http://HEAD:8265")
    return host


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bypass_proxies(host: str) -> None:
    """What is not encrypted goes to no proxy, which would read the token."""
    for name in ("no_proxy", "NO_PROXY"):
        named = [os.environ[name]] if os.environ.get(name) else []
        os.environ[name] = ",".join([*named, host])
