"""One process of a world: trains, exports and scores three times over, and says what each left.

Run by tests and by `make bench-fleet`. The garbage collector is off: what a closed step leaves
must not wait for it.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from benchmarks.peers import Case, made
from benchmarks.random_models import shape, write_model
from scaling.catalogue.hardware import Placement
from scaling.data.order import training_order
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import join_world, start_scoring, start_training
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.study.lora import Lora
from scaling.training.evaluation import predict
from scaling.training.inputs import Stream
from scaling.training.loop import TrainingRun, run_updates
from tests.helpers.held import Held

ROUNDS = 3
VOCABULARY = 2_000


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to train and to score."""

    stage: int
    hidden: int = 64
    kinds: tuple[str, ...] = ("classification",)
    lora: bool = False
    recomputed: bool = False
    offloaded: bool = False


WAYS = {
    "ZeRO-0": Way(stage=0),
    "ZeRO-1": Way(stage=1),
    "ZeRO-2": Way(stage=2),
    "ZeRO-3": Way(stage=3),
    "ZeRO-3, twice as wide": Way(stage=3, hidden=128),
    "ZeRO-2, LoRA": Way(stage=2, lora=True),
    "ZeRO-3, LoRA": Way(stage=3, lora=True),
    "ZeRO-1, mixture": Way(stage=1, kinds=("tagging", "masked_lm")),
    "ZeRO-3, mixture": Way(stage=3, kinds=("tagging", "masked_lm")),
    "ZeRO-3, recomputed": Way(stage=3, recomputed=True),
    "ZeRO-2, offloaded": Way(stage=2, offloaded=True),
}


def left_by(way: Way, world: World, folder: Path) -> dict[str, list[int]]:
    """Bytes alive after each round: after its training, and after its scoring."""
    precision = "fp32" if way.stage == 0 else "bf16"
    cases = [Case(name=kind, kind=kind, median=12, longest=24, batch=4) for kind in way.kinds]
    recipe = cases[0].recipe.model_copy(update={"precision": precision})
    placement = Placement(
        workers=world.size,
        zero_stage=way.stage,
        micro_batch=4,
        checkpoint_activations=way.recomputed,
        offload_optimizer=way.offloaded,
    )
    features = [made(case, 16, VOCABULARY) for case in cases]
    streams = [
        Stream(
            features=one,
            kind=KINDS[case.kind],
            recipe=recipe,
            order=training_order(one.num_units, recipe, 0)[:3],
        )
        for case, one in zip(cases, features, strict=True)
    ]
    weights = Weights(
        folder=folder / f"model-{way.hidden}", architecture="xlm-roberta", kept_rows=None
    )

    def heads(hidden: int) -> nn.Module:
        made = [KINDS[case.kind].head(hidden, case.task, recipe) for case in cases]
        return made[0] if len(made) == 1 else nn.ModuleList(made)

    found: dict[str, list[int]] = {"train": [], "score": []}
    with Held() as held:
        for turn in range(ROUNDS):
            out = folder / "out" / f"{way.stage}-{turn}"
            with closing(
                start_training(
                    weights, heads, recipe, placement, world, 0, Lora() if way.lora else None
                )
            ) as engine:
                run_updates(
                    TrainingRun(
                        engine=engine,
                        streams=streams,
                        turns=[0, *range(len(streams)), 0],
                        recipe=recipe,
                        placement=placement,
                        seed=0,
                    )
                )
                engine.export(out, weights.beside())
            found["train"].append(_settled(held))
            exported = Weights(folder=out, architecture="xlm-roberta", kept_rows=None)
            with closing(
                start_scoring(
                    exported,
                    lambda hidden: KINDS[cases[0].kind].head(hidden, cases[0].task, recipe),
                    recipe,
                    placement,
                    world,
                )
            ) as engine:
                predict(engine.core, features[0], KINDS[cases[0].kind], recipe, world)
            found["score"].append(_settled(held))
    return found


def _settled(held: Held) -> int:
    """Bytes alive. Gloo's own threads let go of what they sent a moment after it arrived."""
    deadline = time.monotonic() + 1
    while held.bytes and time.monotonic() < deadline:
        time.sleep(0.01)
    return held.bytes


def leftovers(workers: int, ways: Sequence[str] = tuple(WAYS)) -> dict[str, dict[str, list[int]]]:
    """Way → what was left after trainings and scorings; of the worst rank, in a new world."""
    with tempfile.TemporaryDirectory() as folder:
        for hidden in sorted({way.hidden for way in WAYS.values()}):
            write_model(
                shape("made-up", 2, hidden, vocab=VOCABULARY, heads=4),
                Path(folder) / f"model-{hidden}",
            )
        processes = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.helpers.leftovers",
                    folder,
                    str(rank),
                    str(workers),
                    *ways,
                ],
                env={**os.environ, "OMP_NUM_THREADS": "1", "DS_LOG_LEVEL": "error"},
                cwd=Path(__file__).parents[2],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(workers)
        ]
        try:
            logs = [process.communicate(timeout=900)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
        if any(process.returncode for process in processes):
            # A rank that fails takes the others with it, whose last words are of its absence.
            ends = [log[-3000:] for log in logs if "Connection closed by peer" not in log]
            raise RuntimeError("\n".join(ends or logs))
        ranks = [
            json.loads((Path(folder) / f"left-{rank}.json").read_text()) for rank in range(workers)
        ]
    return {
        way: {
            what: [max(one) for one in zip(*(rank[way][what] for rank in ranks), strict=True)]
            for what in ("train", "score")
        }
        for way in ways
    }


def main() -> None:
    folder, rank, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=size
    )
    world = join_world()
    gc.disable()
    found = {name: left_by(WAYS[name], world, folder) for name in sys.argv[4:]}
    (folder / f"left-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
