"""`make bench-train`: real tokens per second against Hugging Face's Trainer and a bare loop; MFU of
the matmul ceiling.

`python -m benchmarks.train "short texts" "full vocabulary"` measures these tasks alone.

All sides train the same shape on the same data, each in a process of its own, in short rounds that
take turns. On CPU every side has one thread and is timed by the CPU time of its process: two such
processes are what two cores do best with, better than one with two threads, for the peer as for us,
and other load on the machine hardly moves it.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from benchmarks.peers import Case, Side, bare, ceiling, made, ours, trainer, whole
from benchmarks.random_models import shape, write_model
from benchmarks.results_table import write_results
from scaling.cluster.session import quiet
from scaling.encoders.engine import Engine, join_world
from scaling.encoders.world import World

SMALL = shape("small", 4, 256, vocab=8_000)
# All rows of XLM-R's vocabulary, and how many of them texts are drawn from: an assumption on
# English.
WHOLE, DRAWN = shape("whole", 4, 256, vocab=250_002), 60_000
FULL = "full vocabulary"
CASES = (
    Case(name="short texts", kind="classification", median=22, longest=128),
    Case(name="long texts", kind="classification", median=110, longest=384, batch=8),
    Case(name="multiple choice", kind="multiple_choice", median=30, longest=128, batch=4),
    Case(name="tagging", kind="tagging", median=24, longest=128),
    Case(name="span QA", kind="span_qa", median=110, longest=384, batch=8),
    Case(name="masked LM", kind="masked_lm", median=60, longest=128, batch=8),
    Case(name=FULL, kind="classification", median=22, longest=128),
)
# Only these have a list of token ids for an example, which Trainer's grouping by length needs.
GROUPED = ("short texts", "long texts", "span QA", FULL)
# Trainer sorts inside 50 batches, longest first: fewer updates would be of some lengths only.
ROUNDS, UPDATES, EXAMPLES = 1, 50, 4000


def serve(pipe: Connection, side: str) -> None:
    """One side in a process of its own: neither DeepSpeed's patches nor our process group reach the
    peer.
    """
    quiet()
    torch.set_num_threads(1)
    world = join_world() if side in ("ours", "packed") else World(0, 1, device())
    engine: Engine | None = None
    run: Side | None = None
    while True:
        what, content = pipe.recv()
        if what == "case":
            if engine is not None:
                engine.close()
            case, weights = content
            full = case.name == FULL
            features = made(case, EXAMPLES, DRAWN if full else SMALL.vocab_rows)
            if side in ("ours", "packed"):
                placement = whole(case, packed=side == "packed")
                run, engine = ours(case, weights, features, world, placement, in_use=full)
            elif side == "bare":
                run = bare(case, weights, features, world)
            else:
                run = trainer(case, weights, features, side, weights.folder.parent)
            pipe.send(run(2))
        elif what == "run" and run is not None:
            pipe.send(run(content))
        else:
            return


SIDES = ("ours", "packed", "bare", "random", "group_by_length")


def compare(
    rounds: int,
    cases: Sequence[Case] = CASES,
    every: Sequence[str] = SIDES,
    updates: int = UPDATES,
) -> dict[str, dict[str, float]]:
    """Case → side → real tokens per second over all rounds; the sides take turns."""
    spawn = multiprocessing.get_context("spawn")
    pipes = {}
    for side in every:
        pipes[side], far = spawn.Pipe()
        spawn.Process(target=serve, args=(far, side), daemon=True).start()
    found = {}
    for case in cases:
        sides = [side for side in pipes if side != "group_by_length" or case.name in GROUPED]
        with tempfile.TemporaryDirectory() as folder:
            model = WHOLE if case.name == FULL else SMALL
            weights = write_model(model, Path(folder) / "model")
            total = {side: [0, 0.0] for side in sides}
            for side in sides:
                _ask(pipes[side], "case", (case, weights))
            for _ in range(rounds):
                for side in sides:
                    tokens, seconds = _ask(pipes[side], "run", updates)
                    total[side][0] += tokens
                    total[side][1] += seconds
        found[case.name] = {side: tokens / seconds for side, (tokens, seconds) in total.items()}
        text = "".join(f"  {side} {rate:>7,.0f}" for side, rate in found[case.name].items())
        print(f"{case.name:<16}{text}", flush=True)
    for pipe in pipes.values():
        pipe.send(("end", None))
    return found


def _ask(pipe: Connection, what: str, content: object) -> tuple[int, float]:
    pipe.send((what, content))
    return pipe.recv()  # type: ignore[no-any-return]


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def utilisation(folder: Path, world: World, updates: int) -> tuple[float, float]:
    """(share of the matmul ceiling, the ceiling in GFLOP/s) of training XLM-R Base's shape on full
    sequences.
    """
    model = shape("base", 12, 768, vocab=8_000)
    case = Case(name="full sequences", kind="classification", median=10_000, longest=128, batch=8)
    weights = write_model(model, folder / "base")
    run, engine = ours(case, weights, made(case, 200, model.vocab_rows), world, whole(case))
    run(1)
    shares = []
    for _ in range(updates):
        peak = ceiling(world)
        tokens, seconds = run(1)
        shares.append(model.train_flops_per_token(128) * tokens / seconds / peak)
    engine.close()
    return statistics.median(shares), peak / 1e9


def summary(found: dict[str, dict[str, float]]) -> list[tuple[str, str, str, bool]]:
    """Rows over all kinds of task, and the share of the matmul ceiling."""
    rows = []
    for side, other, label in (
        ("packed", "random", "against Trainer"),
        ("packed", "ours", "packed against padded"),
    ):
        values = {name: found[name][side] / found[name][other] for name in found}
        worst = min(values, key=lambda name: values[name])
        every = ", ".join(f"{name} {value:.2f}×" for name, value in values.items())
        met = side == "packed" or values[worst] >= 1
        rows.append(
            (
                f"training, {label}, the worst kind of task",
                "reported" if side == "packed" else "≥ 1×",
                f"{values[worst]:.2f}× ({worst}); {every}",
                met,
            )
        )
    with tempfile.TemporaryDirectory() as folder:
        mfu, peak = utilisation(Path(folder), join_world(), 3)
    where = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else "CPU, one thread a side, CPU time"
    )
    text = f"{mfu:.0%} of {peak:.0f} GFLOP/s ({where})"
    rows.append(
        ("MFU of XLM-R Base's shape, 128 tokens, of the matmul ceiling", "≥ 60 %", text, mfu >= 0.6)
    )
    return rows


def main() -> None:
    quiet()
    torch.set_num_threads(1)
    asked = [name for name in sys.argv[1:] if not name.isdigit()]
    rounds = next((int(name) for name in sys.argv[1:] if name.isdigit()), ROUNDS)
    found = compare(rounds, [case for case in CASES if not asked or case.name in asked])

    def ratio(name: str, side: str, other: str) -> float:
        return found[name][side] / found[name][other]

    rows = []
    for side, other, wanted, label in (
        ("packed", "random", 1.8, "as the planner places it, against Trainer, default sampling"),
        ("ours", "random", 1.0, "padded, against Trainer, default sampling"),
        # It sorts by length, which weighs tokens by the length of their sentence: no equal peer.
        ("packed", "group_by_length", 0.8, "against Trainer, group_by_length"),
        ("ours", "bare", 0.95, "against bare PyTorch"),
    ):
        for name in found if other == "bare" else [one for one in GROUPED if one in found]:
            value = ratio(name, side, other)
            rows.append(
                (f"training, {name}, {label}", f"≥ {wanted:g}×", f"{value:.2f}×", value >= wanted)
            )
    if not asked:
        rows += summary(found)
    keys = ("figure", "target", "value", "met")
    write_results("train", [dict(zip(keys, row, strict=True)) for row in rows], keep=bool(asked))


if __name__ == "__main__":
    main()
