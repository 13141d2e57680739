"""A short training of each kind on a tiny random encoder lowers its loss, through the real
engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("deepspeed")

from scaling.catalogue.hardware import Placement
from scaling.catalogue.task import DEV
from scaling.data.features import as_features
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import join_world, start_scoring, start_training
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.training.evaluation import Predicted, predict, score_languages
from scaling.training.loop import run_updates
from tests.helpers.making import SENTENCES, recipe, table, task, tokenizer
from tests.helpers.one_run import one_run

WORDS = SENTENCES["en"].split()
TASKS = {
    "classification": task("classification", "accuracy", ("short", "long")),
    "multiple_choice": task("multiple_choice", "accuracy"),
    "tagging": task("tagging", "span_f1", ("O", "B-PER", "B-LOC")),
    "span_qa": task("span_qa", "squad2"),
    "retrieval": task("retrieval", "map_at_20"),
    "masked_lm": task("masked_lm", "tag_f1"),
}


def rows(kind: str) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    made: list[dict[str, Any]] = []
    for at in range(32):
        words = [str(word) for word in rng.permutation(WORDS)[:8]]
        text, name = " ".join(words), str(at)
        if kind == "classification":
            label = ("short", "long")[at % 2]
            made.append(
                {"id": name, "text_a": text if at % 2 else words[0], "text_b": "", "label": label}
            )
        elif kind == "multiple_choice":
            choices = [str(word) for word in rng.permutation(["station", "master"])]
            label = choices.index("station")
            made.append(
                {"id": name, "context": text, "question": "", "choices": choices, "label": label}
            )
        elif kind == "tagging":
            tags = [
                "B-PER" if word in ("Ada", "Brown") else "B-LOC" if word == "Leeds" else "O"
                for word in words
            ]
            made.append({"id": name, "words": words, "tags": tags})
        elif kind == "span_qa":
            found = [{"text": "1907", "start": text.index("1907")}] if "1907" in words else []
            made.append({"id": name, "context": text, "question": "which year", "answers": found})
        elif kind == "masked_lm":
            made.append({"id": name, "text": SENTENCES["en"] if at % 2 else text})
        else:
            shared = {"language": "en", "context": ""}
            made.append(
                {"id": f"q{at}", "side": "query", "text": text, "relevant": [f"c{at}"], **shared}
            )
            made.append(
                {
                    "id": f"c{at}",
                    "side": "candidate",
                    "text": " ".join(words[:4]),
                    "relevant": [],
                    **shared,
                }
            )
    return made


@pytest.fixture(scope="module")
def world() -> World:
    return join_world()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel

    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=tokenizer().get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=130,
        type_vocab_size=1,
        pad_token_id=1,
    )
    folder = tmp_path_factory.mktemp("encoder")
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return Weights(folder=folder, architecture="xlm-roberta", kept_rows=None)


@pytest.mark.parametrize("kind", TASKS)
def test_a_short_training_lowers_the_loss(
    kind: str, weights: Weights, world: World, tmp_path: Path
) -> None:
    spec = TASKS[kind]
    given = recipe(spec, batch=16, epochs=20.0, learning_rate=3e-3, max_length=64, pooling="mean")
    data = table(kind, rows(kind))
    features = KINDS[kind].encode(data, spec, tokenizer(), given)
    ready = as_features(features, None)
    placement = Placement(workers=1, zero_stage=1, micro_batch=8)
    engine = start_training(
        weights,
        lambda hidden: KINDS[kind].head(hidden, spec, given),
        given,
        placement,
        world,
        seed=0,
    )
    losses = run_updates(one_run(engine, placement, ready, KINDS[kind], given))
    assert losses.last < 0.8 * losses.first, (losses.first, losses.last)
    predictions = predict(engine.core, ready, KINDS[kind], given, world)
    found, outcomes = score_languages({DEV: (data, features)}, predictions, KINDS[kind], spec)
    assert found[0].main and found[0].value > found[0].chance
    assert outcomes.num_rows == found[0].n
    engine.export(tmp_path / "out", weights.beside())
    engine.close()
    # What was saved is what is scored.
    saved = Weights(folder=tmp_path / "out", architecture="xlm-roberta", kept_rows=None)
    scoring = start_scoring(
        saved, lambda hidden: KINDS[kind].head(hidden, spec, given), given, placement, world
    )
    again = predict(scoring.core, ready, KINDS[kind], given, world)
    scoring.close()
    for before, after in zip(predictions.each, again.each, strict=True):
        np.testing.assert_allclose(before, after, atol=1e-4)
    for vectors, others in zip(*(_own(one) for one in (predictions, again)), strict=True):
        np.testing.assert_allclose(vectors, others, atol=1e-4)


def _own(predicted: Predicted) -> list[np.ndarray]:
    return [] if predicted.vectors is None else list(predicted.vectors.own.numpy())
