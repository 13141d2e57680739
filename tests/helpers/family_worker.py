"""One process of a world: train tiny models of any architecture on every layout; write the losses.

Also the types of the numbers that buffers and norms have in passes of training, of dev scoring and
of test scoring. Run by test_families and by `make bench-families`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

from scaling.catalogue.architecture_entries import ARCHITECTURES
from scaling.catalogue.hardware import Placement
from scaling.catalogue.models import ModelSpec
from scaling.catalogue.task import TaskSpec
from scaling.data.batching import Batch, collate
from scaling.data.features import Features
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import Engine, join_world, start_scoring, start_training
from scaling.encoders.weights import stage_model, tokenizer_file
from scaling.kinds import KINDS
from scaling.store.store import Store
from scaling.study.lora import Lora
from scaling.study.recipes import Recipe
from scaling.training.loop import run_updates
from tests.helpers.one_run import one_run
from tests.helpers.ranks import run_ranks
from tests.helpers.tiny_families import make_family

TASK = TaskSpec(name="made-up", kind="classification", labels=("a", "b", "c"), metric="accuracy")
LAYERS = 3

Run = tuple[str, int, int, list[str]]
"""Architecture, ZeRO stage, micro-batch, and what else: see `run_families`."""


def layouts(architecture: str, size: int) -> list[Run]:
    """In a world of a size: every stage, and recomputed, with adapters and without padding at some.

    Recomputed ones have several passes an update.
    """
    own: list[tuple[int, int, list[str]]] = [(stage, 8 // size, []) for stage in (0, 1, 2, 3)]
    own += [(stage, 2, ["checkpoint_activations"]) for stage in ((1, 3) if size == 1 else (2, 3))]
    own += [(stage, 4, ["lora"]) for stage in ((0, 3) if size == 1 else (1, 2, 3))]
    if ARCHITECTURES[architecture].packs:
        own += [(stage, 4, ["packed"]) for stage in ((0, 3) if size == 1 else (3,))]
    return [(architecture, *one) for one in own]


def apart(found: Mapping[str, Any], architecture: str, *, lora: bool) -> float:
    """The largest difference of any update's loss from that of the first layout.

    ValueError where a training has not 20 updates, or learnt nothing.
    """
    losses = {
        name: one["losses"]
        for name, one in found.items()
        if name.startswith(f"{architecture}/") and ("lora" in name) == lora
    }
    for name, one in losses.items():
        if len(one) != 20 or not one[-1] < one[0]:
            raise ValueError(f"{name}: losses {one}")
    first, *rest = losses.values()
    return max(abs(a - b) for one in rest for a, b in zip(first, one, strict=True))


def recipe_of(architecture: str, **fields: Any) -> Recipe:
    """Twenty updates, pooled as the architecture pools."""
    return Recipe(
        batch=8,
        learning_rate=5e-3,
        weight_decay=0.01,
        # Within the tiny models' windows, so that packing is compared too.
        max_length=9,
        pooling=ARCHITECTURES[architecture].pooling,
        **{"dropout": 0.0, "precision": "fp32", "epochs": 4, **fields},
    )


def features(longest: int = 9) -> Features:
    """Forty texts of two tokens at least, with something to learn in the first."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 40)
    ids = [
        np.array([10 + target, *rng.integers(4, 300, rng.integers(1, longest))])
        for target in targets
    ]
    return Features(input_ids=ids, targets=targets.tolist(), units=np.arange(40), cut=0)


def staged_family(folder: Path, architecture: str, *, moved: bool = False) -> ModelSpec:
    """A tiny model, made and staged below a folder; `weights_of` finds it.

    `moved`: every weight by one unit in the last place, up or down.
    """
    spec = ModelSpec(name=architecture, **make_family(folder / architecture, architecture, LAYERS))
    if moved:
        (file,) = (folder / architecture).glob("*.safetensors")
        draws = torch.Generator().manual_seed(0)
        tensors = {
            name: torch.nextafter(
                one,
                torch.where(torch.rand(one.shape, generator=draws) < 0.5, torch.inf, -torch.inf),
            )
            for name, one in load_file(file).items()
        }
        save_file(tensors, file, metadata={"format": "pt"})
    tokenizer = tokenizer_file(spec, None)
    stage_model(
        spec, Store.open(folder / "store"), None, None, name=architecture, tokenizer=tokenizer
    )
    return spec


def weights_of(folder: Path, architecture: str) -> Weights:
    """What `staged_family` staged."""
    place = folder / "store" / "models" / architecture
    return Weights(folder=place, architecture=architecture, kept_rows=None)


def run_families(folder: Path, size: int, runs: Sequence[Run]) -> dict[str, Any]:
    """So many processes of one thread; what each run came to, by its words.

    A run: architecture, ZeRO stage, micro-batch, and a list of `lora`, `bf16`, `dropout` and fields
    of a placement.
    """
    rendezvous = folder / f"rendezvous-{size}"
    rendezvous.unlink(missing_ok=True)
    given = (str(folder), json.dumps(runs), str(rendezvous))
    run_ranks("tests.helpers.family_worker", folder, size, given, 120 + 30 * len(runs))
    found: dict[str, Any] = json.loads((folder / f"found-{size}.json").read_text())
    return found


def numbers_in_a_pass(engine: Engine, batch: Batch) -> dict[str, str]:
    """Name → type of all floating-point buffers, with a hash of their values, and of all norms and
    biases, as the pass finds them when it comes to their module.
    """
    found: dict[str, str] = {}

    def look(prefix: str, module: Any) -> None:
        for name, one in module.named_buffers(prefix=prefix, recurse=False):
            if one.is_floating_point():
                values = one.detach().cpu().float().numpy().tobytes()
                found[name] = f"{one.dtype} {hashlib.sha256(values).hexdigest()[:12]}"
        for name, one in module.named_parameters(prefix=prefix, recurse=False):
            if len(getattr(one, "ds_shape", one.shape)) < 2:
                found[name] = str(one.dtype)

    # Behind DeepSpeed's own hooks, which gather what the module computes with.
    hooks = [
        module.register_forward_pre_hook(lambda module, _, name=name: look(name, module))
        for name, module in engine.model.encoder.named_modules()
    ]
    with torch.no_grad():
        engine.hidden(batch)
    for hook in hooks:
        hook.remove()
    return found


def main() -> None:
    folder, runs, rendezvous, rank, size = sys.argv[1:]
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=int(size)
    )
    world, kind = join_world(), KINDS["classification"]
    found: dict[str, dict[str, Any]] = {}
    for architecture, zero_stage, micro, extra in json.loads(runs):
        weights = weights_of(Path(folder), architecture)
        own = recipe_of(
            architecture,
            # Types of numbers are what such a run is for: it ends after five updates.
            **({"precision": "bf16", "epochs": 1} if "bf16" in extra else {}),
            dropout=0.1 if "dropout" in extra else 0.0,
        )
        more = {name: True for name in extra if name not in ("lora", "bf16", "dropout")}
        placement = Placement(workers=world.size, zero_stage=zero_stage, micro_batch=micro, **more)

        def head(hidden: int, own: Recipe = own) -> Any:
            return kind.head(hidden, TASK, own)

        lora = Lora(rank=4) if "lora" in extra else None
        engine = start_training(weights, head, own, placement, world, seed=0, lora=lora)
        losses = run_updates(one_run(engine, placement, features(), kind, own))
        name = "/".join([architecture, size, str(zero_stage), str(micro), *extra])
        found[name] = {"losses": list(losses.per_update)}
        batch = collate(features(), kind, range(3))
        if own.precision == "bf16":
            found[name]["training"] = numbers_in_a_pass(engine, batch)
            engine.core.eval()
            found[name]["dev"] = numbers_in_a_pass(engine, batch)
        if "packed" in extra or "checkpoint_activations" in extra:
            engine.close()
            continue
        out = Path(folder) / "out" / name.replace("/", "-")
        world.barrier()
        engine.export(out, weights.beside())
        engine.close()
        # What one stage wrote is read by another, and start_scoring checks that it holds it.
        exported = Weights(folder=out, architecture=architecture, kept_rows=None)
        for stage in (0, 3) if own.precision == "bf16" else (3 if zero_stage == 0 else 0,):
            scored = Placement(workers=world.size, zero_stage=stage, micro_batch=micro)
            engine = start_scoring(exported, head, own, scored, world)
            if own.precision == "bf16":
                found[name][f"test, stage {stage}"] = numbers_in_a_pass(engine, batch)
            engine.close()
    if world.rank == 0:
        (Path(folder) / f"found-{size}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
