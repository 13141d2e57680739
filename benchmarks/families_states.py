"""States of every architecture: against transformers' own of the same folder, and packed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scaling.catalogue.architecture_entries import ARCHITECTURES
from scaling.catalogue.models import MODELS, ModelSpec
from scaling.encoders.encoder import Encoder
from scaling.spec import UserError
from scaling.study.study import Study
from tests.helpers.family_states import LENGTHS, batch, expected, expected_alone, loaded, staged
from tests.helpers.tiny_families import make_family


def _made(folder: Path, name: str, **changed: Any) -> ModelSpec:
    """A tiny model with the head class of its hub repositories, saved as the hub does."""
    return ModelSpec(name="mine", **make_family(folder / "source", name, 6, **changed))


@torch.no_grad()
def staged_states(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row per architecture: figure, target, value, met."""
    for name in names or ARCHITECTURES:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            spec = _made(folder, name)
            ids, mask = batch()
            real = mask == 1
            wanted = expected(folder / "source", spec, ids, mask)[real]
            model = loaded(staged(folder, spec))
            found = model(ids, mask, None, LENGTHS)
            apart = float((found[real] - wanted).abs().max())
            alone = max(
                float(
                    (found[row, :length] - expected_alone(folder / "source", spec, one)).abs().max()
                )
                for row, length in enumerate(LENGTHS)
                for one in [ids[row, :length]]
            )
        yield {
            "figure": f"staged states against from_pretrained, fp32, padded batch, {name}",
            "target": "bit for bit",
            "value": ("bit for bit" if torch.equal(found[real], wanted) else f"{apart:.1e} apart")
            + f"; against each text alone {alone:.1e}",
            "met": torch.equal(found[real], wanted) and alone <= 1e-5,
        }


def _plan_refuses(name: str, max_length: int) -> bool:
    """Whether a study of a shipped size that packs texts of so many tokens is refused."""
    model = next(one for one in MODELS.values() if one.architecture == name)
    content: dict[str, Any] = {
        "name": "packed",
        "models": [model.name],
        "arms": ["none"],
        "targets": ["xnli"],
        "seeds": [0],
        "placement": {"default": {"packed": True}},
        "recipes": {"default": {"max_length": max_length}},
    }
    try:
        Study(**content)
    except ValueError as error:
        if f"{model.name} cannot pack" not in str(error):
            raise
        return True
    return False


def _packed_pass(
    model: Encoder, lengths: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(ids, mask, states B x L x H) of a pass without padding."""
    ids, mask = batch(lengths=lengths)
    offsets = torch.tensor(np.cumsum((0, *lengths)), dtype=torch.int32)
    return ids, mask, model(ids, mask, None, lengths, offsets)


def _pass_refuses(model: Encoder, longest: int) -> bool:
    try:
        _packed_pass(model, (longest, 3))
    except UserError:
        return True
    return False


@torch.no_grad()
def packed_states(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row per architecture, with windows of the real sizes: figure, target, value, met."""
    for name in names or ARCHITECTURES:
        entry = ARCHITECTURES[name]
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            weights = staged(folder, _made(folder, name, **_REAL_WINDOWS.get(name, {})))
            packed, padded = loaded(weights, packed=True), loaded(weights)
        if not entry.packs:
            value = "a plan and a pass refuse it"
            met = _plan_refuses(name, 16) and _pass_refuses(packed, 7)
        else:
            longest = entry.window or 128
            lengths = (longest, longest // 2, 7, 7, 1)
            ids, mask, found = _packed_pass(packed, lengths)
            wanted = padded(ids, mask, None, lengths)
            apart = float((found[mask == 1] - wanted[mask == 1]).abs().max())
            value, met = f"{apart:.1e} up to {longest} tokens", apart <= 1e-5
            met &= not _plan_refuses(name, longest)
            if entry.window:
                value += f"; a plan and a pass refuse {longest + 1}"
                met &= _plan_refuses(name, longest + 1) and _pass_refuses(packed, longest + 1)
        yield {
            "figure": f"packed against padded, fp32, {name}",
            "target": "at most 1e-5; refused where numbers would differ",
            "value": value if met else f"NOT SO: {value}",
            "met": met,
        }


# Those of the tiny models are smaller, so that short texts pass them.
_REAL_WINDOWS: dict[str, dict[str, Any]] = {
    "modernbert": {"local_attention": 128},
    "gemma3": {"sliding_window": 512},
}

PARTS = {"staged": staged_states, "packed": packed_states}
