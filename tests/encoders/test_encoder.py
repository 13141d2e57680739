"""One depth of an encoder is one vector, however it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from scaling.encoders.encoder import Encoder, Weights, config_of, empty_encoder
from scaling.encoders.loading import load_tensors
from tests.helpers.tiny import make_model

LAYERS = 6


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("architecture", ["xlm-roberta", "xlm-roberta-xl"])
def test_a_depth_alone_and_in_a_sweep_is_one_vector(
    tmp_path: Path, architecture: str, packed: bool
) -> None:
    make_model(tmp_path / "m", architecture, LAYERS)
    weights = Weights(folder=tmp_path / "m", architecture=architecture, kept_rows=None)
    bare = empty_encoder(architecture, config_of(weights, 0.0, packed=packed))
    load_tensors(dict(bare.named_parameters()), weights.folder, 0, 1)
    with torch.no_grad():
        # A last norm that does something: its weights are learnt.
        for name, parameter in bare.named_parameters():
            if "norm" in name.lower():
                parameter.add_(0.5 * torch.randn_like(parameter))
    model = Encoder(bare.eval(), torch.nn.Identity(), architecture)
    ids = torch.randint(4, 90, (3, 9))
    mask = torch.ones_like(ids)
    depths = (0.01, 1 / 3, 0.5, 2 / 3, 0.99, 1.0)
    with torch.no_grad():
        swept = model(ids, mask, depths)
        for depth, vectors in zip(depths, swept, strict=True):
            assert torch.equal(model(ids, mask, depth), vectors), depth
        assert torch.equal(model(ids, mask), swept[-1])
    # Against the layers themselves, one after the other.
    seen: list[torch.Tensor] = []
    for layer in bare.encoder.layer:  # type: ignore[union-attr]
        layer.register_forward_hook(lambda module, given, out: seen.append(out))
    with torch.no_grad():
        model(ids, mask)
    for depth, vectors in zip(depths, swept, strict=True):
        index = max(1, round(depth * LAYERS))
        state = seen[index - 1].reshape(vectors.shape)
        if architecture == "xlm-roberta-xl":
            last = index == LAYERS
            norm = bare.encoder.LayerNorm if last else torch.nn.LayerNorm(32)
            state = norm(state)  # type: ignore[operator]
        assert torch.allclose(state, vectors, atol=1e-6), depth
