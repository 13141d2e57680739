"""Weights of any form are staged once, shard by shard; what is loaded is what the file has, or the
load stops.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from scaling.catalogue.models import ModelSpec
from scaling.data.schema import BadData
from scaling.encoders.checkpoint import BadWeights, read_index
from scaling.encoders.encoder import Encoder, Weights, config_of, empty_encoder, model_class
from scaling.encoders.loading import differing, load_tensors, parameters_in_file
from scaling.encoders.weights import stage_model, tokenizer_file
from scaling.store.cache import INDEX, hashed_files
from scaling.store.store import Store
from tests.helpers.tiny import make_model

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def source(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, Any], dict[str, Tensor]]:
    folder = tmp_path_factory.mktemp("source") / "model"
    fields = make_model(folder, "xlm-roberta", 2)
    return folder, fields, load_file(folder / "model.safetensors")


def variant(
    source: Any, folder: Path, write: Callable[[dict[str, Tensor], Path], None]
) -> ModelSpec:
    """The same model with its weights written in another way."""
    origin, fields, state = source
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes((origin / name).read_bytes())
    write(dict(state), folder)
    return ModelSpec(**{**fields, "name": "tiny", "source": f"dir:{folder}"})


def staged(model: ModelSpec, folder: Path) -> tuple[dict[str, str], Path]:
    store = Store.open(folder)
    entry = stage_model(
        model, store, None, None, name=model.name, tokenizer=tokenizer_file(model, None)
    )
    return entry, folder / "models" / model.name


def as_hub_bin(state: dict[str, Tensor], folder: Path) -> None:
    """Two pickled files with the names and extras of an old repository."""
    names = sorted(state)
    extras = {
        "roberta.pooler.dense.bias": torch.zeros(3),
        "roberta.embeddings.position_ids": torch.arange(5),
    }
    for index, part in enumerate((names[:9], names[9:])):
        full = {f"roberta.{name}": state[name] for name in part} | (extras if index else {})
        torch.save(full, folder / f"pytorch_model-0000{index + 1}-of-00002.bin")


def test_a_bin_checkpoint_becomes_sharded_safetensors(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = staged(
        variant(
            source,
            tmp_path / "a",
            lambda state, folder: save_file(state, folder / "model.safetensors"),
        ),
        tmp_path / "plain",
    )
    monkeypatch.setattr("scaling.encoders.weights.SHARD_BYTES", 20_000)
    lock, folder = staged(variant(source, tmp_path / "b", as_hub_bin), tmp_path / "sharded")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    # What the weights are does not depend on the format, or on how they are cut.
    assert lock == plain and lock["dtype"] == "float32"
    found = read_index(folder)
    for name, tensor in source[2].items():
        assert torch.equal(found[name].read(), tensor), name
    # Hugging Face reads it too.
    again = model_class("xlm-roberta").from_pretrained(folder, add_pooling_layer=False).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in source[2].items())


def test_half_precision_is_kept_and_noted(source: Any, tmp_path: Path) -> None:
    def halved(state: dict[str, Tensor], folder: Path) -> None:
        save_file(
            {name: tensor.half() for name, tensor in state.items()}, folder / "model.safetensors"
        )

    lock, folder = staged(variant(source, tmp_path / "a", halved), tmp_path / "store")
    assert lock["dtype"] == "float16"
    model = encoder(folder)
    assert differing(model, load_tensors(model, folder, 0, 1), folder, 0) == []
    assert all(parameter.dtype == torch.float32 for parameter in model.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("encoder.layer.1.output.dense.bias"),
            r"encoder\.layer\.1\.output\.dense\.bias is missing",
        ),
        (
            lambda s: s.update({"encoder.layer.1.new": torch.zeros(2)}),
            r"encoder\.layer\.1\.new is unexpected",
        ),
        (
            lambda s: s.update({"encoder.layer.0.output.dense.bias": torch.zeros(31)}),
            r"encoder\.layer\.0\.output\.dense\.bias is \(31,\), not \(32,\)",
        ),
    ],
)
def test_wrong_tensors_are_named_at_staging(
    source: Any, tmp_path: Path, change: Any, message: str
) -> None:
    def write(state: dict[str, Tensor], folder: Path) -> None:
        change(state)
        torch.save(state, folder / "pytorch_model.bin")

    with pytest.raises(BadData, match=message):
        staged(variant(source, tmp_path / "a", write), tmp_path / "store")


def test_a_pickle_that_runs_code_is_refused(source: Any, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    def write(state: dict[str, Any], folder: Path) -> None:
        torch.save({**state, "more": Evil()}, folder / "pytorch_model.bin")

    with pytest.raises(BadData, match=r"pytorch_model\.bin: cannot be read as plain tensors"):
        staged(variant(source, tmp_path / "a", write), tmp_path / "store")
    assert not (tmp_path / "ran").exists()


def encoder(folder: Path) -> dict[str, Any]:
    weights = Weights(folder=folder, architecture="xlm-roberta", kept_rows=None)
    model = Encoder(
        empty_encoder("xlm-roberta", config_of(weights, 0.0)),
        torch.nn.Linear(32, 2),
        architecture="xlm-roberta",
    )
    return {name: p for name, p in parameters_in_file(model).items() if "head." not in name}


def test_tampered_and_cut_files_do_not_load(source: Any, tmp_path: Path) -> None:
    _, folder = staged(variant(source, tmp_path / "a", as_hub_bin), tmp_path / "store")
    name = "encoder.layer.1.output.dense.weight"
    stored = read_index(folder)[name]
    content = bytearray(stored.path.read_bytes())
    load_tensors(encoder(folder), folder, 0, 1)
    content[stored.at + 5] ^= 1
    stored.path.write_bytes(content)
    with pytest.raises(BadWeights, match=rf"tensor '{name}' has SHA-256"):
        load_tensors(encoder(folder), folder, 0, 1)
    content[stored.at + 5] ^= 1
    # Another name for the same bytes: what no hash of a tensor can tell.
    swapped = content[: stored.at].replace(b'"dtype": "F32"', b'"dtype": "I32"', 1)
    assert len(hashed_files(folder)) == 1 and swapped != content[: stored.at]
    stored.path.write_bytes(swapped + content[stored.at :])
    with pytest.raises(BadWeights, match=r"model\.safetensors: its header has SHA-256"):
        load_tensors(encoder(folder), folder, 0, 1)
    stored.path.write_bytes(content[:-3])
    with pytest.raises(BadWeights, match=r"model\.safetensors: .* bytes, but tensor .* cut short"):
        load_tensors(encoder(folder), folder, 0, 1)
    (folder / INDEX).unlink()
    stored.path.unlink()
    with pytest.raises(BadWeights, match=r"no \*\.safetensors"):
        read_index(folder)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "a/b", "..", "a\\b"])
def test_an_index_names_files_of_its_folder_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"x": name}}))
    with pytest.raises(BadWeights, match="is no name of a file in this folder"):
        read_index(tmp_path)


def test_a_header_of_brackets_is_no_safetensors_file(tmp_path: Path) -> None:
    raw = b"[" * 200_000
    (tmp_path / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw)
    with pytest.raises(BadWeights, match="not a safetensors file"):
        read_index(tmp_path)


def test_every_wrong_tensor_is_named_at_loading(source: Any, tmp_path: Path) -> None:
    state = source[2]
    _, folder = staged(variant(source, tmp_path / "a", as_hub_bin), tmp_path / "store")
    (folder / INDEX).unlink()
    state = dict(state)
    state["strange"] = state.pop("embeddings.LayerNorm.bias")
    state["encoder.layer.0.output.dense.bias"] = torch.zeros(7)
    save_file({**state, "head.out.bias": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(
        BadWeights,
        match=r"missing: embeddings\.LayerNorm\.bias; unexpected: strange; "
        r"reshaped: encoder\.layer\.0\.output\.dense\.bias is \(7,\), wanted \(32,\)",
    ):
        load_tensors(encoder(folder), folder, 0, 1, ("head.",))


def test_a_value_that_changed_after_loading_is_named(source: Any, tmp_path: Path) -> None:
    _, folder = staged(variant(source, tmp_path / "a", as_hub_bin), tmp_path / "store")
    model = encoder(folder)
    filled = load_tensors(model, folder, 0, 1)
    assert differing(model, filled, folder, 0) == []
    with torch.no_grad():
        model["encoder.layer.1.output.dense.bias"][3] += 1e-4
    assert differing(model, filled, folder, 0) == ["encoder.layer.1.output.dense.bias"]


def test_two_values_that_changed_places_are_named(source: Any, tmp_path: Path) -> None:
    _, folder = staged(variant(source, tmp_path / "a", as_hub_bin), tmp_path / "store")
    model, name = encoder(folder), "encoder.layer.0.output.dense.weight"
    filled = load_tensors(model, folder, 0, 1)
    with torch.no_grad():
        model[name].copy_(model[name].flip(0))
    assert differing(model, filled, folder, 0) == [name]


def test_values_are_compared_in_the_precision_in_which_they_compute(
    source: Any, tmp_path: Path
) -> None:
    _, folder = staged(variant(source, tmp_path / "a", as_hub_bin), tmp_path / "store")
    model, name = encoder(folder), "encoder.layer.1.output.dense.weight"
    filled = load_tensors(model, folder, 0, 1, dtype=torch.bfloat16)
    rounded = {key: torch.nn.Parameter(value.detach().bfloat16()) for key, value in model.items()}
    assert differing(rounded, filled, folder, 0, torch.bfloat16) == []
    with torch.no_grad():
        rounded[name][2, 3] *= 1.01
    assert differing(rounded, filled, folder, 0, torch.bfloat16) == [name]


@pytest.mark.parametrize("num", [2, 3])
def test_slices_are_compared_whenever_they_were_cut(source: Any, tmp_path: Path, num: int) -> None:
    _, folder = staged(variant(source, tmp_path / "a", as_hub_bin), tmp_path / "store")
    whole = encoder(folder)
    load_tensors(whole, folder, 0, 1)
    late, name = "encoder.layer.0.output.dense.bias", "encoder.layer.1.output.dense.bias"
    for rank in range(num):
        model = encoder(folder)
        # As DeepSpeed holds them under ZeRO-3: equal slices, the last one padded.
        slices = {
            key: torch.zeros(-(-parameter.numel() // num)) for key, parameter in model.items()
        }
        for key, parameter in model.items():
            parameter.ds_shape = parameter.shape
            if key != late:
                parameter.ds_tensor = slices[key]
        filled = load_tensors(model, folder, rank, num)
        # Heads are filled whole, and cut when DeepSpeed takes them over.
        cut = model[late].detach()[rank * len(slices[late]) :][: len(slices[late])]
        slices[late][: len(cut)] = cut
        model[late].ds_tensor = slices[late]
        assert differing(model, filled, folder, rank) == []
        for key, part in slices.items():
            expected = whole[key].detach().view(-1)[rank * len(part) : (rank + 1) * len(part)]
            assert torch.equal(part[: len(expected)], expected), key
        for wrong in (late, name):
            slices[wrong][0] += 1
        assert differing(model, filled, folder, rank) == sorted([late, name])


@pytest.mark.parametrize("architecture", ["xlm-roberta", "xlm-roberta-xl"])
def test_positions_start_after_the_padding_id(tmp_path: Path, architecture: str) -> None:
    make_model(tmp_path / "m", architecture, 2)
    weights = Weights(folder=tmp_path / "m", architecture=architecture, kept_rows=None)
    bare = empty_encoder(architecture, config_of(weights, 0.0)).eval()
    load_tensors(dict(bare.named_parameters()), weights.folder, 0, 1)
    model = Encoder(bare, torch.nn.Identity(), architecture)
    ids = torch.tensor([[0, 10, 11, 12, 2], [0, 10, 2, 1, 1]])
    with torch.no_grad():
        ours = model(ids, (ids != 1).long())
        explicit = [
            bare(
                input_ids=ids[:1], position_ids=torch.arange(start, start + 5)[None]
            ).last_hidden_state
            for start in (2, 0)
        ]
    assert torch.allclose(ours[:1], explicit[0], atol=1e-6)
    assert not torch.allclose(ours[:1], explicit[1], atol=1e-3)


@pytest.mark.parametrize(
    "content", [[torch.zeros(2)], {1: torch.zeros(2)}, torch.zeros(2), "text", None]
)
def test_a_bin_file_of_something_else_is_named(source: Any, tmp_path: Path, content: Any) -> None:
    def write(state: dict[str, Any], folder: Path) -> None:
        torch.save(content, folder / "pytorch_model.bin")

    with pytest.raises(BadData, match=r"pytorch_model\.bin: not a dictionary of tensors by name"):
        staged(variant(source, tmp_path / "a", write), tmp_path / "store")


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04 broken", b"\x80\x02junk."])
def test_a_bin_file_that_is_broken_gets_words_of_our_own(
    source: Any, tmp_path: Path, content: bytes
) -> None:
    def write(state: dict[str, Any], folder: Path) -> None:
        (folder / "pytorch_model.bin").write_bytes(content)

    with pytest.raises(BadData, match="cannot be read as plain tensors") as refused:
        staged(variant(source, tmp_path / "a", write), tmp_path / "store")
    assert "weights_only" not in str(refused.value)
