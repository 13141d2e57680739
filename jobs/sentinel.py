"""Watches a spot machine for its provider's notice, and drains its Ray node. One per node.

    python sentinel.py aws --address HEAD:6379 &
    python sentinel.py now --seconds 110 --address HEAD:6379     (a pod that is about to be ended)

Ray's cluster launcher does not read spot notices. A drained node gets no new work, and Ray Train
tells the worker groups on it how long they have (`ray.train.get_preemption_info`), so that they
save a resume point.

AWS: IMDSv2 (docs.aws.amazon.com: "Spot Instance interruption notices", 120 s). GCP:
`instance/preempted` (30 s) and `instance/maintenance-event`, on which GPU machines are stopped
(cloud.google.com: "Handle GPU host maintenance"). Needs ray and scaling/cluster/ray_private.py
beside jobs/, nothing else.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scaling.cluster.ray_private import living_nodes

AWS = "http://169.254.169.254"
GCP = "http://metadata.google.internal"
# A node may start its sentinel before Ray's head has heard of the node.
REGISTER_SECONDS = 60
REASON = "DRAIN_NODE_REASON_PREEMPTION"
# What GCP leaves a preempted machine, and a GPU machine before host maintenance.
GCP_PREEMPTED_SECONDS = 30
GCP_MAINTENANCE_SECONDS = 3600
_TOKEN_SECONDS = 21600


@dataclass(frozen=True)
class Notice:
    """What a provider announced: why the machine will go away, and when."""

    why: str
    seconds: int
    """Until the machine is gone."""


# A metadata server is on the machine's own link: a proxy would get its secrets and could lie.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# Its longest answer has some hundred.
_MOST_BYTES = 2**16
# Whatever an answer may be that is none: one must not end the sentinel, and all notices with it.
_ODD = (
    OSError,
    http.client.HTTPException,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RecursionError,
)


def _ask(url: str, headers: dict[str, str], method: str = "GET") -> str | None:
    """The answer's text; None for 404, which means that there is no notice.

    OSError where nobody answers.
    """
    try:
        with _DIRECT.open(
            urllib.request.Request(url, headers=headers, method=method), timeout=5
        ) as answer:
            return str(answer.read(_MOST_BYTES).decode())
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


class Aws:
    """AWS's metadata server, IMDSv2: a session token first, then the notice.

    Rebalance recommendations are notices only if that is asked for.
    """

    def __init__(self, base: str = AWS, *, rebalance: bool = False) -> None:
        self.base, self.rebalance = base, rebalance
        self._token, self._until = "", 0.0

    def _get(self, path: str) -> str | None:
        if time.monotonic() >= self._until:
            ask = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
            self._token = _ask(f"{self.base}/latest/api/token", ask, "PUT") or ""
            self._until = time.monotonic() + _TOKEN_SECONDS / 2
        try:
            return _ask(
                f"{self.base}/latest/meta-data/{path}", {"X-aws-ec2-metadata-token": self._token}
            )
        except urllib.error.HTTPError:
            self._until = 0.0  # the token may have been refused: the next look gets a new one
            raise

    def notice(self) -> Notice | None:
        """An interruption notice, or a wanted recommendation; None while there is none."""
        found = self._get("spot/instance-action")
        if found is not None:
            action = json.loads(found)
            what, when = str(action["action"]), str(action["time"])
            at = datetime.fromisoformat(when.replace("Z", "+00:00"))
            # AWS means UTC; a time that does not say so is no reason to look away.
            at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
            left = int((at - datetime.now(UTC)).total_seconds())
            return Notice(f"AWS will {what!r:.20} this machine at {when!r:.40}", max(0, left))
        if self.rebalance and self._get("events/recommendations/rebalance") is not None:
            return Notice("AWS recommends to leave this machine", 600)
        return None


class Gcp:
    """The metadata server of Compute Engine."""

    def __init__(self, base: str = GCP) -> None:
        self.base = base

    def _get(self, name: str) -> str:
        url = f"{self.base}/computeMetadata/v1/instance/{name}"
        return (_ask(url, {"Metadata-Flavor": "Google"}) or "").strip()

    def notice(self) -> Notice | None:
        """A preemption or a maintenance event; None while there is none."""
        if self._get("preempted") == "TRUE":
            return Notice("GCP preempts this machine", GCP_PREEMPTED_SECONDS)
        if self._get("maintenance-event") == "TERMINATE_ON_HOST_MAINTENANCE":
            return Notice("GCP stops this machine for maintenance", GCP_MAINTENANCE_SECONDS)
        return None


def watch(look: Callable[[], Notice | None], every_seconds: float) -> Notice:
    """The first notice. A metadata server that does not answer, or oddly, is asked again."""
    quiet = False
    while True:
        try:
            notice = look()
        except _ODD as error:
            if not quiet:
                print(f"sentinel: no usable answer from the metadata server: {error!r}", flush=True)
            quiet = True
        else:
            quiet = False
            if notice is not None:
                return notice
        time.sleep(every_seconds)


def own_node(address: str) -> str:
    """Hex id of the living Ray node on this machine; LookupError unless there is exactly one."""
    import ray

    here, ask = ray.util.get_node_ip_address(), living_nodes(address)
    until = time.monotonic() + REGISTER_SECONDS
    while True:
        alive = ask()
        ours = [node for node, place in alive.items() if place == here]
        if len(ours) == 1:
            return ours[0]
        if ours or time.monotonic() > until:
            raise LookupError(
                f"{len(ours)} living Ray nodes on {here}, all are {alive}; give --node-id"
            )
        time.sleep(1)


def drain(address: str, node: str, notice: Notice) -> None:
    """Tell Ray, twice if the first try fails. subprocess.CalledProcessError where Ray refuses."""
    command = [
        os.path.join(os.path.dirname(sys.executable), "ray"),
        "drain-node",
        "--address",
        address,
        "--node-id",
        node,
        "--reason",
        REASON,
        "--reason-message",
        notice.why,
        "--deadline-remaining-seconds",
        str(notice.seconds),
    ]
    if subprocess.run(command, check=False).returncode:
        time.sleep(1)
        subprocess.run(command, check=True)


def main() -> None:
    """Watch, then drain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("provider", choices=["aws", "gcp", "now"])
    parser.add_argument("--address", required=True, help="HOST:PORT of the Ray head.")
    parser.add_argument(
        "--node-id", help="Hex id of this Ray node; found by the machine's address if absent."
    )
    parser.add_argument("--metadata", help="URL of the metadata server; the provider's if absent.")
    parser.add_argument("--every", type=float, default=5.0, help="Seconds between looks.")
    parser.add_argument(
        "--seconds", type=int, default=GCP_PREEMPTED_SECONDS, help="now: what is left."
    )
    parser.add_argument(
        "--rebalance", action="store_true", help="AWS: drain on a rebalance recommendation too."
    )
    given = parser.parse_args()
    look: Callable[[], Notice | None]
    if given.provider == "now":
        look = partial(Notice, "this machine is about to be ended", given.seconds)
    elif given.provider == "aws":
        look = Aws(given.metadata or AWS, rebalance=given.rebalance).notice
    else:
        look = Gcp(given.metadata or GCP).notice
    # Found now, since a notice leaves no time to find out that it cannot be found.
    node = given.node_id or own_node(given.address)
    print(
        f"sentinel: watching for {given.provider} notices on behalf of Ray node {node}", flush=True
    )
    notice = watch(look, given.every)
    print(f"sentinel: {notice.why}; draining, {notice.seconds} s left", flush=True)
    drain(given.address, node, notice)


if __name__ == "__main__":
    main()
