"""scaling doctor: whether a run would fail on this machine, and why."""

from __future__ import annotations

import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated

import typer
from packaging.requirements import Requirement

from scaling.catalogue.hardware import GIB
from scaling.cli.app import StoreOption, app, console, open_store
from scaling.cli.tables import FoldedTable
from scaling.cluster.check import ClusterError
from scaling.study.study import Study, load_study

# Less than this on a disk, and not even a small checkpoint fits.
LEAST_DISK_GIB = 1.0
# Ray keeps objects there; with less it uses the disk, slowly.
USUAL_SHM_GIB = 1.0
HUB_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one look says."""

    what: str
    said: str
    fails: bool = False
    """Whether a run would fail of it."""


@app.command()
def doctor(
    name: Annotated[
        str, typer.Argument(metavar="[STUDY]", help="Whose sources and store are meant.")
    ] = "demo",
    uri: StoreOption = "",
    address: Annotated[
        str, typer.Option("--address", help="URL of a Ray dashboard that jobs would go to.")
    ] = "",
) -> None:
    """Look whether a run would fail here; exit code 1 if so. Makes and downloads nothing."""
    study = load_study(name)
    findings = [
        *look_at_versions(requires("stilts-scaling") or []),
        *look_at_device(),
        look_at_shared_memory(Path("/dev/shm")),
        look_at_store(study, uri),
        look_at_hub(study),
        look_at_token(),
        *([look_at_cluster(address)] if address else []),
    ]
    table = FoldedTable(("what", "found", "a run"))
    for finding in findings:
        table.add_row(finding.what, finding.said, "would fail" if finding.fails else "ok")
    console.print(table)
    if any(finding.fails for finding in findings):
        raise typer.Exit(1)


def look_at_versions(
    requirements: Sequence[str], installed: Callable[[str], str] = version
) -> list[Finding]:
    """What running needs: packages that are missing, and versions that are not those tested."""
    wanted = [Requirement(text) for text in requirements]
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": "run"})]
    odd = []
    for one in wanted:
        try:
            found = installed(one.name)
        except PackageNotFoundError:
            said = f"missing; pip install '{one.name}{one.specifier}'"
            odd.append(Finding(what=one.name, said=said, fails=True))
            continue
        if not one.specifier.contains(found, prereleases=True):
            said = f"{found}, tested with {one.specifier}; numbers may differ"
            odd.append(Finding(what=one.name, said=said))
    python = ".".join(map(str, sys.version_info[:3]))
    whole = f"Python {python}, {len(wanted) - len(odd)} of {len(wanted)} packages as tested"
    return [Finding(what="versions", said=whole, fails=not wanted), *odd]


def look_at_device() -> list[Finding]:
    """Devices and their memory; the CPU's if there is no GPU."""
    try:
        import torch
    except ImportError as error:
        return [Finding(what="device", said=f"unknown without torch: {error}", fails=True)]
    if not torch.cuda.is_available():
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
        said = f"no GPU; {os.cpu_count()} CPUs, {memory:.1f} GiB"
        return [Finding(what="device", said=said)]
    return [
        Finding(
            what=f"GPU {at}",
            said=f"{device.name}, {device.total_memory / GIB:.1f} GiB",
        )
        for at in range(torch.cuda.device_count())
        for device in [torch.cuda.get_device_properties(at)]
    ]


def look_at_shared_memory(folder: Path) -> Finding:
    """Where Ray keeps objects."""
    if not folder.is_dir():
        return Finding(what="shared memory", said=f"no {folder}; Ray uses the disk, slowly")
    free = shutil.disk_usage(folder).free / GIB
    slow = "" if free >= USUAL_SHM_GIB else f", less than {USUAL_SHM_GIB:g}: Ray uses the disk"
    return Finding(what="shared memory", said=f"{free:.1f} GiB free in {folder}{slow}")


def look_at_store(study: Study, uri: str) -> Finding:
    """Whether the study's store can be written to, how fast, and how much room its disk has."""
    store = open_store(study, uri)
    where, room = store.uri, ""
    if store.local is not None:
        there = next(at for at in (store.local, *store.local.parents) if at.exists())
        free = shutil.disk_usage(there).free / GIB
        room = f"; {free:.1f} GiB free"
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            return Finding(what="store", said=f"{there} cannot be written to", fails=True)
        if free < LEAST_DISK_GIB:
            return Finding(what="store", said=f"{where}{room}", fails=True)
        if there != store.local:
            return Finding(what="store", said=f"{where} would be made{room}")
    store.is_of(study.name)
    before = time.monotonic()
    store.check_writable()
    took = 1000 * (time.monotonic() - before)
    return Finding(what="store", said=f"{where}: a file written and deleted in {took:.0f} ms{room}")


def look_at_hub(study: Study) -> Finding:
    """Whether the hub answers, if the study reads anything from it."""
    sources = {study.model(name).source for name in study.models}
    for task in study.used_tasks:
        sources |= {part.source for part in study.task(task).data}
    needed = sum(source.startswith("hub:") for source in sources)
    use = f"{study.name} reads {needed} sources from it" if needed else "not needed"
    try:
        from huggingface_hub import constants
    except ImportError as error:
        return Finding(what="hub", said=f"{error}; {use}", fails=needed > 0)
    if constants.HF_HUB_OFFLINE:
        # What is in its cache can be read all the same.
        return Finding(what="hub", said=f"offline, as HF_HUB_OFFLINE asks; {use}")
    try:
        urllib.request.urlopen(constants.ENDPOINT, timeout=HUB_SECONDS).close()
    except urllib.error.HTTPError:
        # It answers.
        pass
    except OSError as error:
        said = f"{constants.ENDPOINT} does not answer ({error}); {use}"
        return Finding(what="hub", said=said, fails=needed > 0)
    return Finding(what="hub", said=f"{constants.ENDPOINT} answers; {use}")


def look_at_token() -> Finding:
    """Ray's token, which every driver and worker here must have."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return Finding(what="Ray's token", said="in RAY_AUTH_TOKEN")
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
    if path.is_file():
        return Finding(what="Ray's token", said=f"in {path}")
    if named:
        return Finding(
            what="Ray's token", said=f"RAY_AUTH_TOKEN_PATH names no file: {path}", fails=True
        )
    return Finding(what="Ray's token", said=f"none yet; a run makes {path}")


def look_at_cluster(address: str) -> Finding:
    """Whether a cluster answers, asks strangers for a token, and takes the one that is here.

    What its nodes have is for `scaling submit` to look at: it takes a job there.
    """
    try:
        from scaling.cluster.access import check_dashboard
        from scaling.cluster.submit import job_client
    except ImportError as error:
        return Finding(what="cluster", said=f"unknown without ray: {error}", fails=True)
    try:
        check_dashboard(address, open_cluster=False, send_token_to="")
        job_client(address)
    except ClusterError as error:
        return Finding(what="cluster", said=str(error), fails=True)
    said = f"{address} answers and takes this token; `scaling submit` looks at its nodes"
    return Finding(what="cluster", said=said)
