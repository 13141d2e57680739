"""What one device holds in training, part by part.

Model states: Rajbhandari et al. 2020 (arXiv 1910.02054). Activations: Korthikanti et al. 2022
(arXiv 2205.05198), eq. 2, with attention never materialised on a GPU: for XLM-R 32·h bytes of
bf16 and 2·h of dropout masks per token and layer, for others what their entry in
`catalogue/architecture_entries` says; recomputed, one input per layer and one layer at a time. What
DeepSpeed holds beyond that was measured, on CPU in fp32 only (`make bench-memory`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from scaling.catalogue.hardware import (
    BUCKET_ELEMENTS,
    GIB,
    Placement,
)
from scaling.catalogue.models import ModelSpec
from scaling.catalogue.task import DEV, PAIRS_TOGETHER, Key
from scaling.planning.moments import Counts, moments
from scaling.study.flops import ASSUMED_CHOICES, Sizes
from scaling.study.recipes import Recipe
from scaling.study.steps import Step
from scaling.study.study import Study

# Share of a device that a plan may fill. Tensors are counted exactly; what is left is for holes
# between them and collectives, until a GPU has shown how much they take.
USABLE = 0.9
# Share of the tokens that a masked language model predicts.
MASKED_SHARE = 0.15
# <s>, <pad>, </s>, <unk>.
SPECIAL_ROWS = 4
# Trained tensors of a layer.
LAYER_TENSORS = 16
# Rows of a head's last product, about; before it comes one of hidden × hidden.
LABELS = 8
# A process on a GPU: libraries, context and communicators.
GPU_FIXED_GIB = 1.5
# A worker with torch, transformers and DeepSpeed imported and a process group.
CPU_FIXED_GIB = 0.45


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a training asks of its devices. Equal demands of one model are placed alike."""

    batch: int
    max_length: int
    """Of the longest sequences."""
    precision: str
    masked: bool = False
    """Whether a masked language model is trained."""
    texts: int = 1
    """Sequences of an example."""
    together: int = 1
    """Examples that all workers compute at the same time whatever the micro-batch, each its share:
    pairs that are each other's negatives.
    """
    word_rows: int = 0
    """Rows of the word embedding that it can touch, and that are all it trains; 0 for all."""

    def least(self, workers: int) -> int:
        """Sequences of the smallest pass of each of so many workers."""
        return math.lcm(self.together, workers) // workers * self.texts

    def sequences(self, placement: Placement) -> int:
        """Sequences of the largest pass, each of `max_length` tokens at most."""
        return max(self.least(placement.workers), placement.rows(self.batch))


def touches_few(study: Study, step: Step) -> bool:
    """Whether a training can touch only the word embeddings of its own texts.

    Masked language models decode with all of them. Beside adapters none is trained.
    """
    kinds = {study.task(member.task).kind for member in step.mixture.members}
    return "masked_lm" not in kinds and study.adapters is None


def rows_in_use(study: Study, step: Step, sizes: Sizes) -> int:
    """Rows of the word embedding that a training can touch at most; 0 for all, or where unknown.

    Splits share pieces, which count once for each: too many rows, never too few.
    """
    if step.action != "train" or not touches_few(study, step):
        return 0
    counts = []
    for member in step.mixture.members:
        task = study.task(member.task)
        keys = [Key("train", code) for code in member.languages] + [DEV] * task.has_dev
        staged = sizes.get(member.task, {})
        counts += [staged.get(str(key), (0, 0, 0))[2] for key in keys]
    return SPECIAL_ROWS + sum(counts) if all(counts) else 0


def params_at_work(model: ModelSpec, word_rows: int, placement: Placement) -> int:
    """Parameters that a training holds on its devices.

    `word_rows`: rows of the word embedding that it can touch, 0 for all.
    """
    return model.total_params - _rows_left_out(model, word_rows, placement) * model.hidden


def _rows_left_out(model: ModelSpec, word_rows: int, placement: Placement) -> int:
    if not word_rows or placement.whole_vocabulary:
        return 0
    return max(0, model.vocab_rows - word_rows)


def demand_of(recipe: Recipe, kinds: Iterable[str] = (), word_rows: int = 0) -> Demand:
    """Of a training of tasks of these kinds with one recipe.

    `word_rows`: rows of the word embedding that it can touch, 0 for all.
    """
    kinds = set(kinds)
    texts = ASSUMED_CHOICES if "multiple_choice" in kinds else 2 if "retrieval" in kinds else 1
    return Demand(
        batch=recipe.batch,
        max_length=recipe.max_length,
        precision=recipe.precision,
        masked="masked_lm" in kinds,
        texts=texts,
        together=min(PAIRS_TOGETHER, recipe.batch) if "retrieval" in kinds else 1,
        word_rows=word_rows,
    )


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on one device at the worst moment of an update."""

    weights: float
    gradients: float
    """Those that have been computed, where and as often as DeepSpeed has them at that moment."""
    optimizer: float
    """Both moments; from stage 1 also master weights, and the gradients in fp32 where taking the
    step is the worst moment. 0 if they lie on the host.
    """
    buffers: float
    """What is gathered or reduced at once, and the embedding's gradient before it is added up."""
    activations: float
    """0 where the worst moment has none."""
    logits: float
    """Of a masked language model: one for every row of the vocabulary, for every masked token."""
    fixed: float
    """Libraries and context."""
    host: float
    """Beside the device, per worker, and not part of the total: optimizer states in host memory,
    and the word embeddings that are not trained.
    """

    @property
    def total(self) -> float:
        """All of the device's parts."""
        return float(sum(getattr(self, part.name) for part in fields(self) if part.name != "host"))


def memory(model: ModelSpec, demand: Demand, placement: Placement, *, gpu: bool = True) -> Memory:
    """Predicted peak of one worker, of all workers the one that needs most.

    Args:
        model: Whose parameters.
        demand: What the training asks for.
        placement: How it is laid out.
        gpu: Whether the device is a GPU; False for a CPU worker.
    """
    tokens = demand.sequences(placement) * demand.max_length
    size = 2.0 if demand.precision == "bf16" else 4.0
    params = float(params_at_work(model, demand.word_rows, placement))
    others = model.total_params - params
    params += model.hidden * (model.hidden + LABELS)
    workers, stage = placement.workers, placement.zero_stage
    share = params / workers
    # Stage 0 with one worker allocates no all-reduce bucket. A GPU holds all of one, a CPU what is
    # written.
    bucket = BUCKET_ELEMENTS if gpu else min(params, BUCKET_ELEMENTS)
    counts = Counts(
        size=size,
        params=params,
        share=share,
        words=float(model.vocab_rows * model.hidden - others),
        embedding=float(model.embedding_params - others),
        matrix=float(model.ffn * model.hidden),
        small=float(13 * model.hidden * model.depth),
        tensors=float(LAYER_TENSORS * model.depth),
        bucket=0.0 if not stage and workers == 1 else bucket,
        several=placement.share(demand.batch) * demand.texts > demand.sequences(placement),
    )
    # With whole numbers of positions and token types.
    weights = size * (share if stage == 3 else params) + 16.0 * (model.positions or 0)
    # Master weights and two moments, all in fp32. Stage 0 trains in fp32, so that it needs no
    # master copy.
    states, host = (8.0 * params if stage == 0 else 12.0 * share), 0.0
    if placement.offload_optimizer:
        # With the gradients in fp32, and below stage 3 as they come; those of earlier passes wait
        # there too.
        states, host = 0.0, 16.0 * share
        if stage < 3:
            host += size * (share + counts.words + counts.several * counts.touched)
    if gpu:
        host += size * others
    else:
        # There the host is the device.
        weights += size * others
    # A CPU has no fused attention with dropout: the probabilities of every head are kept.
    attention = 0.0 if gpu else size * model.num_heads * demand.max_length
    kept = model.entry.kept["bf16" if size == 2 else "fp32"].bytes(model, demand.max_length)
    kept += model.entry.masks.bytes(model, demand.max_length)
    activations = _activations(
        model, tokens, size, kept + attention, recompute=placement.checkpoint_activations
    )
    logits = MASKED_SHARE * tokens * model.vocab_rows * (2 * size + 12.0) if demand.masked else 0.0
    # A head that decodes with the embeddings has a gradient of them from the first layer on.
    decoded = size * counts.words if demand.masked else 0.0
    # gloo gathers into copies: three times as much, as measured.
    gathered = 1.0 if gpu or workers == 1 else 3.0
    found = [
        Memory(
            weights=weights,
            gradients=moment.gradients,
            optimizer=states + moment.fp32,
            buffers=moment.buffers + decoded * (not moment.fp32),
            activations=moment.activations * activations,
            logits=moment.activations * logits,
            fixed=(GPU_FIXED_GIB if gpu else CPU_FIXED_GIB) * GIB,
            host=host,
        )
        for moment in moments(counts, placement, gathered)
    ]
    if gpu:
        return max(found, key=lambda one: one.total)
    # What a process on a CPU has had it keeps, in holes that the next moment does not fit into.
    return Memory(
        **{part.name: max(getattr(one, part.name) for one in found) for part in fields(Memory)}
    )


def _activations(
    model: ModelSpec, tokens: int, size: float, kept: float, *, recompute: bool
) -> float:
    layer = kept * tokens
    if recompute:
        return size * model.hidden * model.depth * tokens + layer
    return layer * model.depth
