"""Every architecture: its sizes on the meta device, and staged states against `from_pretrained`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from scaling.catalogue.architecture_entries import ARCHITECTURES
from scaling.catalogue.models import MODELS, ModelSpec
from scaling.data.schema import BadData
from scaling.encoders.encoder import Encoder, Weights, config_of, empty_encoder, row_lookup
from scaling.encoders.loading import load_tensors, parameters_in_file
from scaling.encoders.weights import KEPT_ROWS, stage_model, tokenizer_file
from scaling.store.store import Store
from tests.helpers.tiny_families import HEADS, PIECES, make_family, reference_encoder

LENGTHS = (40, 23, 7)


def batch(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, B x L, with padding of id 1: a token like any other in most of them."""
    torch.manual_seed(1)
    mask = torch.zeros(len(LENGTHS), max(LENGTHS), dtype=torch.long)
    for row, length in enumerate(LENGTHS):
        mask[row, :length] = 1
    ids = torch.randint(3, rows - 4, mask.shape)
    return torch.where(mask == 1, ids, 1), mask


def staged(folder: Path, spec: ModelSpec, used: np.ndarray | None = None) -> Weights:
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
    encoder = empty_encoder(weights.architecture, config_of(weights, 0.0, packed=packed))
    model = Encoder(encoder, nn.Identity(), weights.architecture)
    load_tensors(parameters_in_file(model), weights.folder, 0, 1, ("lm_head.",))
    return model.eval()


@pytest.fixture(scope="module", params=sorted(HEADS))
def family(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelSpec]:
    folder = tmp_path_factory.mktemp(request.param) / "source"
    return folder, ModelSpec(name="mine", **make_family(folder, request.param, 6))


def expected(folder: Path, spec: ModelSpec, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """States of transformers' own class, B x L x H."""
    reference = reference_encoder(folder, spec.architecture)
    given: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    if not spec.entry.fits:
        # Nothing of transformers looks both ways here: every text alone, told not to be causal.
        rows = [
            reference(
                input_ids=ids[row : row + 1, :length],
                attention_mask={"full_attention": None},
                is_causal=False,
            ).last_hidden_state[0]
            for row, length in enumerate(LENGTHS)
        ]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return reference(**given).last_hidden_state


@torch.no_grad()
def test_staged_states_are_those_of_from_pretrained(family: tuple[Path, ModelSpec]) -> None:
    folder, spec = family
    ids, mask = batch(PIECES)
    wanted = expected(folder, spec, ids, mask)
    model = loaded(staged(folder.parent, spec))
    found = model(ids, mask, None, LENGTHS)
    real = mask == 1
    if spec.entry.fits:
        assert torch.equal(found[real], wanted[real])
    else:
        torch.testing.assert_close(found[real], wanted[real], atol=1e-5, rtol=1e-5)
    # A text alone has the states that it has among longer ones.
    alone = model(ids[2:, :7], mask[2:, :7], None, (7,))
    torch.testing.assert_close(alone[0], found[2, :7], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_one_depth_is_the_same_depth_among_several(family: tuple[Path, ModelSpec]) -> None:
    folder, spec = family
    ids, mask = batch(PIECES)
    model = loaded(staged(folder.parent, spec))
    several = model(ids, mask, (1 / 3, 2 / 3, 1.0), LENGTHS)
    real = mask == 1
    for at, depth in enumerate((1 / 3, 2 / 3, 1.0)):
        assert torch.equal(model(ids, mask, depth, LENGTHS)[real], several[at][real])


@torch.no_grad()
def test_packed_is_padded_or_is_refused(family: tuple[Path, ModelSpec]) -> None:
    folder, spec = family
    weights = staged(folder.parent, spec)
    ids, mask = batch(PIECES)
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
    ids, mask = batch(PIECES)
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
    ids, mask = batch(PIECES)
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
    entry = model.entry
    own = {key: getattr(model, field) for field, key in entry.dims.items()}
    own |= {entry.dims["num_layers"]: model.depth, **entry.fixed}
    if entry.positions == "learned":
        own |= {"max_position_embeddings": model.positions, "type_vocab_size": entry.types}
    from scaling.encoders.encoder import make_config, wanted_shapes

    shapes = wanted_shapes(entry.name, make_config(entry.name, own, 0.0))
    count = sum(int(torch.Size(shape).numel()) for shape in shapes.values())
    assert count == model.total_params
    assert shapes[entry.words] == (model.vocab_rows, model.hidden)


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
    assert HEADS.keys() | {"xlm-roberta", "xlm-roberta-xl"} == ARCHITECTURES.keys()
