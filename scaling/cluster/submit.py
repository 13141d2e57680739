"""`scaling submit`: look at a cluster, then refuse with reasons or give it the study."""

from __future__ import annotations

import json
import logging
import shlex
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.cluster.access import check_dashboard
from scaling.cluster.check import ClusterError, Findings, complaints
from scaling.cluster.ray_private import PROBE_LINE
from scaling.cluster.upload import ENTRY, EXCLUDES, upload_for
from scaling.store.store import Store
from scaling.study.study import Study

PROBE_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A study that was given to a cluster."""

    job: str
    address: str
    num_bytes: int
    findings: Findings


def submit(
    study_file: str,
    study: Study,
    store: Store,
    *,
    address: str,
    folder: Path | None,
    source: Path | None,
    open_cluster: bool,
    send_token_to: str,
    options: Sequence[str],
    say: Callable[[str], None],
) -> Submission:
    """Check everything, then submit.

    ClusterError lists what speaks against it; nothing was started then.

    Args:
        study_file: What the user gave: a path, or the name of a shipped study.
        study: The study in it.
        store: Its store, as this machine and the cluster see it.
        address: URL of the Ray dashboard.
        folder: Checkout to upload; None for the current folder, or what is installed here.
        source: Folder with raw data and models, as the cluster's head sees it.
        open_cluster: Accept a dashboard that asks for no token.
        send_token_to: Host that may get the token over plain http; '' for none.
        options: Further ones of `scaling run`.
        say: Told what is checked.
    """
    import ray

    # Its notices name every .gitignore, three times over.
    logging.getLogger(ray.__name__).setLevel(logging.ERROR)
    say("size of the upload")
    with upload_for(study_file, folder) as upload:
        words = ["python", ENTRY, upload.study, "--store", store.uri]
        words += [] if source is None else ["--from", str(source)]
        words += options
        # The job's driver looks too.
        entry = shlex.join([*words, "--open-cluster"] if open_cluster else words)
        say("authentication")
        check_dashboard(address, open_cluster=open_cluster, send_token_to=send_token_to)
        client = job_client(address)
        runtime_env = {"working_dir": str(upload.folder), "excludes": list(EXCLUDES)}
        job = _next_id(client, study.name)
        store.check_study(study.name)
        store.check_writable()
        say("versions, store and room of the cluster: a short job there")
        findings = probe(client, job, store, runtime_env)
        wrong = complaints(findings, study, upload.wanted, store.uri)
        if wrong:
            raise ClusterError("\n".join(wrong))
        say("submitting")
        client.submit_job(
            entrypoint=entry,
            submission_id=job,
            runtime_env=runtime_env,
            metadata={"study": study.name, "store": store.uri},
        )
    return Submission(job=job, address=address, num_bytes=upload.num_bytes, findings=findings)


def job_client(address: str) -> Any:
    """A client of the job server; ClusterError if this machine's token is not the cluster's."""
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except (AuthenticationError, ConnectionError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise ClusterError(
            f"{address} refused us: {first} RAY_AUTH_TOKEN_PATH must name a file with the cluster's"
            " token"
        ) from error


def jobs_of(client: Any, study: str) -> list[Any]:
    """Every job of a study that this cluster remembers."""
    return [
        job
        for job in client.list_jobs()
        if job.submission_id and (job.metadata or {}).get("study") == study
    ]


def _is_over(job: Any) -> bool:
    return bool(job.status.is_terminal())


def _next_id(client: Any, study: str) -> str:
    """Study and attempt. ClusterError if an attempt is still at work."""
    before = jobs_of(client, study)
    for job in before:
        if not _is_over(job):
            raise ClusterError(
                f"the job {job.submission_id} of this study is {job.status.lower()}; wait for it or"
                " stop it with `scaling cancel`"
            )
    return f"{study}-{len(before) + 1}"


def probe(client: Any, job: str, store: Store, runtime_env: dict[str, Any]) -> Findings:
    """Run jobs/probe.py there. ClusterError with the end of its log if it cannot say anything.

    Args:
        client: Of the job server.
        job: Id of the job that is to follow.
        store: Where this machine leaves a mark that the nodes must see.
        runtime_env: What the job is uploaded with.
    """
    mark = f"probe/{uuid.uuid4().hex[:12]}"
    name = f"{job}-{mark.replace('/', '-')}"
    store.write(f"{mark}/submitter", "")
    try:
        client.submit_job(
            entrypoint=shlex.join(["python", "jobs/probe.py", store.uri, mark]),
            submission_id=name,
            runtime_env=runtime_env,
        )
        deadline = time.monotonic() + PROBE_SECONDS
        while not client.get_job_status(name).is_terminal() and time.monotonic() < deadline:
            time.sleep(0.5)
        log = client.get_job_logs(name)
    finally:
        store.delete_folder(mark)
    for line in log.splitlines():
        if line.startswith(PROBE_LINE):
            return Findings.from_json(json.loads(line.removeprefix(PROBE_LINE)))
    info = client.get_job_info(name)
    end = "\n".join((log or info.message or "it said nothing").splitlines()[-15:])
    raise ClusterError(f"the probe {name} ended as {info.status} and found nothing:\n{end}")


def cancel(address: str, study: str, *, send_token_to: str) -> list[str]:
    """Stop the running jobs of a study, also on an open cluster; their ids."""
    check_dashboard(address, open_cluster=True, send_token_to=send_token_to)
    client = job_client(address)
    running = [job.submission_id for job in jobs_of(client, study) if not _is_over(job)]
    for job in running:
        client.stop_job(job)
    return running
