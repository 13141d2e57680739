"""Gold comes back through features, predictions and decoding in all six kinds, over hard text.

What cannot come back is counted by the kind itself, by name, and is nothing else.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from tokenizers import Tokenizer

from scaling.catalogue.models import MODELS
from scaling.catalogue.task import Key, TaskSpec
from scaling.data.tokens import load_tokenizer
from scaling.encoders.weights import tokenizer_file
from scaling.kinds import KINDS
from scaling.kinds.kind import IGNORED, Part, scores
from tests.helpers.making import recipe, table, task
from tests.helpers.vectors import vectors_of

LONG = "ab1cd2" * 80
WORDS = (
    "Straße",
    unicodedata.normalize("NFD", "éclair"),
    unicodedata.normalize("NFC", "éclair"),
    unicodedata.normalize("NFD", "Việt"),
    "क्\u200dष",
    "می\u200cخواند",
    "\u200fالقاهرة\u200f",
    "\u200eNokia\u200e",
    "👩\u200d👩\u200d👧",
    "<pad>",
    "</s>",
    "<mask>",
    "<unk>",
    "<s>",
    "ﬁnance",
    "Ⅷ",
    "北京Beijingベル",
    "Москва-2",
    "ไทยแลนด์",
    "don't",
    "①②③",
    "\ufeffmark",
    "a\u0301\u0323b",
    "𝒜𝓁𝓅𝒽𝒶",
    "ÅÅ",
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    pytest.importorskip("semantra_multilingual", reason="XLM-R's tokenizer.json")
    return load_tokenizer(tokenizer_file(MODELS["e5-depth-2"], None))


def sentences(number: int) -> list[list[str]]:
    rng = np.random.default_rng(5)
    return [[str(word) for word in rng.permutation(WORDS)[:9]] for _ in range(number)]


def perfect(kind: str, features: Any) -> list[np.ndarray]:
    """What a model gives that knows the targets by heart."""
    found: list[np.ndarray] = []
    directions = np.random.default_rng(0).standard_normal((features.num_rows + 1, 16))
    for one in features.to_pylist():
        target, length = one["target"], len(one["input_ids"])
        if kind == "classification":
            found.append(np.eye(2)[target])
        elif kind == "multiple_choice":
            found.append(np.array([target % 2]))
        elif kind == "tagging":
            found.append(np.array([0 if label == IGNORED else label for label in target]))
        elif kind == "span_qa":
            logits = np.zeros((length, 2), np.float32)
            logits[target[0], 0] = logits[target[1], 1] = 9
            found.append(logits)
        elif kind == "retrieval":
            found.append(directions[target if target >= 0 else -target - 1][None])
        else:
            corrupt = KINDS[kind].corrupt
            assert corrupt is not None
            _, labels = corrupt(np.array(one["input_ids"]), target, 0)
            found.append(np.where(labels == IGNORED, IGNORED, 1))
    return found


def outcomes(
    spec: TaskSpec, rows: Sequence[dict[str, Any]], tokenizer: Tokenizer
) -> tuple[Any, Any]:
    content = table(spec.kind, rows)
    kind = KINDS[spec.kind]
    features = kind.encode(content, spec, tokenizer, recipe(spec, max_length=96))
    made: Sequence[Any] = perfect(spec.kind, features)
    part = Part(
        key=Key("test", "en"),
        rows=content,
        features=features,
        predictions=range(len(made)) if kind.searched else made,
        vectors=vectors_of(made) if kind.searched else None,
    )
    return kind.outcomes(part, spec), features


def cases(kind: str) -> tuple[TaskSpec, list[dict[str, Any]]]:
    texts = [" ".join(words) for words in sentences(60)]
    if kind == "classification":
        spec = task(kind, "accuracy", ("a", "b"))
        return spec, [
            {"id": str(at), "text_a": text, "text_b": "", "label": "ab"[at % 2]}
            for at, text in enumerate([*texts, LONG])
        ]
    if kind == "multiple_choice":
        return task(kind, "accuracy"), [
            {
                "id": str(at),
                "context": text,
                "question": "which?",
                "choices": list(words[:3]),
                "label": at % 3,
            }
            for at, (text, words) in enumerate(zip(texts, sentences(60), strict=True))
        ]
    if kind == "tagging":
        rng = np.random.default_rng(1)
        rows = [[*words, LONG] if at % 7 == 0 else words for at, words in enumerate(sentences(60))]
        # A word that the tokenizer drops whole still has its tag.
        rows = [[*words, "\u200b"] if at % 5 == 0 else words for at, words in enumerate(rows)]
        spec = task(kind, "span_f1", ("O", "B-PER", "I-PER"))
        return spec, [
            {
                "id": str(at),
                "words": words,
                "tags": [spec.labels[one] for one in rng.integers(0, 3, len(words))],
            }
            for at, words in enumerate(rows)
        ]
    if kind == "retrieval":
        spec = task(kind, "accuracy")
        both = [("query", f"q{at}", text, [f"c{at}"]) for at, text in enumerate(texts)]
        both += [("candidate", f"c{at}", f"{at} {text}", []) for at, text in enumerate(texts)]
        return spec, [
            {
                "id": name,
                "side": side,
                "text": text,
                "relevant": relevant,
                "language": "en",
                "context": "",
            }
            for side, name, text, relevant in both
        ]
    return task("masked_lm", "tag_f1"), [
        {"id": str(at), "text": text} for at, text in enumerate([*texts, LONG])
    ]


@pytest.mark.parametrize(
    "kind", ["classification", "multiple_choice", "tagging", "retrieval", "masked_lm"]
)
def test_gold_comes_back_over_hard_text(kind: str, tokenizer: Tokenizer) -> None:
    spec, rows = cases(kind)
    found, _ = outcomes(spec, rows, tokenizer)
    first = scores(found, 0.0)[0]
    assert first.value == 1.0 and first.n >= 60


def test_answers_come_back_over_hard_text_but_for_those_that_are_counted(
    tokenizer: Tokenizer,
) -> None:
    rows: list[dict[str, Any]] = []
    rng = np.random.default_rng(2)
    for words in sentences(120):
        context = " ".join([*words[:5], LONG, *words[5:]] if len(rows) % 4 == 0 else words)
        start = int(rng.integers(0, 7))
        text = " ".join(words[start : start + int(rng.integers(1, 3))])
        if text not in context:
            text = words[start]
        answer = {"text": text, "start": context.index(text)}
        rows.append(
            {"id": str(len(rows)), "context": context, "question": "<mask> ?", "answers": [answer]}
        )
    rows.append(
        {
            "id": "long",
            "context": f"before {LONG} behind",
            "question": "what?",
            "answers": [{"text": LONG, "start": 7}],
        }
    )
    spec = task("span_qa", "squad1")
    found, features = outcomes(spec, rows, tokenizer)
    wrong = [
        row["id"]
        for row in found.select(["id", "exact_match"]).to_pylist()
        if row["exact_match"] != 1.0
    ]
    counts = KINDS["span_qa"].counts
    assert counts is not None
    counted = counts(table("span_qa", rows), features)
    assert "long" in wrong
    assert len(wrong) == sum(counted.values()), (wrong, counted)
