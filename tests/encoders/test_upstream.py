"""A model's own files are those of its ModelSpec, where no shape would tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from scaling.catalogue.models import ModelSpec
from scaling.data.schema import BadData
from scaling.encoders.upstream import check_tokenizer, layer_norm_eps
from scaling.encoders.weights import stage_model, tokenizer_file
from scaling.store.store import Store
from tests.helpers.tiny import make_model


@pytest.fixture(params=["xlm-roberta", "xlm-roberta-xl"])
def model(request: Any, tmp_path: Path) -> tuple[ModelSpec, Path]:
    folder = tmp_path / "model"
    spec = ModelSpec(name="mine", **make_model(folder, request.param, 1))
    return spec, folder


def test_config_is_that_of_the_spec(model: tuple[ModelSpec, Path]) -> None:
    spec, folder = model
    path = folder / "config.json"
    right = json.loads(path.read_text())
    assert layer_norm_eps(spec, folder) == right["layer_norm_eps"]
    for name, value, message in (
        ("num_attention_heads", 8, "num_attention_heads is 8, not 4"),
        ("num_attention_heads", None, "no num_attention_heads"),
        ("num_hidden_layers", 2, "num_hidden_layers is 2, not 1"),
        ("hidden_act", "relu", "hidden_act is 'relu', not 'gelu'"),
        ("hidden_act", "gelu_new", "hidden_act is 'gelu_new', not 'gelu'"),
        ("layer_norm_eps", 0, "layer_norm_eps is 0"),
        ("layer_norm_eps", "1e-5", "layer_norm_eps is '1e-5'"),
        ("layer_norm_eps", float("nan"), "layer_norm_eps is nan"),
        ("pad_token_id", 0, "pad_token_id is 0, not 1"),
        ("model_type", "bert", "model_type is 'bert'; valid: roberta, xlm-roberta, xlm-roberta-xl"),
        ("position_embedding_type", "relative_key", "position_embedding_type is 'relative_key'"),
    ):
        path.write_text(json.dumps({**right, name: value}))
        with pytest.raises(BadData, match=message):
            layer_norm_eps(spec, folder)
    for content, message in (("[]", "not an object"), ("{", "broken JSON"), ("[" * 9999, "broken")):
        path.write_text(content)
        with pytest.raises(BadData, match=message):
            layer_norm_eps(spec, folder)
    path.unlink()
    with pytest.raises(BadData, match="cannot be read"):
        layer_norm_eps(spec, folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_are_finite(model: tuple[ModelSpec, Path], value: float, tmp_path: Path) -> None:
    spec, folder = model
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    name = "encoder.layer.0.output.dense.weight"
    tensors[name][3, 2] = value
    save_file(tensors, file)
    with pytest.raises(BadData, match=rf"the tensor '{name}' has 1 numbers that are NaN or"):
        stage_model(
            spec,
            Store.open(tmp_path / "store"),
            None,
            None,
            name="mine",
            tokenizer=tokenizer_file(spec, None),
        )


def test_tokenizers_load_and_fit(model: tuple[ModelSpec, Path], tmp_path: Path) -> None:
    spec, folder = model
    path = tmp_path / "tokenizer.json"
    right = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    check_tokenizer(spec, folder / "tokenizer.json")
    swapped = json.loads(json.dumps(right))
    swapped["model"]["vocab"][0], swapped["model"]["vocab"][1] = right["model"]["vocab"][1::-1]
    for token in swapped["added_tokens"]:
        token["id"] = {0: 1, 1: 0}.get(token["id"], token["id"])
    for at, (content, message) in enumerate(
        [
            ("{}", "not a tokenizer"),
            ("text", "not a tokenizer"),
            (json.dumps(swapped), "<s> has the id 1, not 0"),
        ]
    ):
        path = tmp_path / f"{at}.json"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(BadData, match=message):
            check_tokenizer(spec, path)
    small = spec.model_copy(update={"vocab_rows": 20})
    with pytest.raises(BadData, match="entries, and model 'mine' has 20 rows"):
        check_tokenizer(small, folder / "tokenizer.json")
