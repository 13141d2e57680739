"""Text is text: names of special tokens in it never become special tokens, in any kind."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import XLMRobertaConfig, XLMRobertaXLConfig

from scaling.data.batching import collate
from scaling.data.features import as_features
from scaling.encoders.encoder import Encoder, make_config, random_encoder
from scaling.encoders.packing import PACKED
from scaling.kinds import KINDS
from scaling.kinds.text import BOS, EOS, PAD, UNK, literal, special_id
from tests.helpers.making import SENTENCES, recipe, round_trip, table, task

NAMES = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


@cache
def tokenizer() -> Tokenizer:
    """Knows every character of the special names, as XLM-R's does."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=320,
        special_tokens=[*NAMES],
        unk_token="<unk>",
        initial_alphabet=[chr(code) for code in range(33, 127)],
        show_progress=False,
    )
    made.train_from_iterator([one for one in SENTENCES.values() for _ in range(20)], trainer)
    return made


WORDS = ["the", "<pad>", "/", "mark", "</s>", "ends", "<mask>", "<unk>", "<s>", "here"]
TEXT = " ".join(WORDS)


def one_of_each_kind() -> Iterator[tuple[Any, Any]]:
    """(task, rows) with special names at every place that text can be in."""
    yield (
        task("classification", "accuracy", ("a", "b")),
        [{"id": "1", "text_a": TEXT, "text_b": TEXT, "label": "a"}],
    )
    yield (
        task("multiple_choice", "accuracy"),
        [
            {
                "id": "1",
                "context": TEXT,
                "question": TEXT,
                "choices": ["<pad>", "</s>"],
                "label": 1,
            }
        ],
    )
    yield (
        task("tagging", "tag_f1", ("A", "B")),
        [{"id": "1", "words": WORDS, "tags": ["A", "B"] * 5}],
    )
    answer = {"text": "<pad>", "start": TEXT.index("<pad>")}
    yield (
        task("span_qa", "squad1"),
        [{"id": "1", "context": TEXT, "question": "<mask> ?", "answers": [answer]}],
    )
    query = {"id": "q", "side": "query", "text": TEXT, "relevant": ["c"], "context": ""}
    found = {"id": "c", "side": "candidate", "text": "<pad>", "relevant": [], "context": TEXT}
    yield (
        task("retrieval", "accuracy"),
        [{**query, "language": "de"}, {**found, "language": "en"}],
    )
    yield task("masked_lm", "tag_f1"), [{"id": "1", "text": TEXT}]


EACH = list(one_of_each_kind())


@pytest.mark.parametrize(("spec", "rows"), EACH, ids=[spec.kind for spec, _ in EACH])
def test_special_names_are_text_in_every_kind(spec: Any, rows: Any) -> None:
    own = literal(tokenizer())
    made = KINDS[spec.kind].encode(
        table(spec.kind, rows), spec, own, recipe(spec, max_length=300, prefix="<pad> ")
    )
    special = {special_id(own, name) for name in NAMES}
    assert special == {0, 1, 2, 3, 4}
    for one in made.to_pylist():
        ids = one["input_ids"]
        if spec.kind == "masked_lm":
            ids = ids[: one["target"]["length"]]
        inner = [token for token in ids if token not in (BOS, EOS)]
        assert ids[0] == BOS and ids[-1] == EOS
        # The separators that the kind puts there, and no other.
        assert ids.count(BOS) == 1 and ids.count(EOS) <= 3
        assert not {PAD, UNK, special_id(own, "<mask>")} & set(inner)


def test_ordinary_text_has_the_tokens_that_it_had() -> None:
    own = literal(tokenizer())
    for text in ("The small station opened in 1907 .", "สถานีเล็ก 1907", "a < b > c / s"):
        before = tokenizer().encode(text, add_special_tokens=False)
        after = own.encode(text, add_special_tokens=False)
        assert (before.ids, before.offsets) == (after.ids, after.offsets)
    assert own.encode("<pad>", add_special_tokens=False).ids != [PAD]
    assert "".join(own.encode("x<pad>", add_special_tokens=False).tokens) == "▁x<pad>"


def test_an_answer_that_is_a_special_name_is_trained_and_given() -> None:
    spec, rows = EACH[3]
    for name in NAMES:
        at = TEXT.index(name)
        asked = {**rows[0], "answers": [{"text": name, "start": at}]}
        outcomes = round_trip(spec, table("span_qa", [asked]), "en", literal(tokenizer()))
        assert outcomes["exact_match"].to_pylist() == [1.0], name


@pytest.mark.parametrize("architecture", ["xlm-roberta", "xlm-roberta-xl"])
def test_masks_and_positions_come_from_lengths(architecture: str) -> None:
    """Whatever ids a tokenizer gives: the padding's own id inside a text is a token."""
    config = {"xlm-roberta": XLMRobertaConfig, "xlm-roberta-xl": XLMRobertaXLConfig}[architecture](
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=66,
    )
    spec = task("tagging", "tag_f1", ("A", "B"))
    made = KINDS["tagging"].encode(
        table("tagging", [EACH[2][1][0], {"id": "2", "words": ["the"], "tags": ["A"]}]),
        spec,
        literal(tokenizer()),
        recipe(spec),
    )
    features = as_features(made, None)
    for ids in features.input_ids:
        ids[1] = PAD
    batch = collate(features, KINDS["tagging"], [0, 1])
    assert batch.mask.sum(1).tolist() == [len(ids) for ids in features.input_ids]
    assert batch.tokens == sum(len(ids) for ids in features.input_ids)
    states = []
    for attention in ("sdpa", PACKED):
        built = make_config(architecture, config.to_dict(), 0.0, attention)
        model = Encoder(
            random_encoder(architecture, built, 0), torch.nn.Identity(), architecture
        ).eval()
        with torch.no_grad():
            found = model(batch.input_ids, batch.mask)
            states.append((found * batch.mask[..., None]).numpy())
    np.testing.assert_allclose(states[0], states[1], atol=1e-5)
