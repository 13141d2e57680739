"""What sizes have, and what one layer of each family keeps and computes, at real shapes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from scaling.catalogue.architectures import Precision
from scaling.catalogue.models import MODELS
from tests.helpers.family_states import shapes_of
from tests.helpers.kept_tensors import ROWS, VOCABULARY, kept_by_layer, network, texts

SHAPES = (
    "mt5-small",
    "mt5-base",
    "umt5-base",
    "eurobert-210m",
    "eurobert-610m",
    "mmbert-small",
    "mmbert-base",
    "qwen3-0_6b",
    "gemma3-270m",
    "e5-small",
    "xlm-r-base",
)
PRECISIONS: tuple[Precision, ...] = ("bf16", "fp32")


def flops_of(name: str, length: int) -> tuple[float, float]:
    """(counted, predicted) FLOPs of a forward pass a token, attention written out."""
    model = MODELS[name].model_copy(update={"num_layers": 6, "vocab_rows": VOCABULARY})
    ids, _, _ = texts(length)
    encoder = network(model, 6, torch.float32, 0.0, "eager").eval()
    mask, lengths = torch.ones_like(ids), (length,) * ROWS
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder(ids, mask, None, lengths)
    return counter.get_total_flops() / ids.numel(), model.train_flops_per_token(length) / 3


def activations(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row per size: figure, target, value, met."""
    for name in names or SHAPES:
        shares = {
            f"{precision}, {length} tokens": said / own
            for precision in PRECISIONS
            for length in (64, 128)
            for own, said in [kept_by_layer(name, precision, length)]
        }
        yield {
            "figure": f"activations of a layer against saved tensors, {name}",
            "target": "0 to +15 %, never below",
            "value": "; ".join(f"{what}: {share - 1:+.1%}" for what, share in shares.items()),
            "met": all(1.0 <= share <= 1.15 for share in shares.values()),
        }


def flops(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row per size: figure, target, value, met."""
    for name in names or SHAPES:
        counted, said = flops_of(name, 64)
        yield {
            "figure": f"FLOPs of a forward pass against torch's counter, {name}",
            "target": "at most 1 % apart",
            "value": f"{said / counted - 1:+.2%}",
            "met": abs(said / counted - 1) <= 0.01,
        }


def parameters(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row for all sizes of the catalogue: figure, target, value, met."""
    wrong = {}
    for name in names or MODELS:
        model = MODELS[name]
        shapes = shapes_of(model)
        count = sum(math.prod(shape) for shape in shapes.values())
        words = math.prod(shapes[model.entry.words])
        around = model.embedding_params - words
        if count != model.total_params or around < 0:
            wrong[name] = f"{name}: {count} on the meta device, {model.total_params} said"
    number = len(names or MODELS)
    yield {
        "figure": "parameters against the meta device, every ModelSpec of the catalogue",
        "target": "equal",
        "value": "; ".join(wrong.values()) or f"equal in {number} of {number}",
        "met": not wrong and not names,
    }


PARTS = {"activations": activations, "flops": flops, "parameters": parameters}
