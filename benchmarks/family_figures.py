"""What one layer of each family keeps and computes, measured at real shapes, for `families`."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from scaling.catalogue.models import MODELS, ModelSpec
from scaling.encoders.encoder import Encoder, empty_encoder, make_config

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
ROWS, VOCABULARY = 3, 64


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


def saved_bytes(model: Encoder, length: int) -> int:
    """Bytes of all tensors that a pass keeps for the backward pass, each storage once."""
    own = {one.untyped_storage().data_ptr() for one in model.parameters()}
    held: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids, mask, lengths = texts(length)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = model.train()(ids, mask, None, lengths)
        total = sum(one.untyped_storage().nbytes() for one in held.values())
        del hidden
    return total


def kept_by_layer(name: str, precision: str, length: int, dropout: float) -> tuple[float, float]:
    """(measured, predicted) bytes of a token in a layer; of three layers, so that windows count."""
    model = MODELS[name]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    small, large = (
        saved_bytes(network(model, layers, dtype, dropout), length) for layers in (3, 6)
    )
    kept = model.entry.kept["bf16" if precision == "bf16" else "fp32"]
    masks = model.entry.masks.bytes(model, length)
    return (large - small) / 3 / (ROWS * length), kept.bytes(model, length) + masks


def flops_of(name: str, length: int) -> tuple[float, float]:
    """(counted, predicted) FLOPs of a forward pass a token, attention written out."""
    model = MODELS[name].model_copy(update={"num_layers": 6, "vocab_rows": VOCABULARY})
    ids, _, _ = texts(length)
    encoder = network(model, 6, torch.float32, 0.0, "eager").eval()
    mask, lengths = torch.ones_like(ids), (length,) * ROWS
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder(ids, mask, None, lengths)
    return counter.get_total_flops() / ids.numel(), model.train_flops_per_token(length) / 3


def main() -> None:
    """Print all of them, for a look by hand."""
    for name in SHAPES:
        for precision in ("bf16", "fp32"):
            for length, dropout in ((64, 0.0), (128, 0.0)):
                own, said = kept_by_layer(name, precision, length, dropout)
                print(
                    {
                        "model": name,
                        "precision": precision,
                        "length": length,
                        "dropout": dropout,
                        "h": round(own / MODELS[name].hidden, 2),
                        "said": round(said / own, 3),
                    },
                    flush=True,
                )
        counted, said = flops_of(name, 64)
        print({"model": name, "flops": said / counted}, flush=True)


if __name__ == "__main__":
    main()
