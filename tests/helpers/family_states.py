"""Tiny models of every architecture, staged and loaded, beside transformers' own; and real sizes on
the meta device. What test_architectures and `make bench-families` compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from scaling.catalogue.models import ModelSpec
from scaling.encoders.encoder import (
    Encoder,
    Weights,
    config_of,
    empty_encoder,
    make_config,
    wanted_shapes,
)
from scaling.encoders.loading import load_tensors, parameters_in_file
from scaling.encoders.weights import KEPT_ROWS, stage_model, tokenizer_file
from scaling.store.store import Store
from tests.helpers.tiny_families import PIECES, reference_encoder

LENGTHS = (40, 23, 7)


def batch(lengths: Sequence[int] = LENGTHS) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, B x L, with padding of id 1: a token like any other in most of them."""
    torch.manual_seed(1)
    mask = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, length in enumerate(lengths):
        mask[row, :length] = 1
    ids = torch.randint(3, PIECES - 4, mask.shape)
    return torch.where(mask == 1, ids, 1), mask


def staged(folder: Path, spec: ModelSpec, used: np.ndarray | None = None) -> Weights:
    """A model, staged into a store below a folder. `used`: ids of a trimmed vocabulary, (R,)."""
    store = Store.open(folder / "store")
    tokenizer = tokenizer_file(spec, None)
    stage_model(spec, store, None, used, name=spec.name, tokenizer=tokenizer)
    place = folder / "store" / "models" / spec.name
    kept = place / KEPT_ROWS
    return Weights(
        folder=place,
        architecture=spec.architecture,
        kept_rows=kept if kept.is_file() else None,
    )


def loaded(weights: Weights, *, packed: bool = False) -> Encoder:
    """What was staged, in fp32, without a head."""
    encoder = empty_encoder(weights.architecture, config_of(weights, 0.0, packed=packed))
    model = Encoder(encoder, nn.Identity(), weights.architecture)
    load_tensors(parameters_in_file(model), weights.folder, 0, 1, ("lm_head.",))
    return model.eval()


def expected(folder: Path, spec: ModelSpec, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """States of transformers' own class, B x L x H, for ids and mask, B x L."""
    reference = reference_encoder(folder, spec.architecture)
    if spec.entry.fits:
        states: torch.Tensor = reference(input_ids=ids, attention_mask=mask).last_hidden_state
        return states
    # No class of transformers looks both ways here: it is given a mask that says so.
    bias = torch.zeros(len(ids), 1, ids.shape[1], ids.shape[1])
    bias = bias.masked_fill(mask[:, None, None, :] == 0, -torch.inf)
    given: dict[str, Any] = {"attention_mask": {"full_attention": bias}, "is_causal": False}
    states = reference(input_ids=ids, **given).last_hidden_state
    return states


def expected_alone(folder: Path, spec: ModelSpec, ids: torch.Tensor) -> torch.Tensor:
    """States of one text without padding, L x H, for its ids, L."""
    reference = reference_encoder(folder, spec.architecture)
    own: dict[str, Any] = {}
    if not spec.entry.fits:
        own = {"attention_mask": {"full_attention": None}, "is_causal": False}
    states: torch.Tensor = reference(input_ids=ids[None], **own).last_hidden_state[0]
    return states


def shapes_of(model: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Name → shape of a size's parameters, as its class makes them on the meta device."""
    entry = model.entry
    own = {key: getattr(model, field) for field, key in entry.dims.items()}
    own |= {entry.dims["num_layers"]: model.depth, **entry.fixed}
    if entry.positions == "learned":
        own |= {"max_position_embeddings": model.positions, "type_vocab_size": entry.types}
    return wanted_shapes(entry.name, make_config(entry.name, own, 0.0))
