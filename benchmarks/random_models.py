"""Encoders of any shape with random weights, written tensor by tensor: for speed and memory, not
for scores.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from scaling.catalogue.models import ModelSpec
from scaling.encoders.checkpoint import (
    SHARD_BYTES,
    TensorSpec,
    shard_names,
    share_out,
    write_index,
    write_shard,
)
from scaling.encoders.encoder import Weights, make_config, wanted_shapes


def shape(
    name: str, layers: int, hidden: int, *, vocab: int, heads: int = 0, xl: bool = False
) -> ModelSpec:
    """A size that need not exist; feed-forward 4·hidden, heads of 64."""
    return ModelSpec(
        name=name,
        family="random",
        architecture="xlm-roberta-xl" if xl else "xlm-roberta",
        source="dir:.",
        num_layers=layers,
        hidden=hidden,
        ffn=4 * hidden,
        num_heads=heads or hidden // 64,
        vocab_rows=vocab,
    )


def write_model(model: ModelSpec, folder: Path, dtype: torch.dtype = torch.float32) -> Weights:
    """The model as a staged directory; never more than one tensor in memory."""
    folder.mkdir(parents=True)
    fields = {
        "vocab_size": model.vocab_rows,
        "hidden_size": model.hidden,
        "num_hidden_layers": model.num_layers,
        "num_attention_heads": model.num_heads,
        "intermediate_size": model.ffn,
        "type_vocab_size": 1,
        "max_position_embeddings": model.positions,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(fields))
    shapes = wanted_shapes(model.architecture, make_config(model.architecture, fields, 0.0))
    specs = [TensorSpec(name, dtype, size) for name, size in shapes.items()]
    shares = share_out(
        specs, max(1, -(-sum(spec.num_bytes for spec in specs) // (SHARD_BYTES // 4)))
    )
    files = dict(zip(shard_names(len(shares)), shares, strict=True))
    hashes: dict[str, str] = {}
    torch.manual_seed(0)
    for file, share in files.items():
        hashes.update(write_shard(folder / file, share, (_values(spec) for spec in share)))
    write_index(folder, files, hashes)
    return Weights(folder=folder, architecture=model.architecture, kept_rows=None)


def _values(spec: TensorSpec) -> torch.Tensor:
    if "LayerNorm" in spec.name or "layer_norm" in spec.name:
        return torch.full(spec.shape, float(spec.name.endswith("weight")), dtype=spec.dtype)
    if spec.name.endswith("bias"):
        return torch.zeros(spec.shape, dtype=spec.dtype)
    return torch.empty(spec.shape, dtype=spec.dtype).normal_(std=0.02)
