"""One process of a gang: runs steps of a study as a worker of Ray Train would. Started by tests of
faults.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from scaling.encoders.engine import join_world
from scaling.planning.placement import placements
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.study import Study
from scaling.training.runner import run_steps


def main() -> None:
    """STUDY.json STORE STEPS RENDEZVOUS RANK SIZE [die-before-commit]"""
    study_file, uri, steps, rendezvous, rank, size, *how = sys.argv[1:]
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=int(size)
    )
    store = Store.open(uri)
    plan = make_plan(Study(**json.loads(Path(study_file).read_text())), store.read_lock())
    if how == ["die-before-commit"]:
        Store.commit = lambda *_: os._exit(9)  # type: ignore[assignment]
    print(
        json.dumps(run_steps(plan, store, steps.split(","), join_world(), placements(plan, None))),
        flush=True,
    )


if __name__ == "__main__":
    main()
