"""A checkpoint's own masked-LM head: kept by staging, equal to transformers', handed on; under
ZeRO-3 too.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("deepspeed")

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    ModernBertForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    XLMRobertaModel,
    XLMRobertaXLConfig,
    XLMRobertaXLForMaskedLM,
)

from scaling.catalogue.hardware import Placement
from scaling.catalogue.models import ModelSpec
from scaling.data.features import as_features
from scaling.data.schema import BadData
from scaling.encoders.checkpoint import read_index
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import join_world, start_scoring, start_training
from scaling.encoders.weights import stage_model, tokenizer_file
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.store.store import Store
from scaling.training.evaluation import predict
from scaling.training.loop import run_updates
from tests.helpers.making import SENTENCES, recipe, table, task, tokenizer
from tests.helpers.one_run import one_run
from tests.helpers.tiny_families import make_family

FIELDS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 130,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
CLASSES = {
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaForMaskedLM),
    "xlm-roberta-xl": (XLMRobertaXLConfig, XLMRobertaXLForMaskedLM),
}
MLM = task("masked_lm", "tag_f1")
KIND = KINDS["masked_lm"]
RECIPE = recipe(MLM, batch=16, epochs=5.0, learning_rate=5e-3, max_length=64)
ROWS = table(
    "masked_lm",
    [{"id": f"{code}{at}", "text": SENTENCES[code]} for code in SENTENCES for at in range(4)],
)


def checkpoint(folder: Path, architecture: str) -> tuple[Any, ModelSpec]:
    """A random model with a masked-LM head whose norm and bias are no defaults, saved as
    transformers does.
    """
    config_class, model_class = CLASSES[architecture]
    torch.manual_seed(0)
    model = model_class(config_class(vocab_size=tokenizer().get_vocab_size(), **FIELDS)).eval()
    with torch.no_grad():
        for parameter in (*model.lm_head.layer_norm.parameters(), model.lm_head.bias):
            parameter.add_(0.5 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    spec = ModelSpec(
        name="own",
        family="own",
        architecture=architecture,
        source=f"dir:{folder}",
        num_layers=2,
        hidden=32,
        ffn=64,
        num_heads=4,
        vocab_rows=tokenizer().get_vocab_size(),
        positions=130,
    )
    return model, spec


def staged(spec: ModelSpec, store: Path, used: np.ndarray | None = None) -> Weights:
    stage_model(
        spec, Store.open(store), None, used, name="own", tokenizer=tokenizer_file(spec, None)
    )
    kept = store / "models" / "own" / "kept_rows.npy"
    return Weights(
        folder=store / "models" / "own",
        architecture=spec.architecture,
        kept_rows=kept if kept.exists() else None,
    )


def lm_head(folder: Path) -> dict[str, torch.Tensor]:
    return {
        name: one.read() for name, one in read_index(folder).items() if name.startswith("lm_head.")
    }


@pytest.fixture(scope="module")
def world() -> World:
    return join_world()


@pytest.mark.parametrize("architecture", CLASSES)
@pytest.mark.parametrize("trim", [False, True])
def test_logits_equal_those_of_transformers(
    architecture: str, trim: bool, world: World, tmp_path: Path
) -> None:
    theirs, spec = checkpoint(tmp_path / "hub", architecture)
    spec = spec.model_copy(update={"trim_vocabulary": trim})
    ids = torch.tensor([[0, *tokenizer().encode(SENTENCES["en"], add_special_tokens=False).ids, 2]])
    masked = torch.zeros_like(ids, dtype=torch.bool)
    masked[0, 3::5] = True
    weights = staged(spec, tmp_path / "store", np.unique(ids.numpy()))
    rows = (
        torch.from_numpy(np.load(weights.kept_rows))
        if weights.kept_rows
        else torch.arange(spec.vocab_rows)
    )
    assert (len(rows) < spec.vocab_rows) == trim
    model = start_scoring(
        weights, lambda hidden: KIND.head(hidden, MLM, RECIPE), RECIPE, Placement(), world
    ).core
    with torch.no_grad():
        ours = model.head(model(torch.searchsorted(rows, ids), torch.ones_like(ids))[masked])
        expected = theirs(input_ids=ids).logits[masked][:, rows]
    assert expected.abs().max() > 0.3
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_mmbert_predicts_with_the_head_that_it_was_trained_with(
    world: World, tmp_path: Path
) -> None:
    """XLM-R's form without two of the biases, under other names; trimmed with the vocabulary."""
    spec = ModelSpec(name="own", **make_family(tmp_path / "hub", "modernbert", 4))
    spec = spec.model_copy(update={"trim_vocabulary": True})
    theirs = ModernBertForMaskedLM.from_pretrained(tmp_path / "hub").eval()
    ids = torch.tensor([[2, *range(270, 300), 1]])
    weights = staged(spec, tmp_path / "store", np.unique(ids.numpy()))
    assert weights.kept_rows is not None
    rows = torch.from_numpy(np.load(weights.kept_rows))
    assert len(rows) < spec.vocab_rows
    model = start_scoring(
        weights, lambda hidden: KIND.head(hidden, MLM, RECIPE), RECIPE, Placement(), world
    ).core
    found = model.head(model(torch.searchsorted(rows, ids), torch.ones_like(ids))[0])
    expected = theirs(input_ids=ids).logits[0][:, rows]
    assert expected.abs().max() > 0.3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    (tmp_path / "hub" / "config.json").write_text(
        json.dumps(config | {"classifier_activation": "silu"})
    )
    other = spec.model_copy(update={"name": "other"})
    with pytest.raises(BadData, match="its activation is silu, not gelu"):
        staged(other, tmp_path / "other")


def test_an_untied_decoder_is_refused(tmp_path: Path) -> None:
    _, spec = checkpoint(tmp_path / "hub", "xlm-roberta")
    state = load_file(tmp_path / "hub" / "model.safetensors")
    words = state["roberta.embeddings.word_embeddings.weight"]
    save_file(
        {**state, "lm_head.decoder.weight": words + 1}, tmp_path / "hub" / "model.safetensors"
    )
    with pytest.raises(BadData, match="its decoder is not the word embeddings"):
        staged(spec, tmp_path / "store")
    del state["lm_head.dense.bias"]
    save_file(state, tmp_path / "hub" / "model.safetensors")
    with pytest.raises(BadData, match=r"tensors missing or unknown: \['lm_head.dense.bias'\]"):
        staged(spec, tmp_path / "store")


def trained(weights: Weights, stage: int, world: World, out: Path) -> tuple[tuple[float, ...], Any]:
    """(losses, predictions after export and reload) of a masked-LM training."""
    placement = Placement(workers=1, zero_stage=stage, micro_batch=8)

    def head(hidden: int) -> Any:
        return KIND.head(hidden, MLM, RECIPE)

    features = as_features(KIND.encode(ROWS, MLM, tokenizer(), RECIPE), None)
    engine = start_training(weights, head, RECIPE, placement, world, seed=0)
    losses = run_updates(one_run(engine, placement, features, KIND, RECIPE))
    before = predict(engine.core, features, KIND, RECIPE, world)
    engine.export(out, weights.beside())
    engine.close()
    again = Weights(folder=out, architecture=weights.architecture, kept_rows=None)
    scoring = start_scoring(again, head, RECIPE, placement, world)
    after = predict(scoring.core, features, KIND, RECIPE, world)
    for one, other in zip(before.each, after.each, strict=True):
        np.testing.assert_array_equal(one, other)
    scoring.close()
    return losses.per_update, after.each


@pytest.mark.parametrize(
    "source", ["xlm-roberta", pytest.param("modernbert", marks=pytest.mark.slow), "no head"]
)
def test_zero_3_gives_the_losses_of_zero_1(source: str, world: World, tmp_path: Path) -> None:
    """The word embeddings are read by the encoder and, outside its forward pass, by the head."""
    pretrained = source != "no head"
    if source == "xlm-roberta":
        _, spec = checkpoint(tmp_path / "hub", "xlm-roberta")
        weights = staged(spec, tmp_path / "store")
    elif source == "modernbert":
        spec = ModelSpec(name="own", **make_family(tmp_path / "hub", "modernbert", 4))
        weights = staged(spec, tmp_path / "store")
    else:
        torch.manual_seed(0)
        config = XLMRobertaConfig(vocab_size=tokenizer().get_vocab_size(), **FIELDS)
        XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "bare")
        weights = Weights(folder=tmp_path / "bare", architecture="xlm-roberta", kept_rows=None)
    one, _ = trained(weights, 1, world, tmp_path / "one")
    three, _ = trained(weights, 3, world, tmp_path / "three")
    assert one[-1] < 0.9 * one[0]
    assert three == pytest.approx(one, abs=1e-5)
    # The trained head is what a later masked-LM training starts from, where there was one to begin
    # with.
    for name in ("one", "three"):
        assert bool(lm_head(tmp_path / name)) == pretrained
    if pretrained:
        assert not torch.equal(
            lm_head(tmp_path / "three")["lm_head.bias"], lm_head(weights.folder)["lm_head.bias"]
        )


def test_a_training_of_another_kind_hands_the_head_on(world: World, tmp_path: Path) -> None:
    _, spec = checkpoint(tmp_path / "hub", "xlm-roberta")
    weights = staged(spec, tmp_path / "store")
    spec_of = task("classification", "accuracy", ("a", "b"))
    kind, given = KINDS["classification"], recipe(spec_of, batch=8)
    engine = start_training(
        weights,
        lambda hidden: kind.head(hidden, spec_of, given),
        given,
        Placement(micro_batch=8),
        world,
        seed=0,
    )
    engine.export(tmp_path / "out", weights.beside())
    engine.close()
    handed = lm_head(tmp_path / "out")
    assert all(
        torch.equal(handed[name], tensor) for name, tensor in lm_head(weights.folder).items()
    )
    assert len(handed) == 5
    # And the pretrained model scores masked tokens without any training.
    shutil.rmtree(tmp_path / "out")
    features = as_features(KIND.encode(ROWS, MLM, tokenizer(), RECIPE), None)
    model = start_scoring(
        weights, lambda hidden: KIND.head(hidden, MLM, RECIPE), RECIPE, Placement(), world
    ).core
    assert len(predict(model, features, KIND, RECIPE, world).each) == len(features.input_ids)
