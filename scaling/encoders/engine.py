"""The only file that knows DeepSpeed: ZeRO 0-3, sharded loading, resume points, weight export."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import deepspeed.ops
import numpy as np
import torch
import torch.distributed as dist
from deepspeed.runtime.checkpoint_engine import TorchCheckpointEngine
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
from deepspeed.runtime.zero import parameter_offload, partition_parameters
from deepspeed.runtime.zero.partition_parameters import (
    InsertPostInitMethodToModuleSubClasses,
    ZeroParamStatus,
)
from deepspeed.runtime.zero.partitioned_param_coordinator import PartitionedParameterCoordinator
from deepspeed.utils.tensor_fragment import fragment_address
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scaling.catalogue.architecture_entries import ARCHITECTURES
from scaling.catalogue.hardware import (
    BUCKET_ELEMENTS,
    GROUP_ELEMENTS,
    LIVE_ELEMENTS,
    Placement,
)
from scaling.data.batching import Batch
from scaling.encoders.checkpoint import (
    BadWeights,
    TensorSpec,
    read_index,
    shard_names,
    share_out,
    write_index,
    write_shard,
)
from scaling.encoders.encoder import Encoder, Weights, config_of, empty_encoder, random_encoder
from scaling.encoders.loading import (
    LM_HEAD,
    Filled,
    Loaded,
    differing,
    freed_at_once,
    load_tensors,
    parameters_in_file,
    stored_lm_head,
    tied_heads,
)
from scaling.encoders.lora import add_adapters, merge_adapters
from scaling.encoders.plain_state import read_state, write_state
from scaling.encoders.word_rows import StoredRows, Untouched, cut, other_rows
from scaling.encoders.world import World
from scaling.kinds.retrieval import DualEncoder
from scaling.study.lora import Lora
from scaling.study.recipes import Recipe

# Objects in the state of DeepSpeed's optimizers.
_OBJECTS: dict[str, type] = {
    kind.__name__: kind for kind in (LossScaler, DynamicLossScaler, fragment_address)
}


class PlainCheckpoints(TorchCheckpointEngine):  # type: ignore[misc]
    """What DeepSpeed reads and writes resume points with, in the place of pickles."""

    def save(self, state_dict: Any, path: str) -> None:
        """Write one file's state."""
        write_state(Path(path), state_dict, _OBJECTS)

    def load(self, path: str, map_location: Any = None) -> Any:
        """One file's state, on the CPU: DeepSpeed copies it to where it belongs."""
        return read_state(Path(path), _OBJECTS)


def join_world() -> World:
    """The process group that Ray Train set up, or one of our own for a process that runs alone."""
    gpu = torch.cuda.is_available()
    if gpu:
        # Passes differ in shape, which would leave holes in the memory of the device. Read when
        # the allocator is first used.
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
        # Before the first collective: every process would put it on the first device.
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    else:
        # DeepSpeed would compile a shared-memory collective for a minute; a worker killed meanwhile
        # leaves a lock file that blocks every later one (pytorch#189245). gloo does the same job.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    if not dist.is_initialized():
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", "0")
        store = dist.HashStore()
        dist.init_process_group("nccl" if gpu else "gloo", store=store, rank=0, world_size=1)
    os.environ.setdefault("RANK", str(dist.get_rank()))
    os.environ.setdefault("WORLD_SIZE", str(dist.get_world_size()))
    os.environ.setdefault("LOCAL_RANK", "0")
    # This must come before any ZeRO-3 loading, where DeepSpeed would otherwise shard for a world of
    # one process.
    deepspeed.init_distributed(
        dist_backend="nccl" if gpu else "gloo", dist_init_required=False, verbose=False
    )
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpu else torch.device("cpu")
    return World(dist.get_rank(), dist.get_world_size(), device)


def ds_config(recipe: Recipe, placement: Placement) -> dict[str, Any]:
    """DeepSpeed's configuration of a recipe on a placement.

    Passes are cut by tokens, so their number differs between updates (`Engine.last_pass`).
    DeepSpeed is told one example a pass, which makes the number of passes the largest possible.
    """
    share = placement.share(recipe.batch)
    zero: dict[str, Any] = {
        "stage": placement.zero_stage,
        "reduce_bucket_size": BUCKET_ELEMENTS,
        "allgather_bucket_size": BUCKET_ELEMENTS,
    }
    if placement.zero_stage == 3:
        zero["stage3_max_live_parameters"] = LIVE_ELEMENTS
        zero["stage3_max_reuse_distance"] = LIVE_ELEMENTS
        zero["stage3_prefetch_bucket_size"] = BUCKET_ELEMENTS // 4
        zero["sub_group_size"] = GROUP_ELEMENTS
    if placement.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    return {
        "train_batch_size": recipe.batch,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": share,
        "gradient_clipping": recipe.grad_clip,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        # torch's AdamW also where the optimizer is offloaded: DeepSpeed's own is compiled at first
        # use, for minutes.
        "zero_force_ds_cpu_optimizer": False,
        # bf16 needs stage 1 at least: under stage 0 DeepSpeed begins with an Adam step of zero
        # gradients. Under bf16 it would look for infinities tensor by tensor, and leave such an
        # update out without a word: `gradient_norm` says so instead.
        "bf16": {"enabled": recipe.precision == "bf16", "check_grad_overflow": False},
        # It would wait for the device before and after every pass.
        "timers": {"throughput": {"enabled": False}},
        "steps_per_print": 10**9,
    }


@dataclass
class Engine:
    """A model on its devices. `hidden` and `backward` per micro-batch, `step` once per update.

    Whoever starts one closes it: DeepSpeed alone would keep it for the life of the process.
    """

    core: Any
    """The `deepspeed.DeepSpeedEngine`; of a scoring that is not sharded the model itself."""
    model: Encoder
    stage: int
    world: World
    carried: Mapping[str, Tensor]
    """Tensors that pass through unchanged: the masked-LM head, under any other kind of task."""

    untouched: Untouched | None = None
    """The rows of the word embedding that are not trained; None where all are."""
    kept: list[Tensor] | None = None
    """Trained weights of an earlier moment, in host memory: this rank's share of them."""

    def hidden(self, batch: Batch, depth: float | Sequence[float] | None = None) -> Tensor:
        """Hidden states B x L x H of a batch on this device, as `Encoder.forward` gives them."""
        return self.core(batch.input_ids, batch.mask, depth, batch.lengths, batch.offsets)

    def last_pass(self, last: bool) -> None:
        """Before each pass: whether the update is made after it."""
        self.core.set_gradient_accumulation_boundary(last)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of one pass's loss, a scalar."""
        # Not scaled by the number of passes, which DeepSpeed does not know.
        self.core.backward(loss, scale_wrt_gas=False)

    def step(self, learning_rate: float) -> None:
        """Once per pass, as DeepSpeed counts; it makes the update after the last pass of it."""
        for group in self.core.optimizer.param_groups:
            group["lr"] = learning_rate
        if self.untouched is not None and self.core.is_gradient_accumulation_boundary():
            self.untouched.updated(learning_rate)
        self.core.step()

    @property
    def gradient_norm(self) -> Tensor | float | None:
        """Of the last update, a scalar: over all parameters and ranks, before clipping.

        Not waited for. Inf where it is no number; None without ZeRO.
        """
        return getattr(self.core.optimizer, "_global_grad_norm", None)

    def save_resume(self, folder: Path, state: dict[str, Any]) -> None:
        """Every rank writes its shard and the state, for this world size and stage only."""
        if (own := self.untouched) is not None:
            state = {**state, "decayed": (own.factor, own.kept)}
        self.core.save_checkpoint(str(folder), tag="resume", client_state=state)
        if self.kept is not None and (self.stage == 3 or self.world.rank == 0):
            named = {str(at): one for at, one in enumerate(self.kept)}
            save_file(named, folder / self._kept_file())
        self.world.barrier()

    def _kept_file(self) -> str:
        # Below ZeRO-3 every rank has the same.
        return f"kept-{self.world.rank if self.stage == 3 else 0}.safetensors"

    def load_resume(self, folder: Path) -> dict[str, Any]:
        """The state given to `save_resume`."""
        path, state = self.core.load_checkpoint(str(folder), tag="resume")
        if path is None:
            raise RuntimeError(f"{folder}: no resume point that DeepSpeed can read")
        kept = folder / self._kept_file()
        if kept.exists():
            named = load_file(kept)
            self.kept = [named[str(at)] for at in range(len(named))]
        if (own := self.untouched) is not None:
            own.factor, own.kept = state.pop("decayed")
        return dict(state)

    def keep_weights(self) -> None:
        """Remember the trained weights of this moment, instead of those kept before."""
        self.kept = [one.detach().to("cpu", copy=True) for one in self._shares()]
        if self.untouched is not None:
            self.untouched.kept = self.untouched.factor

    def restore_weights(self) -> None:
        """Put the kept weights in the place of the present ones, for scoring and export.

        Nothing can be trained behind that.
        """
        if self.kept is None:
            raise RuntimeError("no weights were kept")
        with torch.no_grad():
            for share, kept in zip(self._shares(), self.kept, strict=True):
                share.copy_(kept)
        self.kept = None
        if self.untouched is not None:
            self.untouched.factor = self.untouched.kept

    def _shares(self) -> Iterator[Tensor]:
        """What this rank holds of the trained parameters, each of its own or its shard's shape."""
        trained: list[Any] = [p for p in self.model.parameters() if p.requires_grad]
        for parameter in trained:
            # Small ones stay gathered: a copy that would hide what is put into the share.
            if self.stage == 3 and parameter.ds_status == ZeroParamStatus.AVAILABLE:
                parameter.partition()
            yield parameter.ds_tensor if self.stage == 3 else parameter.data

    def export(self, folder: Path, beside: Mapping[str, bytes]) -> None:
        """Write the weights as a Hugging Face directory, in the precision of the computation.

        Every rank writes its shard, which holds whole tensors; which ones depends on their sizes
        and the number of ranks alone. `beside`: the other files of the directory, by name.
        """
        folder.mkdir(parents=True, exist_ok=True)
        sharded = self.stage == 3
        merge_adapters(
            self.model.encoder,
            lambda p: deepspeed.zero.GatheredParameters(p, modifier_rank=0, enabled=sharded),
        )
        parameters = {**parameters_in_file(self.model), **self.carried}
        specs = [TensorSpec(name, p.dtype, self._shape(name, p)) for name, p in parameters.items()]
        size = min(self.world.size, len(specs))
        shares = share_out(specs, size)
        files = dict(zip(shard_names(size), shares, strict=True))
        mine = [spec.name for spec in shares[self.world.rank]] if self.world.rank < size else []
        values = self._values(parameters, set(mine))
        hashes: dict[str, str] = {}
        if mine:
            hashes = write_shard(
                folder / shard_names(size)[self.world.rank], shares[self.world.rank], values
            )
        # Gathering is a collective: a rank that has written all of its tensors still takes part in
        # the rest.
        if next(values, None) is not None:
            raise AssertionError("a tensor was not written")
        merged: dict[str, str] = {}
        for part in self.world.gather(hashes):
            merged.update(part)
        if self.world.rank == 0:
            write_index(folder, files, merged)
            for name, content in beside.items():
                (folder / name).write_bytes(content)
        self.world.barrier()

    def _values(self, parameters: Mapping[str, Tensor], mine: set[str]) -> Iterator[Tensor]:
        """The tensors called `mine`, in order, each whole and of its parameter's shape.

        Under ZeRO-3 every tensor is gathered on all ranks, one at a time: all must iterate to the
        end.
        """
        for name, parameter in parameters.items():
            if self.stage == 3 and isinstance(parameter, nn.Parameter):
                with deepspeed.zero.GatheredParameters([parameter]):
                    value = parameter.detach().cpu().clone() if name in mine else None
            else:
                value = parameter.detach().cpu() if name in mine else None
            if value is not None and name == self.model.entry.words and self.untouched is not None:
                value = self.untouched.whole(value)
            if value is not None:
                yield value

    def _shape(self, name: str, parameter: Any) -> tuple[int, ...]:
        """Of a tensor in the file."""
        shape = tuple(getattr(parameter, "ds_shape", parameter.shape))
        if name == self.model.entry.words and self.untouched is not None:
            return (self.untouched.count, *shape[1:])
        return shape

    def close(self) -> None:
        """Give back the memory of the device before the next step asks for its own."""
        core, model = self.core, self.model
        if core is None:
            return
        # Whoever still holds this object, a frame of a failed step for one, holds nothing with it.
        self.core = self.model = None  # type: ignore[assignment]
        self.carried, self.kept, self.untouched = {}, None, None
        if core is not model:
            core.destroy()
            _forget(model)
            del core, model
            # DeepSpeed's hooks and its engine hold each other.
            gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _forget(model: Encoder) -> None:
    """Take a model out of what DeepSpeed holds for the whole process under ZeRO-3."""
    # The model, and layers too: recomputation ends in their middle, before DeepSpeed lets go.
    own, stack = set(model.modules()), parameter_offload.FWD_MODULE_STACK
    stack[:] = [module for module in stack if module not in own]
    # The cache is on the class: it holds every coordinator, and through it weights and moments.
    cached: Any = vars(PartitionedParameterCoordinator)[
        "_PartitionedParameterCoordinator__params_to_release"
    ]
    while not hasattr(cached, "cache_clear"):
        cached = cached.__closure__[0].cell_contents
    cached.cache_clear()


def build_model(
    weights: Weights,
    make_head: Callable[[int], nn.Module],
    dropout: float,
    seed: int,
    config: dict[str, Any],
    *,
    packed: bool = False,
    rows: np.ndarray | None = None,
) -> Encoder:
    """Encoder and head before their weights are loaded; new parameters are drawn from the seed.

    Under ZeRO-3 no rank ever has a whole encoder.

    Args:
        weights: What the encoder will be loaded from: its configuration is read.
        make_head: Hidden size → a new head.
        dropout: Rate in the encoder.
        seed: Of the new head's parameters.
        config: DeepSpeed's configuration, of `ds_config`.
        packed: Whether batches are computed without padding.
        rows: Which of the word embedding are to be loaded, shape (R,); None: all.
    """
    sharded = config["zero_optimization"]["stage"] == 3
    if not sharded:
        _plain_linear()
    with ExitStack() as contexts:
        # Random weights are drawn whole on every rank: they are for small sizes.
        if sharded and weights.random_init is None:
            contexts.enter_context(freed_at_once())
            # Before Init, which wraps the functions that it finds.
            contexts.enter_context(_buffers_kept())
            contexts.enter_context(deepspeed.zero.Init(config_dict_or_path=config))
        wanted = config_of(weights, dropout, packed=packed)
        if weights.random_init is None:
            if rows is not None:
                wanted.vocab_size = len(rows)
                wanted.pad_token_id = _number_of(wanted.pad_token_id, rows)
            encoder = empty_encoder(weights.architecture, wanted)
        else:
            encoder = random_encoder(weights.architecture, wanted, weights.random_init)
    torch.manual_seed(seed)
    head = make_head(int(wanted.hidden_size))
    model = Encoder(encoder, head, weights.architecture)
    bias = stored_lm_head(weights).get(f"{LM_HEAD}bias")
    if bias is not None:
        for tied in tied_heads(model):
            tied.expect_pretrained(bias.shape[0], _head_eps(weights.architecture, wanted))
    return model


def _head_eps(architecture: str, config: Any) -> float:
    """The epsilon of a pretrained masked-LM head's norm, by the name that its class has for it."""
    name = ARCHITECTURES[architecture].agreeing.get("layer_norm_eps", "layer_norm_eps")
    return float(getattr(config, name))


@contextmanager
def _buffers_kept() -> Iterator[None]:
    """Within the block, `zero.Init` rounds parameters alone.

    It would give every new tensor the precision of the computation, the angles of rotations and
    factors of embeddings too, which below ZeRO-3 stay what they are.
    """
    wrap = partition_parameters.zero_wrapper_for_fp_tensor_constructor
    # Buffers are made by these, and no parameter is.
    kept = (partition_parameters._orig_torch_arange, partition_parameters._orig_torch_tensor)

    def wrapped(fn: Any, target_fp_dtype: Any, target_device: Any) -> Any:
        return wrap(fn, None if fn in kept else target_fp_dtype, target_device)

    partition_parameters.zero_wrapper_for_fp_tensor_constructor = wrapped
    try:
        yield
    finally:
        partition_parameters.zero_wrapper_for_fp_tensor_constructor = wrap


def _number_of(row: int | None, rows: np.ndarray) -> int | None:
    """Which of the rows in use, ascending, shape (R,), a row is; None where it is none of them."""
    found = np.flatnonzero(rows == row)
    return int(found[0]) if len(found) else None


def _share_embeddings(model: Encoder, stage: int) -> None:
    """Under ZeRO-3, have the word embeddings gathered for heads that decode with them too."""
    for tied in tied_heads(model) if stage == 3 else ():
        deepspeed.zero.register_external_parameter(tied, tied.embeddings.weight)


def _round_whole(model: Encoder, dtype: torch.dtype) -> None:
    """Give what is not sharded yet, new heads and adapters, the precision of the sharded encoder.

    DeepSpeed does so itself at other stages; stage 3 refuses two precisions in one model.
    """
    for parameter in model.parameters():
        if not hasattr(parameter, "ds_tensor"):
            parameter.data = parameter.data.to(dtype)


def _plain_linear() -> None:
    """Give torch its own `linear` back, which DeepSpeed's ZeRO-3 replaces for the whole process.

    DeepSpeed's sums in another order, so losses of later steps would differ in the last bits.
    """
    plain = getattr(InsertPostInitMethodToModuleSubClasses, "linear_bk", None)
    if plain is not None:
        torch.nn.functional.linear = plain


def load(
    model: Encoder,
    weights: Weights,
    world: World,
    recipe: Recipe,
    *,
    head: bool,
    rows: np.ndarray | None = None,
) -> Loaded:
    """Fill the encoder, and the head where it is stored; BadWeights on every rank.

    Nothing is filled where the weights are random.

    Args:
        model: Of `build_model`; filled in place.
        weights: The folder to load from.
        world: The ranks that load together.
        recipe: Its precision is that in which the parameters will compute.
        head: Whether to load the task head too, where the folder has one.
        rows: Which of the word embedding, shape (R,); None: all.
    """
    dtype = torch.bfloat16 if recipe.precision == "bf16" else None
    if weights.random_init is not None:
        return Loaded(parameters={}, filled={}, dtype=dtype)
    named = parameters_in_file(model)
    stored_head = head and any(name.startswith("head.") for name in named)
    wanted = {name: p for name, p in named.items() if stored_head or not name.startswith("head.")}
    # The folder may have two things more: the task head of an earlier phase, which is dropped, and
    # the masked-LM head, which is carried along.
    ignored = (LM_HEAD,) if stored_head else (LM_HEAD, "head.")
    chosen = {} if rows is None else {model.entry.words: rows}
    filled: dict[str, Filled] = {}
    problem = ""
    try:
        filled = load_tensors(
            wanted, weights.folder, world.rank, world.size, ignored, dtype, chosen
        )
    except BadWeights as error:
        problem = str(error)
    _agree(world, problem)
    return Loaded(parameters=wanted, filled=filled, dtype=dtype, rows=chosen)


def _check_loaded(loaded: Loaded, weights: Weights, world: World) -> None:
    """BadWeights on all ranks if what is about to compute is not what the folder has."""
    wrong = differing(
        loaded.parameters, loaded.filled, weights.folder, world.rank, loaded.dtype, loaded.rows
    )
    _agree(
        world,
        f"{weights.folder}: loaded, but with other values: {', '.join(wrong)}" if wrong else "",
    )


def _agree(world: World, problem: str) -> None:
    """Raise BadWeights on all ranks if one has a problem, before they wait for each other."""
    problems = [text for text in world.gather(problem) if text]
    if problems:
        raise BadWeights(problems[0])


def start_training(
    weights: Weights,
    make_head: Callable[[int], nn.Module],
    recipe: Recipe,
    placement: Placement,
    world: World,
    seed: int,
    lora: Lora | None = None,
    rows: np.ndarray | None = None,
) -> Engine:
    """Load, shard and wrap a model for training: all of it, or with `lora` adapters and the head.

    Args:
        weights: What the training starts from.
        make_head: Hidden size → a new head.
        recipe: Precision, dropout, learning rate and weight decay.
        placement: Number of workers, ZeRO stage, packing and activation checkpointing.
        world: The ranks, as many as the placement has workers.
        seed: Of the new head and the adapters.
        lora: Adapters beside frozen weights; None trains all weights.
        rows: Of the word embedding, those that the batches have, ascending, shape (R,): ids are
            numbers among them. Only they are trained; None: all are.
    """
    config = ds_config(recipe, placement)
    model = build_model(
        weights, make_head, recipe.dropout, seed, config, packed=placement.packed, rows=rows
    )
    if rows is not None and tied_heads(model):
        raise ValueError("a head that decodes with the word embeddings touches all rows of them")
    untouched = None if rows is None else _untouched(model, weights, recipe, rows)
    loaded = load(model, weights, world, recipe, head=False, rows=rows)
    for tied in tied_heads(model)[1:]:
        tied.load_state_dict(tied_heads(model)[0].state_dict())
    for own in model.heads:
        if isinstance(own, DualEncoder):
            own.join(world.size, world.rows)
    if lora is not None:
        add_adapters(model.encoder, lora.of(ARCHITECTURES[weights.architecture]), seed)
    if placement.checkpoint_activations:
        model.encoder.gradient_checkpointing_enable()  # type: ignore[operator]
    trained = [p for p in model.parameters() if p.requires_grad]
    decay = [p for p in trained if _is_matrix(p)]
    plain = [p for p in trained if not _is_matrix(p)]
    groups = [
        {"params": decay, "weight_decay": recipe.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    # torch's own AdamW: DeepSpeed's fused one is compiled at first use, for minutes.
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=recipe.learning_rate, fused=True
    )
    _share_embeddings(model, placement.zero_stage)
    if loaded.dtype is not None and placement.zero_stage == 3:
        _round_whole(model, loaded.dtype)
    core, *_ = deepspeed.initialize(
        model=model, optimizer=optimizer, config=config, dist_init_required=False
    )
    if placement.zero_stage in (1, 2) and not placement.offload_optimizer:
        core.optimizer.unscale_and_clip_grads = partial(_clip, core.optimizer)
        if world.size == 1:
            _add_up_nothing(core.optimizer)
    core.checkpoint_engine = PlainCheckpoints()
    _check_loaded(loaded, weights, world)
    core.train()
    if world.size == 1 and placement.zero_stage == 0:
        # One worker has no gradients to add up; DeepSpeed would copy all of them into a buffer and
        # back.
        core.enable_backward_allreduce = False
    lm_head = {} if tied_heads(model) else stored_lm_head(weights)
    return Engine(
        core=core,
        model=model,
        stage=placement.zero_stage,
        world=world,
        carried={name: stored.read() for name, stored in lm_head.items()},
        untouched=untouched,
    )


def _untouched(model: Encoder, weights: Weights, recipe: Recipe, rows: np.ndarray) -> Untouched:
    """The rows that are not trained, in host memory; random weights lose them here.

    rows: those in use, shape (R,).
    """
    if weights.random_init is not None:
        others = cut(model.encoder.get_submodule(model.entry.embedding), rows)
    else:
        matrix = read_index(weights.folder)[model.entry.words]
        others = StoredRows(matrix=matrix, rows=other_rows(rows, matrix.shape[0])).read()
    dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
    return Untouched(rows=rows, others=others.to(dtype), weight_decay=recipe.weight_decay)


def _clip(optimizer: Any, gradients: Sequence[Tensor], norm: Tensor) -> None:
    """As DeepSpeed clips below ZeRO-3, without waiting for the norm of every group of parameters.

    A norm of infinity makes the gradient zero or not a number, there as here.
    """
    clip = torch.clamp((norm / optimizer.loss_scale + 1e-6) / optimizer.clip_grad, min=1.0)
    for gradient in gradients:
        gradient.data.mul_(1.0 / (clip * optimizer.loss_scale))


def _add_up_nothing(optimizer: Any) -> None:
    """Leave the gradients of one worker where they are.

    DeepSpeed would divide them by one, copy them behind each other, send them to nobody and copy
    them back: 12 bytes a parameter.
    """
    optimizer.average_tensor = lambda *_: None


def _is_matrix(parameter: nn.Parameter) -> bool:
    # By its dimensions: norms have many names. Under ZeRO-3 the shape is that of the whole.
    return len(getattr(parameter, "ds_shape", parameter.shape)) > 1


def start_scoring(
    weights: Weights,
    make_head: Callable[[int], nn.Module],
    recipe: Recipe,
    placement: Placement,
    world: World,
) -> Engine:
    """A model for scoring, its head filled from the weights where they have one.

    Args:
        weights: The model that is scored.
        make_head: Hidden size → the head to fill.
        recipe: Its precision is that of the computation.
        placement: ZeRO stage and packing.
        world: The ranks, as many as the placement has workers.
    """
    config = ds_config(recipe, placement)
    model = build_model(weights, make_head, 0.0, 0, config, packed=placement.packed)
    loaded = load(model, weights, world, recipe, head=True)
    if recipe.precision == "bf16":
        # Parameters alone, as DeepSpeed does in training: tables of rotations stay what they were.
        _round_whole(model, torch.bfloat16)
    if placement.zero_stage == 3:
        _share_embeddings(model, placement.zero_stage)
        core, *_ = deepspeed.initialize(model=model, config=config, dist_init_required=False)
        core.eval()
    else:
        core = model.to(world.device).eval()
    _check_loaded(loaded, weights, world)
    return Engine(core=core, model=model, stage=placement.zero_stage, world=world, carried={})


def versions() -> dict[str, str]:
    """Versions of what computes the numbers, for provenance."""
    import transformers

    return {
        "torch": torch.__version__,
        "deepspeed": deepspeed.__version__,
        "transformers": transformers.__version__,
        **{name: version(name) for name in ("tokenizers", "numpy", "ray")},
    }
