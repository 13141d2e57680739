"""What a layer keeps for the backward pass at real shapes, and what the planner says it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

from scaling.catalogue.architectures import Precision
from scaling.catalogue.models import MODELS, ModelSpec
from scaling.encoders.encoder import Encoder, empty_encoder, make_config

ROWS, VOCABULARY = 3, 64
DROPOUT = 0.1


def network(
    model: ModelSpec, layers: int, dtype: torch.dtype, dropout: float, attention: str = ""
) -> Encoder:
    """A few layers of a size, with random weights and few words."""
    entry = model.entry
    own = {key: getattr(model, field) for field, key in entry.dims.items()}
    own |= {
        **entry.fixed,
        entry.dims["num_layers"]: layers,
        entry.dims["vocab_rows"]: VOCABULARY,
        **dict.fromkeys(entry.special_ids, 1),
    }
    if entry.positions == "learned":
        own |= {"max_position_embeddings": model.positions, "type_vocab_size": entry.types}
    encoder = empty_encoder(entry.name, make_config(entry.name, own, dropout, attention))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.data = torch.full_like(parameter, 0.01, dtype=dtype)
    return Encoder(encoder, torch.nn.Identity(), entry.name)


def texts(length: int) -> tuple[torch.Tensor, torch.Tensor, tuple[int, ...]]:
    """Ids, mask and lengths of a padded pass."""
    lengths = (length, *([length // 2] * (ROWS - 1)))
    mask = torch.zeros(ROWS, length, dtype=torch.long)
    for row, one in enumerate(lengths):
        mask[row, :one] = 1
    torch.manual_seed(1)
    return torch.randint(4, VOCABULARY, mask.shape), mask, lengths


@contextmanager
def masks_of_a_gpu() -> Iterator[None]:
    """Within the block, dropout keeps what a GPU's kernels keep: a byte an element.

    Fused attention keeps none of its own there: it draws them again.
    """
    drop, attend = functional.dropout, functional.scaled_dot_product_attention

    def masked(
        input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        return torch.native_dropout(input, p, True)[0] if training and p else input

    def attended(*given: Any, **how: Any) -> torch.Tensor:
        return attend(*given, **{**how, "dropout_p": 0.0})

    functional.dropout, functional.scaled_dot_product_attention = masked, attended
    try:
        yield
    finally:
        functional.dropout, functional.scaled_dot_product_attention = drop, attend


def saved_bytes(model: Encoder, length: int) -> int:
    """Bytes of all tensors that a pass keeps for the backward pass, each storage once."""
    own = {one.untyped_storage().data_ptr() for one in model.parameters()}
    held: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids, mask, lengths = texts(length)
    with masks_of_a_gpu(), saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = model.train()(ids, mask, None, lengths)
        total = sum(one.untyped_storage().nbytes() for one in held.values())
        del hidden
    return total


def kept_by_layer(name: str, precision: Precision, length: int) -> tuple[float, float]:
    """(measured, predicted) bytes of a token in a layer; of three layers, so that windows count."""
    model = MODELS[name]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    small, large = (
        saved_bytes(network(model, layers, dtype, DROPOUT), length) for layers in (3, 6)
    )
    predicted = model.entry.kept[precision].bytes(model, length)
    predicted += model.entry.masks.bytes(model, length)
    return (large - small) / 3 / (ROWS * length), predicted
