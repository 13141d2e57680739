"""Every architecture: its sizes on the meta device, and staged states against `from_pretrained`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from scaling.catalogue.architecture_entries import ARCHITECTURES
from scaling.catalogue.models import MODELS, ModelSpec
from scaling.data.schema import BadData
from scaling.encoders.encoder import row_lookup
from tests.helpers.family_states import (
    LENGTHS,
    batch,
    expected,
    expected_alone,
    loaded,
    shapes_of,
    staged,
)
from tests.helpers.kept_tensors import kept_by_layer
from tests.helpers.tiny_families import HEADS, make_family


@pytest.fixture(scope="module", params=sorted(HEADS))
def family(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelSpec]:
    folder = tmp_path_factory.mktemp(request.param) / "source"
    return folder, ModelSpec(name="mine", **make_family(folder, request.param, 6))


@torch.no_grad()
def test_staged_states_are_those_of_from_pretrained(family: tuple[Path, ModelSpec]) -> None:
    folder, spec = family
    ids, mask = batch()
    wanted = expected(folder, spec, ids, mask)
    model = loaded(staged(folder.parent, spec))
    found = model(ids, mask, None, LENGTHS)
    real = mask == 1
    assert torch.equal(found[real], wanted[real])
    # A text alone has the states that it has among longer ones.
    alone = model(ids[2:, :7], mask[2:, :7], None, (7,))
    torch.testing.assert_close(alone[0], found[2, :7], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        expected_alone(folder, spec, ids[2, :7]), alone[0], atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_one_depth_is_the_same_depth_among_several(family: tuple[Path, ModelSpec]) -> None:
    folder, spec = family
    ids, mask = batch()
    model = loaded(staged(folder.parent, spec))
    several = model(ids, mask, (1 / 3, 2 / 3, 1.0), LENGTHS)
    real = mask == 1
    for at, depth in enumerate((1 / 3, 2 / 3, 1.0)):
        assert torch.equal(model(ids, mask, depth, LENGTHS)[real], several[at][real])


@torch.no_grad()
def test_packed_is_padded_or_is_refused(family: tuple[Path, ModelSpec]) -> None:
    folder, spec = family
    weights = staged(folder.parent, spec)
    ids, mask = batch()
    packed = loaded(weights, packed=True)
    windowed = spec.entry.window > 0
    if not spec.entry.packs or windowed:
        # The tiny models' window has 9 or 16 tokens, of which the longest text here has more.
        with pytest.raises(ValueError, match="cannot be packed"):
            packed(ids, mask, None, LENGTHS, torch.tensor([0, 40, 63, 70]))
    if not spec.entry.packs:
        return
    ids, mask = (ids[:, :8], mask[:, :8]) if windowed else (ids, mask)
    lengths = tuple(mask.sum(1).tolist())
    offsets = torch.tensor(np.cumsum((0, *lengths)), dtype=torch.int32)
    found = packed(ids, mask, None, lengths, offsets)
    wanted = loaded(weights)(ids, mask, None, lengths)
    torch.testing.assert_close(found[mask == 1], wanted[mask == 1], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_trimming_keeps_states_and_moves_special_ids(family: tuple[Path, ModelSpec]) -> None:
    folder, spec = family
    ids, mask = batch()
    wanted = loaded(staged(folder.parent, spec))(ids, mask, None, LENGTHS)
    small = spec.model_copy(update={"name": "small", "trim_vocabulary": True})
    weights = staged(folder.parent, small, np.unique(ids.numpy()))
    lookup = row_lookup(weights)
    assert lookup is not None
    rows = torch.from_numpy(lookup)[ids]
    assert int(rows.min()) >= 0
    found = loaded(weights)(rows, mask, None, LENGTHS)
    assert torch.equal(found[mask == 1], wanted[mask == 1])
    config = json.loads((weights.folder / "config.json").read_text())
    before = json.loads((folder / "config.json").read_text())
    for key in spec.entry.special_ids:
        if isinstance(before.get(key), int):
            assert config[key] == lookup[before[key]] >= 0


@torch.no_grad()
def test_fewer_layers_are_the_first_ones(family: tuple[Path, ModelSpec]) -> None:
    folder, spec = family
    every, rest = spec.entry.ends_on
    depth = every + rest if every + rest < spec.num_layers else rest
    if not depth:
        return
    ids, mask = batch()
    short = ModelSpec(**{**spec.model_dump(exclude_defaults=True), "keep_layers": depth})
    cut = loaded(staged(folder.parent, short))
    whole = loaded(staged(folder.parent, spec.model_copy(update={"name": "whole"})))
    fraction = depth / spec.num_layers
    real = mask == 1
    if spec.entry.is_pre_norm:
        norm = whole.encoder.get_submodule(spec.entry.final_norm)
        owner, name = whole._place_of_layers()
        setattr(owner, name, getattr(owner, name)[:depth])
        assert norm is not None
        assert torch.equal(
            cut(ids, mask, None, LENGTHS)[real], whole(ids, mask, None, LENGTHS)[real]
        )
    else:
        assert torch.equal(
            cut(ids, mask, None, LENGTHS)[real], whole(ids, mask, fraction, LENGTHS)[real]
        )


@pytest.mark.parametrize("name", sorted(MODELS))
def test_parameters_are_those_of_the_class(name: str) -> None:
    model = MODELS[name]
    shapes = shapes_of(model)
    count = sum(int(torch.Size(shape).numel()) for shape in shapes.values())
    assert count == model.total_params
    assert shapes[model.entry.words] == (model.vocab_rows, model.hidden)


@pytest.mark.parametrize("name", ["e5-small", "mt5-small", "mmbert-small"])
def test_a_layer_keeps_no_more_than_is_predicted(name: str) -> None:
    measured, predicted = kept_by_layer(name, "bf16", 128)
    assert measured <= predicted <= 1.15 * measured


def test_what_a_source_says_otherwise_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    fields = make_family(folder, "qwen3", 2)
    spec = ModelSpec(name="mine", **fields)
    path = folder / "config.json"
    right = json.loads(path.read_text())

    def refused(message: str, spec: ModelSpec = spec, **changed: Any) -> None:
        path.write_text(json.dumps({**right, **changed}))
        with pytest.raises(BadData, match=message):
            staged(tmp_path, spec)

    refused(r"model_type is 'qwen2', and model 'mine' is a qwen3; valid: qwen3", model_type="qwen2")
    refused("attention_sinks: no field of Qwen3Config .*older_keys", attention_sinks=4)
    refused(r"num_key_value_heads is 4, not 2", num_key_value_heads=4)
    refused(r"head_dim is 16, not 8", head_dim=16)
    missing = {key: value for key, value in right.items() if key != "num_attention_heads"}
    path.write_text(json.dumps(missing))
    with pytest.raises(BadData, match="no num_attention_heads"):
        staged(tmp_path, spec)
    path.write_text(json.dumps(right))
    deep = ModelSpec(**{**fields, "name": "mine", "num_layers": 3})
    with pytest.raises(BadData, match="num_hidden_layers is 2, not 3"):
        staged(tmp_path, deep)


def test_two_names_of_one_tensor_must_agree(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    spec = ModelSpec(name="mine", **make_family(folder, "mt5", 2))
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    shared = tensors["shared.weight"]
    save_file({**tensors, "encoder.embed_tokens.weight": shared.clone()}, file)
    staged(tmp_path, spec)
    save_file({**tensors, "encoder.embed_tokens.weight": shared + 1}, file)
    other = spec.model_copy(update={"name": "other"})
    with pytest.raises(BadData, match=r"two tensors are 'embed_tokens\.weight' here and differ"):
        staged(tmp_path, other)


def test_windows_say_where_a_ladder_may_end() -> None:
    fields = MODELS["mmbert-base"].model_dump(exclude_defaults=True)
    assert ModelSpec(**{**fields, "keep_layers": 7}).depth == 7
    with pytest.raises(ValueError, match=r"valid: 1, 4, 7, 10, 13, 16, 19, 22"):
        ModelSpec(**{**fields, "keep_layers": 8})


def test_every_architecture_has_a_tiny_model() -> None:
    assert HEADS.keys() == ARCHITECTURES.keys()
