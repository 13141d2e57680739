"""What one version of the package makes of studies that lie in a folder, as JSON.

Run by `benchmarks.families_parent` with the tree of this commit and with an older one: only names
that both have are used.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from scaling.encoders.engine import join_world
from scaling.planning.placement import placements
from scaling.store.pending import pending_steps
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.study import Study, load_study
from scaling.training.runner import run_steps
from scaling.training.stage import stage


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def features(folder: Path) -> dict[str, str]:
    """Cached tokens by file: a hash of its bytes."""
    files = sorted(file for file in (folder / "tokens").rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): sha(file.read_bytes()) for file in files}


def tensors(folder: Path) -> dict[str, str]:
    """Weights by folder and name: a hash of the numbers."""
    found = {}
    for file in sorted(folder.rglob("*.safetensors")):
        where = file.parent.relative_to(folder)
        for name, values in load_file(file).items():
            found[f"{where}/{name}"] = sha(np.ascontiguousarray(values).tobytes())
    return found


def run_study(content: dict[str, Any], folder: Path, raw: Path) -> dict[str, Any]:
    """Stage a study and run all of it in this process."""
    study, store = Study(**content), Store.open(folder)
    plan = make_plan(study, stage(study, store, raw, lambda what: None))
    steps = pending_steps(plan, store.scan())
    became = dict(run_steps(plan, store, steps, join_world(), placements(plan, None)))
    return {
        "steps": list(plan.steps),
        "became": became,
        "science": {step: store.record(step).science() for step in plan.steps},
        "features": features(folder),
        "tensors": tensors(folder),
    }


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    asked = json.loads((folder / "asked.json").read_text())
    found = {
        "shipped": {name: list(make_plan(load_study(name)).steps) for name in asked["shipped"]},
        "studies": {
            content["name"]: run_study(content, out / content["name"], folder / "raw")
            for content in asked["studies"]
        },
    }
    (out / "found.json").write_text(json.dumps(found, default=str))


if __name__ == "__main__":
    main()
