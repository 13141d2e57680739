"""A store on an object store whose network fails: moto's S3 server behind a proxy on loopback."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from functools import partial

from benchmarks.fault_case import HANG_SECONDS, Case, Kind
from tests.helpers.s3_server import SLOW_DOWN, Objects, answer


@dataclass
class Puts:
    """Records that were written, as the proxy saw them."""

    objects: Objects
    prefix: str

    def read(self) -> Counter[str]:
        """Step → how often its record was written."""
        found: Counter[str] = Counter()
        for line in list(self.objects.requests):
            if line.startswith("PUT") and f"/{self.prefix}/records/" in line:
                path = line.split()[1].partition("?")[0]
                found[path.split("/")[-1].removesuffix(".json")] += 1
        return found


@dataclass(kw_only=True)
class RemoteCase(Case):
    """A case whose store lies behind a network."""

    objects: Objects

    @property
    def prefix(self) -> str:
        return self.folder.name

    @property
    def uri(self) -> str:
        return self.objects.uri(self.prefix)

    def begin(self, *, staged: bool = True) -> RemoteCase:
        """Upload the staged store; nothing is broken yet."""
        self.temporary.mkdir(parents=True, exist_ok=True)
        store = self.store
        if staged:
            for path in sorted(self.calm.staged.rglob("*")):
                if path.is_file():
                    name = path.relative_to(self.calm.staged).as_posix()
                    store.write(name, path.read_bytes())
        self.commits = Puts(self.objects, self.prefix)  # type: ignore[assignment]
        return self

    def is_busy(self) -> bool:
        return any(
            line.startswith("PUT") and f"/{self.prefix}/" in line and "/leases/" in line
            for line in list(self.objects.requests)
        )

    def names(self) -> list[str]:
        return [entry.name for entry in self.store.entries("")]


def _broken(case: Case, what: bytes, most: int) -> None:
    """At moments that the seed chooses, the next few requests get this for an answer."""
    _stormy(case, lambda remote: remote.objects.breaking.extend([what] * most))


def _cut(case: Case) -> None:
    def cut(remote: RemoteCase) -> None:
        remote.objects.cutting = 2

    _stormy(case, cut)


def _stormy(case: Case, strike) -> None:  # type: ignore[no-untyped-def]
    assert isinstance(case, RemoteCase)
    case.begin()
    process = case.start()
    case.until(0, process)
    deadline = time.monotonic() + HANG_SECONDS
    while process.exitcode is None and time.monotonic() < deadline:
        strike(case)
        process.join(case.random.uniform(0.2, 1.5))
    case.objects.breaking.clear()
    case.objects.cutting = 0
    case.join(process)
    case.finish()


def _slow(case: Case, seconds: float) -> None:
    assert isinstance(case, RemoteCase)
    process = case.begin().start()
    case.until(case.random.choice((0, 1)), process)
    for _ in range(2):
        case.objects.stalling = seconds
        process.join(seconds)
        case.objects.stalling = 0.0
        process.join(1.0)
    case.join(process)
    case.finish()


def _away(case: Case, seconds: float) -> None:
    assert isinstance(case, RemoteCase)
    process = case.begin().start()
    case.until(case.random.choice((0, 1, 3)), process)
    case.objects.always = b""
    process.join(seconds)
    case.objects.always = None
    case.join(process)
    case.finish()


NETWORK: dict[str, Kind] = {
    "S3: asked to slow down": partial(_broken, what=answer("503 Slow Down", SLOW_DOWN), most=3),
    "S3: connections dropped": partial(_broken, what=b"", most=2),
    "S3: bodies cut": _cut,
    "S3: stalls": partial(_slow, seconds=4.0),
    "S3: away for a moment": partial(_away, seconds=3.0),
    "S3: away": partial(_away, seconds=20.0),
}
