"""The two architectures by name: an encoder without weights, and the tensors that it wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaXLConfig, XLMRobertaXLModel
from transformers.initialization import no_init_weights

CLASSES: dict[str, tuple[Any, Any]] = {
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel),
    "xlm-roberta-xl": (XLMRobertaXLConfig, XLMRobertaXLModel),
}


def make_config(
    architecture: str, fields: Mapping[str, Any], dropout: float, attention: str = "sdpa"
) -> Any:
    """The Hugging Face configuration of a `config.json`, for the named architecture."""
    config_class, _ = CLASSES[architecture]
    raw = {
        key: value
        for key, value in fields.items()
        if key not in ("model_type", "architectures", "dtype")
    }
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return config_class(**{**raw, **rates, "attn_implementation": attention})


def empty_encoder(architecture: str, config: Any) -> nn.Module:
    """The encoder, its parameters allocated and not set: nothing is drawn only to be
    overwritten.
    """
    _, model_class = CLASSES[architecture]
    with no_init_weights():
        return model_class._from_config(config, dtype=torch.float32, add_pooling_layer=False)  # type: ignore[no-any-return]


def random_encoder(architecture: str, config: Any, seed: int) -> nn.Module:
    """The encoder with weights drawn from a seed, as before any pretraining."""
    _, model_class = CLASSES[architecture]
    torch.manual_seed(seed)
    return model_class._from_config(config, dtype=torch.float32, add_pooling_layer=False)  # type: ignore[no-any-return]


def wanted_shapes(architecture: str, config: Any) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter, without allocating any."""
    with torch.device("meta"):
        model = empty_encoder(architecture, config)
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
