"""State comes back to the bit, and nothing but state is written or read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from scaling.encoders.checkpoint import BadWeights
from scaling.encoders.plain_state import read_state, write_state

pytestmark = pytest.mark.torch


class Scaler:
    def __init__(self, scale: float) -> None:
        self.scale = scale


def test_state_comes_back_to_the_bit(tmp_path: Path) -> None:
    tensors = [
        torch.tensor(0.1),
        torch.zeros(0),
        torch.arange(6, dtype=torch.int64).view(2, 3).t(),
        torch.tensor([float("nan"), float("-inf")], dtype=torch.bfloat16),
        torch.tensor([True, False]),
        torch.get_rng_state(),
    ]
    plain: dict[Any, Any] = {
        0: {"lr": 0.1, "betas": (0.9, 0.999), 3: None},
        "text": ["é", True, 2**70, float("inf"), -0.0],
        "dtype": torch.bfloat16,
    }
    write_state(tmp_path / "a.pt", {**plain, "t": tensors, "s": Scaler(0.5)}, {"Scaler": Scaler})
    found = read_state(tmp_path / "a.pt", {"Scaler": Scaler})
    for one, other in zip(found.pop("t"), tensors, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert bytes(one.contiguous().view(-1).view(torch.uint8).numpy()) == bytes(
            other.contiguous().view(-1).view(torch.uint8).numpy()
        )
    assert found.pop("s").scale == 0.5
    assert found == plain and list(found) == list(plain)


@pytest.mark.parametrize("value", [{1, 2}, print, Scaler(1.0), b"bytes"])
def test_other_values_are_named_and_not_written(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match=r"^state.a.0 is a "):
        write_state(tmp_path / "a.pt", {"a": [value]}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "raw",
    [
        [],
        5,
        {},
        {"plain": []},
        {"dtype": "load"},
        {"tensor": "7"},
        {"object": "Path", "state": {"plain": 1}},
        {"object": "Scaler", "state": {"plain": 1}},
    ],
)
def test_what_was_not_written_here_is_refused(tmp_path: Path, raw: Any) -> None:
    write_state(tmp_path / "a.pt", {}, {})
    (tmp_path / "a.pt.json").write_text(json.dumps(raw))
    with pytest.raises(BadWeights, match="no state that was written here"):
        read_state(tmp_path / "a.pt", {"Scaler": Scaler})
