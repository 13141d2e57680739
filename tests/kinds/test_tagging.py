"""Every word is predicted once, at its first subword, whatever the length of the sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.kinds import KINDS
from scaling.kinds.kind import IGNORED, scores
from scaling.kinds.tagging import word_windows
from tests.helpers.making import SENTENCES, recipe, round_trip, table, task, tokenizer

LABELS = ("O", "B-PER", "I-PER", "B-LOC")
NER = task("tagging", "span_f1", LABELS)


def tagged(times: int = 1) -> list[dict[str, object]]:
    rows = []
    for code, sentence in SENTENCES.items():
        words = sentence.split() * times
        rows.append(
            {"id": code, "words": words, "tags": [LABELS[at * 7 % 4] for at in range(len(words))]}
        )
    return rows


@pytest.mark.parametrize("max_length", [8, 17, 64])
def test_gold_tags_come_back_from_any_window(max_length: int) -> None:
    outcomes = round_trip(
        NER, table("tagging", tagged(4)), "en", tokenizer(), max_length=max_length
    )
    assert [(score.metric, score.value) for score in scores(outcomes, 0.0)] == [
        ("span_f1", 1.0),
        ("span_precision", 1.0),
        ("span_recall", 1.0),
    ]
    assert outcomes["prediction"].to_pylist() == [" ".join(row["tags"]) for row in tagged(4)]


def test_a_label_stands_on_the_first_subword_and_each_word_has_one() -> None:
    rows = tagged(3)
    features = KINDS["tagging"].encode(
        table("tagging", rows), NER, tokenizer(), recipe(NER, max_length=16)
    )
    assert max(map(len, features["input_ids"].to_pylist())) <= 16
    labels: dict[int, list[int]] = {}
    for feature in features.to_pylist():
        assert len(feature["target"]) == len(feature["input_ids"])
        marked = [at for at, label in enumerate(feature["target"]) if label != IGNORED]
        pieces = [tokenizer().id_to_token(feature["input_ids"][at]) for at in marked]
        assert all(piece.startswith("▁") or piece == "<unk>" for piece in pieces)
        labels.setdefault(feature["row"], []).extend(feature["target"][at] for at in marked)
    assert [labels[at] for at in range(len(rows))] == [
        [LABELS.index(tag) for tag in row["tags"]] for row in rows
    ]  # type: ignore[union-attr, attr-defined]


def test_words_without_pieces_and_words_longer_than_a_window_keep_their_label() -> None:
    words = ["station" * 30, "\u00ad", "the"]
    outcomes = round_trip(
        NER,
        table("tagging", [{"id": "0", "words": words, "tags": ["B-PER", "I-PER", "B-LOC"]}]),
        "en",
        tokenizer(),
        max_length=8,
    )
    assert outcomes["prediction"].to_pylist() == ["B-PER I-PER B-LOC"]
    assert outcomes["span_correct"].to_pylist() == [2.0]


def test_an_unknown_tag_is_named() -> None:
    rows = table("tagging", [{"id": "0", "words": ["a"], "tags": ["B-PRE"]}])
    with pytest.raises(
        ValueError, match=r"Unknown tag of task own-tagging 'B-PRE'\. Did you mean 'B-PER'"
    ):
        KINDS["tagging"].encode(rows, NER, tokenizer(), recipe(NER))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=60), st.integers(6, 30))
def test_windows_hold_every_word_once_and_fit(lengths: list[int], room: int) -> None:
    seen: list[int] = []
    for begin, start, end in word_windows(lengths, room):
        assert begin <= start < end
        seen += range(start, end)
        assert sum(lengths[begin:end]) <= room or end - begin == 1
    assert seen == list(range(len(lengths)))
