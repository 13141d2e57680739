"""Packed sequences give what padded ones give: hidden states, gradients, positions."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from scaling.catalogue.architecture_entries import XLM_ROBERTA
from scaling.encoders import packing
from scaling.encoders.encoder import Encoder, Weights, config_of, empty_encoder
from scaling.encoders.loading import load_tensors
from scaling.kinds.text import PAD
from tests.helpers.tiny import make_model

LENGTHS = (5, 9, 9, 1, 12, 3, 3)
OFFSETS = torch.tensor([0, *LENGTHS]).cumsum(0).int()
HOW = {"dropout_p": 0.0, "scale": 0.3}


def encoder(folder: Path, architecture: str, *, packed: bool) -> Encoder:
    weights = Weights(folder=folder, architecture=architecture, kept_rows=None)
    bare = empty_encoder(architecture, config_of(weights, 0.0, packed=packed))
    load_tensors(dict(bare.named_parameters()), folder, 0, 1)
    return Encoder(bare, torch.nn.Identity(), architecture)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    ids = torch.full((len(LENGTHS), max(LENGTHS) + 2), PAD)
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = torch.randint(4, 90, (length,))
    return ids, (ids != PAD).long()


@pytest.mark.parametrize("depth", [None, 0.5, (0.5, 1.0)])
@pytest.mark.parametrize("architecture", ["xlm-roberta", "xlm-roberta-xl"])
def test_hidden_states_and_gradients_are_those_of_the_padded_batch(
    tmp_path: Path, architecture: str, depth: float | tuple[float, ...] | None
) -> None:
    make_model(tmp_path / "m", architecture, 2)
    ids, mask = batch()
    found = []
    for packed in (False, True):
        model = encoder(tmp_path / "m", architecture, packed=packed)
        hidden = model(ids, mask, depth) * mask.unsqueeze(-1)
        hidden.pow(3).sum().backward()
        found.append(
            (hidden, {name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        )
    (padded, slopes), (hidden, own) = found
    assert hidden.shape == padded.shape and padded.abs().max() > 0.1
    assert torch.allclose(hidden, padded, atol=1e-5)
    assert own.keys() == slopes.keys() and slopes
    largest = max(float(slope.abs().max()) for slope in slopes.values())
    for name, slope in slopes.items():
        assert torch.allclose(own[name], slope, rtol=1e-4, atol=1e-5 * largest), name


@pytest.mark.parametrize("attend", [packing.by_length, packing.jagged])
def test_both_ways_of_attending_stay_inside_a_sequence(attend) -> None:
    torch.manual_seed(1)
    total = sum(LENGTHS)
    query, key, value = (torch.randn(1, 4, total, 16, requires_grad=True) for _ in range(3))
    found = attend(query, key, value, LENGTHS, OFFSETS, **HOW)
    # By hand: all against all, other sequences masked.
    owner = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    weights = (
        (query @ key.transpose(-1, -2) * 0.3)
        .masked_fill(owner[:, None] != owner[None], -torch.inf)
        .softmax(-1)
    )
    wanted = weights @ value
    assert found.shape == wanted.shape and torch.allclose(found, wanted, atol=1e-5)
    ours = torch.autograd.grad(found.pow(2).sum(), (query, key, value))
    for own, slope in zip(
        ours, torch.autograd.grad(wanted.pow(2).sum(), (query, key, value)), strict=True
    ):
        assert torch.allclose(own, slope, atol=1e-4)


def test_positions_start_after_the_padding_id_in_every_sequence() -> None:
    pack = packing.packing_of(tuple(batch()[1].shape), LENGTHS, OFFSETS)
    expected = [position for length in LENGTHS for position in range(PAD + 1, PAD + 1 + length)]
    assert pack.arguments(XLM_ROBERTA)["position_ids"].tolist() == [expected]


def test_flash_attention_is_called_as_torch_declares_it() -> None:
    # There is no such kernel on a CPU: shapes only.
    query, key, value = (torch.empty(1, 4, sum(LENGTHS), 16, device="meta") for _ in range(3))
    found = packing.flash(query, key, value, LENGTHS, OFFSETS.to("meta"), **HOW)
    assert found.shape == query.shape
