"""`make bench-fleet`: what a fleet of GPUs would be asked, as far as a CPU can count it.

Bytes that a closed step leaves, launches and host waits of an update, hours and dollars of
`xtreme_r` by the price of updates, and the most work that a lost machine takes with it. What only
a GPU can show is named "not run" and counts as not met.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DS_LOG_LEVEL", "error")

import torch

from benchmarks.gpu_bench import Bench
from benchmarks.gpu_parts import bf16
from benchmarks.peers import Case
from benchmarks.random_models import shape
from benchmarks.results_table import write_results
from benchmarks.rows_demo import whole_or_few
from benchmarks.speed_law import errors
from scaling.catalogue.hardware import GPUS, Placement
from scaling.catalogue.models import MODELS
from scaling.encoders.engine import join_world
from scaling.encoders.world import World
from scaling.planning.forecast import forecast
from scaling.planning.memory import demand_of, memory, params_at_work
from scaling.planning.placement import layouts, placements
from scaling.planning.saving import interval, planned_save_seconds
from scaling.planning.speed import SENT_BYTES, STEP_BYTES, bucket_bytes, price_on
from scaling.study.plan import make_plan
from scaling.study.recipes import Recipe
from scaling.study.study import load_study
from tests.helpers.budget import count_updates
from tests.helpers.few_rows import exported, weights_of
from tests.helpers.layout_worker import run_world
from tests.helpers.leftovers import leftovers
from tests.helpers.tiny import make_model

KINDS = ("classification", "multiple_choice", "tagging", "span_qa", "retrieval", "masked_lm")
GPU, DEVICES = "h100-80", 32
# FLOP/s that products reach and bytes a parameter that a step of the optimizer cannot do without.
ROOF_FLOPS, ROOF_BYTES = 550e12, 30.0
BATCH_TOKENS, LENGTH = 32 * 42, 42

# Size, its usual placement on H100, and how many times its roofline an update may take.
USUAL = (
    ("xlm-r-base", Placement(micro_batch=32), 2.5),
    ("xlm-r-large", Placement(micro_batch=32), 1.8),
    ("xlm-r-xl", Placement(workers=2, micro_batch=16), 1.8),
    ("xlm-r-xxl", Placement(workers=4, zero_stage=3, micro_batch=8), 1.8),
)

Row = dict[str, Any]


def row(figure: str, target: str, value: str, met: bool) -> Row:
    return {"figure": figure, "target": target, "value": value, "met": met}


def left() -> Iterator[Row]:
    for workers in (1, 2):
        found = leftovers(workers)
        most = {way: max(max(sizes) for sizes in one.values()) for way, one in found.items()}
        grows = max(sizes[-1] - sizes[0] for one in found.values() for sizes in one.values())
        worst = max(most, key=lambda way: most[way])
        yield row(
            f"bytes of a closed step still alive, {len(found)} ways, train and score, {workers}"
            f" worker{'s' * (workers > 1)}",
            "≤ 64 kB, not growing",
            f"{most[worst]:,} B ({worst}); {grows:+,} B over three rounds",
            most[worst] <= 64_000 and grows <= 1_000,
        )


def launches(world: World) -> Iterator[Row]:
    for layers, xl, stage in ((12, False, 1), (12, False, 2), (24, False, 1), (36, True, 2)):
        model = shape("narrow", layers, 64, vocab=300, heads=4, xl=xl)
        count = count_updates(model, "tagging", Placement(zero_stage=stage, micro_batch=16), world)
        steps = count.budget.launches["step"] / count.updates
        limit = 2 * count.tensors + 150
        yield row(
            f"launches in the optimizer step, {layers} layers, ZeRO-{stage}",
            f"≤ {limit} (2 per tensor + 150)",
            f"{steps:.0f} for {count.tensors} tensors",
            steps <= limit,
        )
    model = shape("narrow", 48, 64, vocab=300, heads=4, xl=True)
    count = count_updates(model, "tagging", Placement(zero_stage=3, micro_batch=16), world)
    each = {name: number / count.updates for name, number in count.budget.launches.items()}
    yield row(
        "launches of an update, 48 layers, ZeRO-3, one worker",
        "counted",
        ", ".join(f"{name} {number:,.0f}" for name, number in sorted(each.items())),
        True,
    )


def waits(world: World) -> Iterator[Row]:
    tiny = shape("tiny", 2, 64, vocab=300, heads=4)
    worst: dict[int, float] = {}
    in_passes = 0
    for stage in (1, 2, 3):
        for kind in KINDS:
            count = count_updates(tiny, kind, Placement(zero_stage=stage, micro_batch=8), world)
            seen = count.budget.waits
            own = sum(
                number for where, number in seen.items() if where.startswith(("forward", "back"))
            )
            in_passes += own
            each = (sum(seen.values()) - own) / count.updates
            worst[stage] = max(worst.get(stage, 0.0), each)
    yield row(
        "host waits of an update, six kinds, the worst; of all their passes",
        "≤ 1 (≤ 3 at ZeRO-3); 0",
        ", ".join(f"ZeRO-{stage} {each:.1f}" for stage, each in worst.items())
        + f"; {in_passes} in passes",
        worst[1] <= 1 and worst[2] <= 1 and worst[3] <= 3 and in_passes == 0,
    )


# Rows that the English text of a training has, of XLM-R's 250,002: an assumption.
ENGLISH_ROWS = 60_000


def rows_in_use(world: World) -> Iterator[Row]:
    apart = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "m", "xlm-roberta", 2)
        for stage in (0, 1, 2, 3):
            placement = Placement(zero_stage=stage, micro_batch=2)
            few, whole = (
                exported(
                    weights_of(folder / "m"), world, placement, folder / f"{stage}{few}", few=few
                )
                for few in (True, False)
            )
            apart[stage] = max(float((few[one] - whole[one]).abs().max()) for one in whole)
    saved = [_saved(size, placement) for size, placement, _ in USUAL]
    yield row(
        "rows trained alone against whole: largest difference of exported weights, fp32, dropout,"
        f" clipping and decay; saved with {ENGLISH_ROWS:,} rows in use (assumed)",
        "≤ 1e-6",
        ", ".join(f"ZeRO-{stage} {value:.1e}" for stage, value in apart.items())
        + "; "
        + ", ".join(saved),
        max(apart.values()) <= 1e-6,
    )


def _saved(size: str, placement: Placement) -> str:
    """Share of the parameters, planned memory of a device, and bytes of an update."""
    model = MODELS[size]
    need = [
        memory(model, demand_of(Recipe(), word_rows=rows), placement).total
        for rows in (0, ENGLISH_ROWS)
    ]
    params = [float(params_at_work(model, rows, placement)) for rows in (0, ENGLISH_ROWS)]
    fewer = (params[0] - params[1]) / placement.workers
    sent = fewer * (placement.workers - 1) * SENT_BYTES[placement.zero_stage]
    moved = (STEP_BYTES + bucket_bytes(placement.workers)) * fewer
    return (
        f"{size} {1 - params[1] / params[0]:.0%} of all parameters, {(need[0] - need[1]) / 1e9:.1f}"
        f" GB of weights, gradients and states a device, {moved / 1e9:.1f} GB that a"
        f" step moves, {sent / 1e9:.1f} GB sent"
    )


def groups() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "xlm-roberta", "xlm-roberta", 2)
        found = {}
        for size in (1, 2, 4):
            run_world(folder, size, [])
            by_stage = json.loads((folder / f"pairs-{size}.json").read_text())
            found |= {(size, stage): one["losses"] for stage, one in by_stage.items()}
    one = found[1, "1"]
    first = max(abs(losses[0] - one[0]) for losses in found.values())
    all_updates = max(
        abs(a - b) for losses in found.values() for a, b in zip(losses, one, strict=True)
    )
    yield row(
        "losses with pair groups over 1, 2, 4 ranks, ZeRO-1 and 3: first update;"
        f" {len(one)} updates",
        "≤ 1e-6; ≤ 3e-4",
        f"{first:.1e}; {all_updates:.1e}",
        first <= 1e-6 and all_updates <= 3e-4,
    )


def roofline() -> Iterator[Row]:
    for size, placement, target in USUAL:
        model, gpu, workers = MODELS[size], GPUS[GPU], placement.workers
        price = price_on(model, placement, gpu, training=True, fresh=True)
        flops = BATCH_TOKENS * model.train_flops_per_token(LENGTH)
        predicted = price.update + price.pass_ + flops / price.flops
        roof = flops / ROOF_FLOPS / workers
        roof += ROOF_BYTES * model.total_params / workers / (gpu.memory_gbs * 1e9)
        yield row(
            f"time of an update over its roofline, {size}, batch 32, H100",
            f"≤ {target}",
            f"not run; predicted from counts {predicted / roof:.1f} ({1e3 * predicted:.0f} ms)",
            False,
        )


def hours() -> Iterator[Row]:
    plan, gpu = make_plan(load_study("xtreme_r")), GPUS[GPU]
    chosen = placements(plan, gpu)
    offloaded = {
        f"{name}: {layout}"
        for name in plan.study.models
        for layout in layouts(plan, name, chosen)
        if "offloaded" in layout
    }
    found = forecast(plan, {}, gpu, {}, DEVICES)
    device_hours = sum(size.device_hours for size in found.sizes)
    yield row(
        f"xtreme_r on {DEVICES} × {GPU}: offloaded placements; hours and dollars",
        "no offloaded placement",
        f"{'; '.join(sorted(offloaded)) or 'none'}; {device_hours:,.0f} device hours,"
        f" ${found.dollars(device_hours) or 0:,.0f} (with groups on one device 3,856, $11,569; by"
        " the rule of FLOPs alone 770 without LAReQA, $2,450)",
        not offloaded,
    )


def losses() -> Iterator[Row]:
    plan, gpu = make_plan(load_study("xtreme_r")), GPUS[GPU]
    chosen, worst = placements(plan, gpu), {}
    for step in plan.steps.values():
        params = plan.study.model(step.model).total_params
        saving = planned_save_seconds(params, chosen[step.id].workers)
        lost, before = interval(saving), worst.get(step.model, (0.0, 0.0))
        worst[step.model] = max(before, (lost, saving))
    yield row(
        "most work lost to a loss without notice, xtreme_r on spot",
        "≤ 15 minutes where saving costs ≤ 5 % of the time, Daly's interval elsewhere",
        ", ".join(
            f"{model} {lost / 60:.0f} min (saving {saving:.0f} s)"
            for model, (lost, saving) in worst.items()
        ),
        all(
            # A loss every six hours, where saving takes more than a twentieth of 15 minutes.
            lost <= 900 if saving <= 45 else lost <= (2 * saving * 6 * 3600) ** 0.5
            for lost, saving in worst.values()
        ),
    )


def seconds(world: World) -> Iterator[Row]:
    """What two calibrations say of other lengths, in seconds of one CPU thread."""
    case = Case(name="law", kind="classification", median=34, longest=256, batch=16)
    sizes = [
        shape(f"{layers}x{hidden}", layers, hidden, vocab=8_000)
        for layers, hidden in ((2, 128), (4, 192), (4, 256))
    ]
    placement = Placement(zero_stage=0, micro_batch=16, packed=True)
    with tempfile.TemporaryDirectory() as folder:
        found = list(errors(sizes, world, placement, Path(folder), case, None))
    yield row(
        "predicted against measured CPU seconds of an update, from a short and a long calibration,"
        " interleaved",
        "within 15 % each",
        "; ".join(f"{name} {said / took - 1:+.1%} of {took:.2f} s" for name, said, took in found),
        all(abs(said / took - 1) <= 0.15 for _, said, took in found),
    )


def demo() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield whole_or_few(Path(folder))


def layouts_in_bf16(world: World) -> Iterator[Row]:
    """How far losses of one training move with its layout, in bf16 on this CPU."""
    with tempfile.TemporaryDirectory() as folder:
        yield from bf16(Bench(world=world, folder=Path(folder), small=True))


def main() -> None:
    torch.set_num_threads(1)
    rows: list[Row] = []
    world = join_world()
    parts = {
        "hours": hours,
        "losses": losses,
        "groups": groups,
        "rows": lambda: rows_in_use(world),
        "roofline": roofline,
        "seconds": lambda: seconds(world),
        "bf16": lambda: layouts_in_bf16(world),
        "waits": lambda: waits(world),
        "launches": lambda: launches(world),
        "left": left,
        "demo": demo,
    }
    asked = sys.argv[1:]
    for name in asked or parts:
        for one in parts[name]():
            print(f"{one['figure']}: {one['value']}", flush=True)
            rows.append(one)
    write_results("fleet", rows, keep=bool(asked))


if __name__ == "__main__":
    main()
