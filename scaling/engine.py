"""The only file that knows DeepSpeed: ZeRO 0-3, sharded loading, resume points, weight export."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deepspeed
import deepspeed.ops
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.integrations import HfDeepSpeedConfig

from scaling.encoder import Encoder, Weights, config_of, load_encoder
from scaling.hardware import Placement
from scaling.recipes import Recipe


@dataclass(frozen=True)
class World:
    """This process among its peers."""

    rank: int
    size: int
    device: torch.device

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()

    def gather(self, value: Any) -> list[Any]:
        """The value of every rank, on every rank."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def from_first(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


def join_world() -> World:
    """The process group that Ray Train set up, or one of our own for a process that runs alone."""
    gpu = torch.cuda.is_available()
    if not gpu:
        # DeepSpeed would compile a shared-memory collective for a minute; a worker killed meanwhile leaves a
        # lock file that blocks every later one (pytorch#189245). gloo does the same job.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    if not dist.is_initialized():
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", "0")
        store = dist.HashStore()
        dist.init_process_group("nccl" if gpu else "gloo", store=store, rank=0, world_size=1)
    os.environ.setdefault("RANK", str(dist.get_rank()))
    os.environ.setdefault("WORLD_SIZE", str(dist.get_world_size()))
    os.environ.setdefault("LOCAL_RANK", "0")
    # Before any ZeRO-3 loading: without it DeepSpeed takes the world for one process while it shards.
    deepspeed.init_distributed(dist_backend="nccl" if gpu else "gloo", dist_init_required=False, verbose=False)
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpu else torch.device("cpu")
    return World(dist.get_rank(), dist.get_world_size(), device)


def ds_config(recipe: Recipe, placement: Placement) -> dict[str, Any]:
    """DeepSpeed's configuration of a recipe on a placement; the three batch numbers multiply exactly."""
    micro, steps = placement.accumulation(recipe.batch)
    zero: dict[str, Any] = {"stage": placement.zero_stage}
    if placement.zero_stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
        # XXL's embedding alone has more elements than the default of 1e9 allows to be live.
        zero["stage3_max_live_parameters"] = 3e9
    return {
        "train_batch_size": recipe.batch,
        "train_micro_batch_size_per_gpu": micro,
        "gradient_accumulation_steps": steps,
        "gradient_clipping": recipe.grad_clip,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        # Under bf16 a stage of at least 1 is needed: stage 0 takes an extra zero-gradient Adam step (see docs).
        "bf16": {"enabled": recipe.precision == "bf16"},
        "steps_per_print": 10**9,
    }


@dataclass
class Engine:
    """A model being trained. `forward` and `backward` per micro-batch, `step` once per update."""

    core: Any
    """deepspeed.DeepSpeedEngine"""
    model: Encoder
    stage: int
    world: World
    sharding: Any
    """Keeps transformers' weak reference to the ZeRO-3 configuration alive."""

    def hidden(self, input_ids: Tensor, mask: Tensor, depth: float | None = None) -> Tensor:
        return self.core(input_ids, mask, depth)

    def backward(self, loss: Tensor) -> None:
        self.core.backward(loss)

    def step(self, learning_rate: float) -> None:
        """One call per micro-batch, as DeepSpeed counts them; it updates on the last."""
        for group in self.core.optimizer.param_groups:
            group["lr"] = learning_rate
        self.core.step()

    def save_resume(self, folder: Path, state: dict[str, Any]) -> None:
        """All ranks write their shards and the state; tied to this world size and stage, disposable."""
        self.core.save_checkpoint(str(folder), tag="resume", client_state=state)
        self.world.barrier()

    def load_resume(self, folder: Path) -> dict[str, Any]:
        """The state given to `save_resume`."""
        path, state = self.core.load_checkpoint(str(folder), tag="resume")
        if path is None:
            raise RuntimeError(f"{folder}: no resume point that DeepSpeed can read")
        return dict(state)

    def export(self, folder: Path, config: Path, kept_rows: Path | None) -> None:
        """Consolidated fp32 weights as a Hugging Face directory, written by rank 0; all ranks take part."""
        state = full_state(self.model, self.stage)
        if self.world.rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
            save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
            shutil.copyfile(config, folder / "config.json")
            if kept_rows is not None:
                shutil.copyfile(kept_rows, folder / "kept_rows.npy")
        self.world.barrier()

    def close(self) -> None:
        """Free the memory that DeepSpeed's cycles would keep until some later collection."""
        self.core.destroy()
        self.core = None
        # transformers shards every model that it loads while this exists.
        self.sharding = None


def full_state(model: Encoder, stage: int) -> dict[str, Tensor]:
    """Encoder tensors under their own names, the head's under `head.`; gathered from all ranks under ZeRO-3."""
    state: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        key = name.removeprefix("encoder.") if name.startswith("encoder.") else name
        if stage == 3:
            with deepspeed.zero.GatheredParameters([parameter]):
                state[key] = parameter.detach().float().cpu().clone()
        else:
            state[key] = parameter.detach().float().cpu().clone()
    return state


def build_model(weights: Weights, make_head: Callable[[int], nn.Module], dropout: float, seed: int) -> Encoder:
    """Encoder from its directory, head from the seed."""
    encoder = load_encoder(weights, dropout)
    torch.manual_seed(seed)
    head = make_head(int(config_of(weights, dropout).hidden_size))
    return Encoder(encoder, head, weights.architecture)


def start_training(
    weights: Weights,
    make_head: Callable[[int], nn.Module],
    recipe: Recipe,
    placement: Placement,
    world: World,
    seed: int,
) -> Engine:
    """Load, shard and wrap a model for training."""
    config = ds_config(recipe, placement)
    # Before from_pretrained, and referenced for as long as the engine lives: ZeRO-3 shards while it loads.
    sharding = HfDeepSpeedConfig(config) if placement.zero_stage == 3 else None
    model = build_model(weights, make_head, recipe.dropout, seed)
    if placement.checkpoint_activations:
        model.encoder.gradient_checkpointing_enable()  # type: ignore[operator]
    decay = [p for n, p in model.named_parameters() if not _no_decay(n)]
    plain = [p for n, p in model.named_parameters() if _no_decay(n)]
    groups = [{"params": decay, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    # torch's own AdamW: DeepSpeed's fused one is compiled at first use, for minutes.
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=recipe.learning_rate, fused=True)
    core, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config, dist_init_required=False)
    core.train()
    return Engine(core=core, model=model, stage=placement.zero_stage, world=world, sharding=sharding)


def _no_decay(name: str) -> bool:
    return name.endswith("bias") or "layer_norm" in name.lower() or "layernorm" in name.lower()


def start_scoring(
    weights: Weights, make_head: Callable[[int], nn.Module], recipe: Recipe, placement: Placement, world: World
) -> Encoder:
    """A model for scoring, its head filled from the weights where they have one."""
    config = ds_config(recipe, placement)
    sharding = HfDeepSpeedConfig(config) if placement.zero_stage == 3 else None
    model = build_model(weights, make_head, 0.0, seed=0)
    _load_head(model, weights.folder / "model.safetensors", placement.zero_stage)
    if recipe.precision == "bf16":
        model = model.to(torch.bfloat16)
    if placement.zero_stage == 3:
        core, *_ = deepspeed.initialize(model=model, config=config, dist_init_required=False)
        core.eval()
        core.sharding = sharding
        return core  # type: ignore[no-any-return]
    return model.to(world.device).eval()


def _load_head(model: Encoder, path: Path, stage: int) -> None:
    wanted = dict(model.head.named_parameters())
    if not wanted:
        return
    with safe_open(path, framework="pt") as file:
        stored = {key.removeprefix("head."): key for key in file.keys() if key.startswith("head.")}  # noqa: SIM118
        if stored.keys() != wanted.keys():
            raise RuntimeError(f"{path}: head has {sorted(stored)}, the task needs {sorted(wanted)}")
        with torch.no_grad():
            for name, parameter in wanted.items():
                if stage == 3:
                    with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
                        parameter.copy_(file.get_tensor(stored[name]))
                else:
                    parameter.copy_(file.get_tensor(stored[name]))


def versions() -> dict[str, str]:
    """Versions of what computes the numbers, for provenance."""
    import transformers

    return {
        "torch": torch.__version__, "deepspeed": deepspeed.__version__, "transformers": transformers.__version__
    }  # fmt: skip
