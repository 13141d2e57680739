"""Whole small studies of four families, staged from a hub, undisturbed and killed.

    python -m benchmarks.families_studies mt5 qwen3    # these alone; about four minutes a family

Two depths of one checkpoint, two arms, two targets, three languages. The checkpoints are random and
tiny, in files as the families' repositories have them: mT5 as `pytorch_model.bin` with its decoder
and a `spiece.model`, Qwen3 in shards, mmBERT as `.bin`. One run is left alone. In another the
driver is killed in the middle of a training, in a third a worker; both are submitted again until
all is done. What the three say of the world must be equal, bit for bit.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fault_case import HANG_SECONDS, Calm, Missed, serve
from benchmarks.fault_ray import RayCase
from benchmarks.nodes import ROOT
from benchmarks.results_table import write_results
from scaling.planning.progress import current_plan
from scaling.store.store import Store
from scaling.study.study import load_study
from tests.helpers.hub_server import Hub, serving
from tests.helpers.tiny import tiny_content, write_study
from tests.helpers.tiny_families import as_at_the_hub, make_family

# Tries to have a kill strike before a study is over.
TRIES = 4
# By then Ray has its workers on a machine that is not busy with something else.
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A family's tiny study."""

    architecture: str
    family: str
    layers: int
    """Of the checkpoint."""
    shallow: int
    """Layers of the smaller size."""
    study: Mapping[str, Any] = field(default_factory=dict)


FAMILIES = {
    "mt5": Tried(architecture="mt5", family="mt5", layers=4, shallow=2),
    "qwen3": Tried(
        architecture="qwen3",
        family="qwen3",
        layers=4,
        shallow=2,
        study={"method": "lora", "lora": {"rank": 4, "alpha": 8}},
    ),
    "eurobert": Tried(architecture="eurobert", family="eurobert", layers=4, shallow=2),
    "mmbert": Tried(architecture="modernbert", family="mmbert", layers=7, shallow=4),
}


def content_of(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The study file of a family, given the ModelSpec fields of its checkpoint."""
    tried = FAMILIES[name]
    shared = {**fields, "family": tried.family, "source": f"hub:tiny/{name}"}
    models = [
        {**shared, "name": f"{name}-shallow", "keep_layers": tried.shallow},
        # One of them with the rows that its texts use alone.
        {**shared, "name": f"{name}-deep", "trim_vocabulary": True},
    ]
    content = tiny_content(models) | {"name": name} | dict(tried.study)
    content["recipes"]["default"] |= {"epochs": 20, "learning_rate": 3e-3}
    content["placement"]["default"]["resume_every"] = 20
    return content


def calm_study(name: str, folder: Path) -> tuple[Calm, dict[str, Any]]:
    """The study of a family after a run that nothing disturbed, and what is said of that run."""
    tried = FAMILIES[name]
    source = folder / "source"
    fields = make_family(source, tried.architecture, tried.layers)
    as_at_the_hub(source, tried.architecture)
    file, staged = write_study(folder, content_of(name, fields)), folder / "staged"
    with serving(Hub(folder / "hub")) as hub:
        files: dict[str, bytes | Path] = {path.name: path for path in source.iterdir()}
        hub.commit(f"tiny/{name}", files, kind="models")
        _staged(file, staged, hub.url)
    plan = current_plan(load_study(str(file)), Store.open(staged))
    calm = Calm(file=file, staged=staged, plan=plan, expected={})
    case = _case(calm, folder / "calm", 0)
    case.begin().finish()
    if case.complaints or case.starts != 1:
        raise RuntimeError(f"the calm run failed: {case.complaints} {case.said()[-2000:]}")
    store = case.store
    # As `judge` reads the others: without tuples.
    expected = json.loads(json.dumps({step: store.record(step).science() for step in plan.steps}))
    case.calm = Calm(file=file, staged=staged, plan=plan, expected=expected)
    return case.calm, case.judge()


def _staged(file: Path, staged: Path, url: str) -> None:
    """`scaling stage` from a hub at this address."""
    own = {"PYTHONPATH": str(ROOT), "HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0"}
    words = [sys.executable, "-m", "scaling.cli", "stage", str(file), "--store", str(staged)]
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"staging failed: {done.stdout}{done.stderr}")


def _case(calm: Calm, folder: Path, seed: int) -> RayCase:
    folder.mkdir()
    return RayCase(
        calm=calm, folder=folder, random=random.Random(seed), store_path=folder / "store"
    )


def in_training(case: RayCase, process: Any) -> str:
    """The training that is at work, after a moment of its own length. Missed if the study ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.exitcode is None and time.monotonic() < deadline:
        held = {path.stem for path in (case.store_path / "leases").glob("*.json")}
        held = {step for step in held if step.startswith(("ii.", "iii."))}
        if held and process.titled("ray::RayTrainWorker"):
            (step,) = sorted(held)[:1]
            time.sleep(case.random.uniform(0.2, 1.5))
            return step
        time.sleep(0.02)
    raise Missed(f"exit code {process.exitcode}: {case.said()[-600:]}")


def driver_killed(case: RayCase) -> str:
    """Kill the driver in a training, and submit the study again; the training that it was."""
    process: Any = case.begin().start()
    step = in_training(case, process)
    process.kill()
    case.finish()
    return step


def worker_killed(case: RayCase) -> str:
    """Kill a worker in a training; the run must end well by itself."""
    process: Any = case.begin().start()
    step = in_training(case, process)
    workers = process.titled("ray::RayTrainWorker")
    if not workers:
        raise Missed("no worker")
    case.random.choice(workers).send_signal(signal.SIGKILL)
    code = case.join(process, HANG_SECONDS)
    if code != 0:
        case.complaints.append(f"the run ended: {code}, {case.said()[-600:]!r}")
    case.finish()
    return step


KILLS: dict[str, Callable[[RayCase], str]] = {"driver": driver_killed, "worker": worker_killed}


def killed(calm: Calm, folder: Path, what: str) -> dict[str, Any]:
    """What became of a run in which this was killed."""
    for attempt in range(TRIES):
        case = _case(calm, folder / f"{what}-{attempt}", attempt)
        try:
            step = KILLS[what](case)
        except Missed as missed:
            print(f"  {what}: missed ({missed})", flush=True)
            continue
        finally:
            for process in case.processes:
                if process.exitcode is None:
                    process.kill()
        return {"struck": step, **case.judge()}
    raise RuntimeError(f"{what}: no kill struck in {TRIES} tries")


def figures(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The row of a family: figure, target, value, met."""
    folder.mkdir()
    calm, alone = calm_study(name, folder)
    runs = {what: killed(calm, folder, what) for what in KILLS}
    steps, scores = len(calm.plan.steps), sum(len(one["rows"]) for one in calm.expected.values())
    said = "; ".join(
        f"{what} killed in {run['struck']}, {run['starts']} starts: {run['equal']} of {steps} equal"
        for what, run in runs.items()
    )
    ended = {"undisturbed": alone, **runs}
    bad = {
        what: {key: run[key] for key in ("twice", "lost", "hung", "left", "complaints") if run[key]}
        for what, run in ended.items()
    }
    wrong = {what: found for what, found in bad.items() if found}
    equal = all(run["equal"] == steps for run in runs.values())
    method = " by LoRA" if FAMILIES[name].study else ""
    yield {
        "figure": f"whole small study of {name}{method}, killed and submitted again",
        "target": "done; records equal",
        "value": f"{steps} steps, {scores} scores; {said}{f'; {wrong}' if wrong else ''}",
        "met": equal and not wrong and scores > 0,
    }


def studies(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of the families that are named, or of all."""
    # Ray's sockets lie below it: short.
    with tempfile.TemporaryDirectory(prefix="fs", dir="/tmp", ignore_cleanup_errors=True) as place:
        # What was staged from the hub is looked up in its cache again by every run.
        os.environ.update(HF_HOME=f"{place}/hf", HF_HUB_OFFLINE="1")
        serve()
        for name in names or FAMILIES:
            yield from figures(name, Path(place) / name)


PARTS = {"studies": studies}

if __name__ == "__main__":
    for row in studies(sys.argv[1:]):
        write_results("families", [row], keep=True)
