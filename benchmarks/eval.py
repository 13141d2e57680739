"""`make bench-eval`: one checkpoint on all languages of a task, against `Trainer.predict` language
by language.

The same shape, sequences and precision on both sides, one thread on CPU, timed by the process's CPU
time; the sides take turns, and the peer has the best of three batch sizes, tried beforehand.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import transformers

from benchmarks.peers import (
    Case,
    clock,
    collate_for_trainer,
    examples_for_trainer,
    made,
    peer_model,
)
from benchmarks.random_models import shape, write_model
from benchmarks.results_table import write_results
from scaling.cluster.session import quiet
from scaling.data.features import Features, joined
from scaling.encoders.encoder import Encoder, Weights, config_of, empty_encoder
from scaling.encoders.loading import load_tensors
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.training.evaluation import predict

LANGUAGES, EXAMPLES = 12, 48
SMALL = shape("small", 4, 256, vocab=8_000)
# The peer's default is 8.
BATCHES = (8, 16, 32)


def main() -> None:
    quiet()
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    # No process group: Trainer would wrap its model for one.
    world = World(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    rows = []
    for name, median, longest in (("short texts", 22, 128), ("long texts", 110, 384)):
        case = Case(name=name, kind="classification", median=median, longest=longest)
        # Languages are cut into pieces of different lengths.
        medians = [round(median * (0.8 + 0.05 * one)) for one in range(LANGUAGES)]
        parts = [made(replace(case, median=one), EXAMPLES, SMALL.vocab_rows) for one in medians]
        with tempfile.TemporaryDirectory() as folder:
            weights = write_model(SMALL, Path(folder) / "model")
            mine = _model(case, weights).to(world.device)
            theirs = peer_model(case, weights).to(world.device)

            def ours(
                parts: list[Features] = parts, case: Case = case, mine: Encoder = mine
            ) -> float:
                start = clock()
                predict(mine, joined(parts), KINDS[case.kind], case.recipe, world)
                return clock() - start

            def peer(
                batch: int,
                parts: list[Features] = parts,
                case: Case = case,
                folder: str = folder,
                model: Any = theirs,
            ) -> float:
                arguments = transformers.TrainingArguments(
                    output_dir=folder,
                    per_device_eval_batch_size=batch,
                    report_to="none",
                    disable_tqdm=True,
                    use_cpu=not torch.cuda.is_available(),
                    bf16=torch.cuda.is_available(),
                    remove_unused_columns=False,
                )
                trainer = transformers.Trainer(
                    model=model,
                    args=arguments,
                    data_collator=lambda rows: collate_for_trainer(case, rows),
                )
                data = [examples_for_trainer(case, part) for part in parts]
                start = clock()
                for part in data:
                    trainer.predict(part)
                return clock() - start

            best = min(BATCHES, key=peer)
            ours()
            took = {"ours": 0.0, "peer": 0.0}
            for _ in range(rounds):
                took["ours"] += ours()
                took["peer"] += peer(best)
        ratio = took["peer"] / took["ours"]
        print(
            f"{name}: ours {took['ours']:.1f} s, Trainer.predict {took['peer']:.1f} s with batch"
            f" {best}",
            flush=True,
        )
        rows.append(
            {
                "figure": (
                    f"evaluation of {LANGUAGES} languages, {name}, against Trainer.predict per"
                    " language"
                ),
                "target": "≥ 2×",
                "value": f"{ratio:.2f}× (its best batch: {best})",
                "met": ratio >= 2,
            }
        )
    write_results("eval", rows)


def _model(case: Case, weights: Weights) -> Encoder:
    encoder = empty_encoder(weights.architecture, config_of(weights, 0.0))
    load_tensors(dict(encoder.named_parameters()), weights.folder, 0, 1)
    head = KINDS[case.kind].head(int(config_of(weights, 0.0).hidden_size), case.task, case.recipe)
    return Encoder(encoder, head, weights.architecture).eval()


if __name__ == "__main__":
    main()
