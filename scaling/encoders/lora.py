"""LoRA: low-rank updates beside frozen weights (Hu et al. 2022), merged into them on export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear
from torch import nn

from scaling.spec import UserError
from scaling.study.lora import Lora


def add_adapters(encoder: nn.Module, lora: Lora, seed: int) -> None:
    """Freezes the encoder and puts an adapter beside each target module, drawn from the seed.

    ValueError where a target matches no module.
    """
    torch.manual_seed(seed)
    encoder.requires_grad_(False)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets or ()),
        bias="none",
    )
    inject_adapter_in_model(config, encoder)
    found = {name for name, module in encoder.named_modules() if isinstance(module, Linear)}
    lost = [
        target
        for target in lora.targets or ()
        if not any(f".{name}".endswith(f".{target}") for name in found)
    ]
    if lost:
        raise UserError(f"LoRA targets match no module: {', '.join(lost)}")


def merge_adapters(
    encoder: nn.Module, whole: Callable[[list[nn.Parameter]], AbstractContextManager[Any]]
) -> None:
    """Set W to W + alpha/rank · B·A, computed in fp32; the adapters are of no use afterwards.

    `whole`: makes sharded parameters whole inside its block, and shards their new values after it.
    """
    for weight, a, b, scale in _adapted(encoder):
        with torch.no_grad(), whole([weight, a, b]):
            weight.copy_((weight.float() + scale * (b.float() @ a.float())).to(weight.dtype))


def _adapted(encoder: nn.Module) -> Iterator[tuple[Any, Any, Any, float]]:
    """(W, A, B, alpha / rank) of every adapter."""
    for module in encoder.modules():
        if isinstance(module, Linear):
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            yield module.base_layer.weight, a, b, module.scaling["default"]
