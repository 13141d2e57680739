"""Inputs that people who do this job have tripped over, each with its right value.

What would be scored without a word is either read as it is meant or refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

from scaling.catalogue.task import Key, TaskSpec
from scaling.data.rows import read_table, stage_task
from scaling.data.schema import BadData
from scaling.kinds import KINDS
from scaling.kinds.kind import Part
from scaling.store.store import Store
from scaling.study.study import Study
from scaling.training.stage import stage
from scaling.training.vectors import SharedVectors
from tests.helpers.vectors import vectors_of

FAQ = [
    ("Wie lange kann ich ein Paket zurückgeben?", "You can return a parcel within thirty days."),
    ("Habe ich ein Rückgaberecht für mein Paket?", "You can return a parcel within thirty days."),
    ("Wo finde ich meine Rechnung?", "Your invoice is in your account."),
    ("Wie bekomme ich eine Rechnung?", "Your invoice is in your account."),
    ("Liefern Sie nach Österreich?", "We deliver in all of Europe."),
    ("Kann ich nach Wien bestellen?", "We deliver in all of Europe."),
]


def lines(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n", encoding="utf-8")


def staged(
    folder: Path,
    accept: Sequence[str] = (),
    limits: Mapping[str, int] | None = None,
    arms: Sequence[Any] = ("none",),
    **fields: Any,
) -> tuple[Store, dict[str, Any]]:
    """A store with the task that `fields` describe, read from `folder`; its manifest."""
    content = {
        "name": "own",
        "models": ["e5-depth-2"],
        "arms": list(arms),
        "targets": ["mine"],
        "seeds": [0],
        "limits": limits or {},
        "define": {"tasks": [{"name": "mine", **fields}]},
    }
    study = Study.model_validate(content)
    store = Store.open(folder / "store")
    stage_task(study, study.task("mine"), store, folder, accept=accept)
    return store, json.loads(store.read("data/mine/manifest.json"))


def rows_of(store: Store, key: Key) -> pa.Table:
    """What was staged of a split of the task."""
    manifest = json.loads(store.read("data/mine/manifest.json"))
    return read_table(store, "mine", key, manifest["splits"][str(key)]["sha256"])


def retrieval(files: Mapping[str, Sequence[str]], **options: Any) -> dict[str, Any]:
    return {
        "kind": "retrieval",
        "metric": "accuracy",
        "languages": ["de"],
        "data": [
            {
                "reader": "jsonl",
                "source": "dir:.",
                "files": dict(files),
                "options": {"query": "q", "candidate": "a", **options},
            }
        ],
    }


def one_hot(texts: Sequence[str]) -> tuple[list[int], SharedVectors]:
    """The number of each text's vector (1 depth x H), which is equal where texts are."""
    numbers = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    each = vectors_of(list(np.eye(len(numbers), dtype=np.float32)[:, None]))
    return [numbers[text] for text in texts], each


def perfect_part(rows: pa.Table) -> Part:
    """Each query has the vector of its first right candidate; equal texts have equal vectors."""
    listed = rows.to_pylist()
    texts = {row["id"]: row["text"] for row in listed}
    wanted = [texts[row["relevant"][0]] if row["relevant"] else row["text"] for row in listed]
    numbers, vectors = one_hot(wanted)
    return Part(
        key=Key("test", "de"),
        rows=rows,
        features=pa.table({"row": pa.array(range(len(listed)), pa.int32())}),
        predictions=numbers,
        vectors=vectors,
    )


@pytest.mark.parametrize("metric", ["accuracy", "map_at_20"])
def test_candidates_of_one_text_are_one_answer(tmp_path: Path, metric: str) -> None:
    lines(tmp_path / "test.jsonl", [{"q": q, "a": a} for q, a in FAQ])
    task = {**retrieval({"test": ["test.jsonl"]}), "metric": metric, "train_on": []}
    store, manifest = staged(tmp_path, **task)
    rows = rows_of(store, Key("test", "de"))
    assert rows["side"].to_pylist().count("candidate") == 3
    spec = TaskSpec(name="mine", **task)
    part = perfect_part(rows)
    assert np.mean(KINDS["retrieval"].outcomes(part, spec)[metric].to_pylist()) == 1.0
    by_hand = 1 / 3 if metric == "accuracy" else (1 + 1 / 2 + 1 / 3) / 3
    assert KINDS["retrieval"].chance(part, spec) == pytest.approx(by_hand)
    assert manifest["splits"]["test.de"]["counts"] == {
        "candidates with the text of another, merged": 3
    }


def test_a_protocol_that_scores_by_id_is_kept(tmp_path: Path) -> None:
    lines(tmp_path / "test.jsonl", [{"q": q, "a": a} for q, a in FAQ])
    store, manifest = staged(
        tmp_path, **retrieval({"test": ["test.jsonl"]}), train_on=[], identical="apart"
    )
    rows = rows_of(store, Key("test", "de"))
    assert rows["side"].to_pylist().count("candidate") == 6
    assert manifest["splits"]["test.de"]["counts"] == {
        "candidates with the text of another, kept apart": 3
    }


def test_a_question_that_repeats_has_all_its_answers(tmp_path: Path) -> None:
    asked = [("same", "one"), ("same", "two"), ("other", "three")]
    lines(tmp_path / "test.jsonl", [{"q": q, "a": a} for q, a in asked])
    store, _ = staged(tmp_path, **retrieval({"test": ["test.jsonl"]}), train_on=[])
    rows = rows_of(store, Key("test", "de")).to_pylist()
    assert [row["relevant"] for row in rows if row["side"] == "query"] == [
        ["c0", "c1"],
        ["c0", "c1"],
        ["c2"],
    ]


def test_hold_out_leaves_pairs_whole(tmp_path: Path) -> None:
    lines(tmp_path / "train.jsonl", [{"q": f"q {at}", "a": f"a {at}"} for at in range(200)])
    lines(tmp_path / "test.jsonl", [{"q": "q", "a": "a"}])
    files = {"train": ["train.jsonl"], "dev": ["train.jsonl"], "test": ["test.jsonl"]}
    store, _ = staged(tmp_path, **retrieval(files, hold_out=0.2))
    sides = {
        split: Counter(rows_of(store, Key(split, "en"))["side"].to_pylist())
        for split in ("train", "dev")
    }
    assert sides["train"]["query"] + sides["dev"]["query"] == 200
    assert 20 < sides["dev"]["query"] < 60
    assert all(side["query"] == side["candidate"] for side in sides.values())


def test_hold_out_leaves_a_premise_on_one_side(tmp_path: Path) -> None:
    for code, mark in (("en", "premise"), ("de", "Prämisse")):
        records = [
            {"id": f"{at}-{h}", "p": f"{mark} {at}", "h": f"{h}", "l": "a" if h else "b"}
            for at in range(60)
            for h in range(3)
        ]
        lines(tmp_path / f"{code}.jsonl", records)
    store, _ = staged(
        tmp_path,
        arms=["none", {"name": "own", "train_on": ["mine"], "languages": ["en", "de"]}],
        kind="classification",
        metric="accuracy",
        labels=["a", "b"],
        languages=["de"],
        train_languages=["en", "de"],
        data=[
            {
                "reader": "jsonl",
                "source": "dir:.",
                "files": {split: ["{lang}.jsonl"] for split in ("train", "dev", "test")},
                "options": {
                    "text_a": "p",
                    "text_b": "h",
                    "label": "l",
                    "id": "id",
                    "hold_out": 0.2,
                },
            }
        ],
    )
    train, dev = (
        {*rows_of(store, Key(split, "en"))["text_a"].to_pylist()} for split in ("train", "dev")
    )
    assert not train & dev
    assert len(train) + len(dev) == 60
    # A translation is on the side of its English twin.
    english, german = (
        rows_of(store, Key("train", code))["id"].to_pylist() for code in ("en", "de")
    )
    assert english == german


def test_a_right_candidate_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "de").write_text("d1\tEins\nd2\tZwei\n", encoding="utf-8")
    mention = {
        "context": {"text": "Ada lives.", "sentence_spans": [{"start": 0, "end": 10}]},
        "mention": {
            "example_id": "m",
            "entity_id": "Q9",
            "mention_span": {"text": "Ada", "start": 0, "end": 3},
        },
    }
    entity = {
        "entity_id": "Q1",
        "description": "A town.",
        "sentence_spans": [{"start": 0, "end": 7}],
        "description_language": "en",
    }
    lines(tmp_path / "test.jsonl", [mention, entity])
    task = {
        "kind": "retrieval",
        "metric": "map_at_20",
        "languages": ["de"],
        "train_on": [],
        "data": [{"reader": "mewsli_x", "source": "dir:.", "files": {"test": ["test.jsonl"]}}],
    }
    with pytest.raises(BadData, match="the query 'm' looks up 'Q9', which is no candidate"):
        staged(tmp_path, **task)
    with pytest.raises(BadData, match="1 × candidate_missing of 1 are more than 2%"):
        staged(tmp_path, accept=["candidate_missing"], **task)


CLASSES = ["contradiction", "entailment", "neutral"]


def parquet(path: Path, column: str, values: list[Any], feature: Any, **more: list[Any]) -> None:
    """A Parquet file as the hub's library writes it: its classes by name in the metadata."""
    table = pa.table({**more, column: values})
    metadata = {"huggingface": json.dumps({"info": {"features": {column: feature}}})}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def nli(folder: Path, names: Sequence[str], labels: Sequence[str]) -> list[str]:
    feature = {"names": CLASSES, "_type": "ClassLabel"}
    parquet(folder / "test.parquet", "label", [0, 1, 2, 1], feature, premise=list("abcd"))
    store, _ = staged(
        folder,
        kind="classification",
        metric="accuracy",
        labels=list(labels),
        languages=["de"],
        train_on=[],
        data=[
            {
                "reader": "hub_parquet",
                "source": "dir:.",
                "files": {"test": ["test.parquet"]},
                "options": {"text_a": "premise", "label": "label", "label_names": list(names)},
            }
        ],
    )
    return rows_of(store, Key("test", "de"))["label"].to_pylist()


def test_the_class_names_in_a_file_rule(tmp_path: Path) -> None:
    ours = ["entailment", "neutral", "contradiction"]
    assert nli(tmp_path, ours, ours) == ["contradiction", "entailment", "neutral", "entailment"]
    with pytest.raises(
        BadData, match=r"contradiction, entailment, neutral; the task names yes, no, maybe"
    ):
        nli(tmp_path, ["yes", "no", "maybe"], ["yes", "no", "maybe"])


@pytest.mark.parametrize("form", ["Sequence", "List", "plain", "struct"])
def test_the_tag_names_in_a_file_rule(tmp_path: Path, form: str) -> None:
    theirs = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    ours = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    one: Any = {"names": theirs, "_type": "ClassLabel"}
    feature = {
        "plain": [one],
        "struct": {"ner": {"feature": one, "_type": "Sequence"}},
    }.get(form, {"feature": one, "_type": form})
    values: list[Any] = [[3, 0, 1]]
    column = "tags.ner" if form == "struct" else "tags"
    parquet(
        tmp_path / "test.parquet",
        "tags",
        [{"ner": values[0]}] if form == "struct" else values,
        feature,
        tokens=[["Ada", "left", "Leeds"]],
    )
    store, _ = staged(
        tmp_path,
        kind="tagging",
        metric="span_f1",
        labels=ours,
        languages=["de"],
        train_on=[],
        data=[
            {
                "reader": "hub_parquet",
                "source": "dir:.",
                "files": {"test": ["test.parquet"]},
                "options": {"words": "tokens", "tags": column, "label_names": ours},
            }
        ],
    )
    assert rows_of(store, Key("test", "de"))["tags"].to_pylist() == [["B-PER", "O", "B-LOC"]]


def tagged_file(folder: Path, content: str, **options: Any) -> list[dict[str, Any]]:
    (folder / "test.txt").write_text(content, encoding="utf-8")
    store, _ = staged(
        folder,
        kind="tagging",
        metric="span_f1",
        labels=["O", "B-PER", "I-PER", "B-LOC"],
        languages=["de"],
        train_on=[],
        data=[
            {
                "reader": "conll",
                "source": "dir:.",
                "files": {"test": ["test.txt"]},
                "options": options,
            }
        ],
    )
    return list(rows_of(store, Key("test", "de")).to_pylist())


NUMBERED = "1 Ada NNP B-NP B-PER\n2 lives VBZ B-VP O\n3 in IN B-PP O\n4 Leeds NNP B-NP B-LOC\n"
LAYERS = "# a comment O\n1\tAda\tB-PER\tO\n2\tlives\tO\tO\n"


def test_a_column_of_word_numbers_is_no_column_of_words(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="the words of 1 of 1 sentences count 1, 2, 3: '1 2 3 4'"):
        tagged_file(tmp_path, NUMBERED)
    (row,) = tagged_file(tmp_path, NUMBERED, word_column=1)
    assert row["words"] == ["Ada", "lives", "in", "Leeds"]
    (row,) = tagged_file(tmp_path, LAYERS, word_column=1, tag_column=2, comments="#")
    assert (row["words"], row["tags"]) == (["Ada", "lives"], ["B-PER", "O"])
    with pytest.raises(BadData, match=r"test.txt:1: 2 columns; column 4 and -1 are due"):
        tagged_file(tmp_path, "Ada O\n", word_column=4)


@pytest.mark.parametrize("names", [[str(at) for at in range(3)], ["0", "1"], ["1"]])
def test_words_that_count(names: list[str]) -> None:
    from scaling.data.checks import check_words

    spec = TaskSpec(name="mine", kind="tagging", metric="tag_f1", labels=("A", "B"))
    row = {"id": "1", "words": names, "tags": ["A"] * len(names)}
    with pytest.raises(BadData, match="count 1, 2, 3"):
        check_words(spec, Key("test", "de"), [row])
    # A phone number in one of three sentences is text.
    words = {"id": "2", "words": ["Call", "1"], "tags": ["A", "A"]}
    check_words(spec, Key("test", "de"), [row, words, words])


PARAGRAPH = (
    "The mill was built in 1820 by two brothers. It burned down in the autumn of 1866. A museum"
    " opened on the site in 1991."
)


def squad(answer: str, start: int, **more: Any) -> dict[str, Any]:
    asked = {
        "id": "q1",
        "question": "When did it burn down?",
        "answers": [{"text": answer, "answer_start": start}],
    }
    return {"data": [{"paragraphs": [{"context": PARAGRAPH, "qas": [asked], **more}]}]}


def sentence_pairs(folder: Path, *contents: dict[str, Any], accept: Sequence[str] = ()) -> Any:
    data = [paragraph for content in contents for paragraph in content["data"]]
    (folder / "test.json").write_text(json.dumps({"data": data}), encoding="utf-8")
    store, _ = staged(
        folder,
        accept=accept,
        kind="retrieval",
        metric="map_at_20",
        languages=["en"],
        train_on=[],
        defects={name: {"test": 1} for name in accept},
        data=[{"reader": "squad_pairs", "source": "dir:.", "files": {"test": ["test.json"]}}],
    )
    return rows_of(store, Key("test", "en")).to_pylist()


def test_sentences_are_looked_up_for_answers_that_are_there(tmp_path: Path) -> None:
    missing, wrong = squad("the fall of 1866", 66), squad("the autumn of 1866", 0)
    missing["data"][0]["paragraphs"][0]["qas"][0]["id"] = "q0"
    with pytest.raises(BadData, match="'the fall of 1866' does not occur in its context"):
        sentence_pairs(tmp_path, missing)
    with pytest.raises(BadData, match="is at 62, not at its offset 0"):
        sentence_pairs(tmp_path, wrong)
    rows = sentence_pairs(tmp_path, missing, wrong, accept=["answer_missing", "answer_elsewhere"])
    # The question whose answer is missing has no pair; the other one the sentence of its answer.
    assert [(row["side"], row["text"].strip()) for row in rows] == [
        ("query", "When did it burn down?"),
        ("candidate", "It burned down in the autumn of 1866."),
    ]


def test_lareqa_compares_offsets_with_texts(tmp_path: Path) -> None:
    breaks = [[0, 43], [44, 81], [82, len(PARAGRAPH)]]
    task = {
        "kind": "retrieval",
        "metric": "map_at_20",
        "languages": ["en"],
        "train_on": [],
        "data": [{"reader": "xquad_r", "source": "dir:.", "files": {"test": ["{lang}.json"]}}],
    }
    for start in (0, 62 - 25):
        content = squad("the autumn of 1866", start, sentence_breaks=breaks)
        (tmp_path / "en.json").write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(BadData, match=f"is at 62, not at its offset {start}"):
            staged(tmp_path, **task)
        store, _ = staged(
            tmp_path, ["answer_elsewhere"], defects={"answer_elsewhere": {"test": 1}}, **task
        )
        (query, *_) = rows_of(store, Key("test", "en")).to_pylist()
        assert query["relevant"] == ["en_1_1"]
        store.delete_folder("data")


SENTENCES = {"de": "Es regnet.", "sw": "Mvua inanyesha.", "th": "ฝนตก"}


def one_file(folder: Path, **options: Any) -> Any:
    text = "language\tsentence1\tgold_label\n" + "".join(
        f"{code}\t{text} {at}\t{'ab'[at % 2]}\n"
        for code, text in SENTENCES.items()
        for at in range(4)
    )
    (folder / "test.tsv").write_text(text, encoding="utf-8")
    return staged(
        folder,
        kind="classification",
        metric="accuracy",
        labels=["a", "b"],
        languages=[*SENTENCES],
        train_on=[],
        data=[
            {
                "reader": "delimited",
                "source": "dir:.",
                "files": {"test": ["test.tsv"]},
                "options": {"text_a": "sentence1", "label": "gold_label", **options},
            }
        ],
    )


def test_two_languages_never_have_the_same_test_set(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"test.de and test.sw have the same rows"):
        one_file(tmp_path)
    _, manifest = one_file(tmp_path, where={"language": "{lang}"})
    assert [entry["rows"] for entry in manifest["splits"].values()] == [4, 4, 4]


def exam(folder: Path, **record: Any) -> Any:
    question = {
        "q": "Which of these is a metal ?",
        "a": "iron",
        "b": "wood",
        "c": "glass",
        "d": "wool",
        "e": None,
        "k": "0",
    }
    lines(folder / "test.jsonl", [{**question, **record}])
    return staged(
        folder,
        kind="multiple_choice",
        metric="accuracy",
        languages=["en"],
        train_on=[],
        data=[
            {
                "reader": "jsonl",
                "source": "dir:.",
                "files": {"test": ["test.jsonl"]},
                "options": {"question": "q", "choices": [*"abcde"], "label": "k"},
            }
        ],
    )


@pytest.mark.parametrize("empty", [None, "", " "])
def test_a_choice_that_is_not_there_is_none(tmp_path: Path, empty: Any) -> None:
    from scaling.kinds.multiple_choice import MULTIPLE_CHOICE

    store, manifest = exam(tmp_path, a=empty, b="copper", e=empty, k="1")
    rows = rows_of(store, Key("test", "en"))
    assert rows.to_pylist()[0]["choices"] == ["copper", "glass", "wool"]
    assert rows.to_pylist()[0]["label"] == 0
    part = Part(key=Key("test", "en"), rows=rows, features=rows, predictions=[])
    spec = TaskSpec(name="mine", kind="multiple_choice", metric="accuracy")
    assert MULTIPLE_CHOICE.chance(part, spec) == pytest.approx(1 / 3)
    assert manifest["splits"]["test.en"]["counts"] == {"choices that are not there": 2}
    store.delete_folder("data")
    with pytest.raises(BadData, match=r"test.jsonl:1: one of the choices .* is the right one"):
        exam(tmp_path, a=empty)
    with pytest.raises(BadData, match=r"test.jsonl:1: 'choices' should be text, found 3"):
        exam(tmp_path, a=3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["In", 1990, "x"], "'w' should be text, found 1990"),
        (["In", None, "x"], "'w' should be text, found None"),
        (["In", ["x"], "x"], "'w' should be text, found"),
        ("Inx", "'w' should be a list, found 'Inx'"),
        ({"a": 1, "b": 2, "c": 3}, "'w' should be a list"),
        (["In", "\ud800", "x"], "half a surrogate pair"),
    ],
)
def test_words_are_texts(tmp_path: Path, value: Any, message: str) -> None:
    lines(tmp_path / "test.jsonl", [{"w": value, "t": ["O", "O", "O"]}])
    with pytest.raises(BadData, match=rf"test.jsonl:1: .*{message}"):
        staged(
            tmp_path,
            kind="tagging",
            metric="span_f1",
            labels=["O", "B-PER"],
            languages=["en"],
            train_on=[],
            data=[
                {
                    "reader": "jsonl",
                    "source": "dir:.",
                    "files": {"test": ["test.jsonl"]},
                    "options": {"words": "w", "tags": "t"},
                }
            ],
        )


def sentiment(folder: Path, accept: Sequence[str] = (), **options: Any) -> list[str]:
    codes = ["-1"] * 2 + ["0"] * 60 + ["1"] * 60
    (folder / "test.tsv").write_text(
        "text\tlabel\n" + "".join(f"the soup {at}\t{code}\n" for at, code in enumerate(codes)),
        encoding="utf-8",
    )
    store, _ = staged(
        folder,
        accept=accept,
        kind="classification",
        metric="accuracy",
        labels=["negative", "neutral", "positive"] if options else ["-1", "0", "1"],
        languages=["en"],
        train_on=[],
        data=[
            {
                "reader": "delimited",
                "source": "dir:.",
                "files": {"test": ["test.tsv"]},
                "options": {"text_a": "text", "label": "label", **options},
            }
        ],
    )
    return rows_of(store, Key("test", "en"))["label"].to_pylist()


def test_what_a_label_map_names_is_a_label(tmp_path: Path) -> None:
    names = {"-1": "negative", "0": "neutral", "1": "positive"}
    assert Counter(sentiment(tmp_path, label_map=names))["negative"] == 2
    assert Counter(sentiment(tmp_path))["-1"] == 2
    # Without the name it is refused, and accepting that would leave a class without rows.
    others = {"0": "neutral", "1": "positive"}
    (tmp_path / "other").mkdir()
    with pytest.raises(BadData, match=r"test.tsv:2: no gold label \('-1'\)"):
        sentiment(tmp_path / "other", label_map=others)
    with pytest.raises(BadData, match="2 rows without a label, and none of the class 'negative'"):
        sentiment(tmp_path / "other", ["unlabelled"], label_map=others)


def test_an_answer_in_another_unicode_form_is_called_so(tmp_path: Path) -> None:
    context = {"context": "Das Cafe\u0301 öffnet um neun.", "qas": []}
    asked = {"id": "q", "question": "Was?", "answers": [{"text": "Café", "answer_start": 4}]}
    content = {"data": [{"paragraphs": [{**context, "qas": [asked]}]}]}
    (tmp_path / "test.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BadData, match="only in another Unicode form; bring both to NFC"):
        staged(
            tmp_path,
            kind="span_qa",
            metric="squad1",
            languages=["de"],
            train_on=[],
            data=[{"reader": "squad_json", "source": "dir:.", "files": {"test": ["test.json"]}}],
        )


def test_a_split_of_which_nothing_can_train_is_refused(
    tmp_path: Path, tiny_models: list[dict[str, Any]]
) -> None:
    context = "Das Cafe\u0301 und das Re\u0301sume\u0301 ."
    asked = [
        {"id": f"{at}", "question": "Was?", "answers": [{"text": text, "answer_start": 0}]}
        for at, text in enumerate(["Café", "Résumé"])
    ]
    whole = {"id": "2", "question": "Was?", "answers": [{"text": "Das", "answer_start": 0}]}
    for name, questions in (("train", asked), ("test", [whole])):
        content = {"data": [{"paragraphs": [{"context": context, "qas": questions}]}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    task = {
        "name": "mine",
        "kind": "span_qa",
        "metric": "squad1",
        "languages": ["de"],
        "defects": {"answer_missing": {"train": 2}},
        "data": [
            {
                "reader": "squad_json",
                "source": "dir:.",
                "files": {"train": ["train.json"], "dev": ["test.json"], "test": ["test.json"]},
            }
        ],
    }
    study = {
        "name": "own",
        "models": ["tiny-1"],
        "arms": ["none"],
        "targets": ["mine"],
        "seeds": [0],
        "define": {"models": tiny_models[:1], "tasks": [task]},
    }
    message = "train.en: 0 of 2 questions can train; 2 answers that are not in their context"
    with pytest.raises(BadData, match=message):
        stage(
            Study.model_validate(study),
            Store.open(tmp_path / "store"),
            tmp_path,
            lambda what: None,
        )
    # Half of them is of use.
    lost = {"id": "3", "question": "Was?", "answers": [{"text": "Das", "answer_start": 0}]}
    content["data"][0]["paragraphs"][0]["qas"] = [*asked, whole, lost]
    (tmp_path / "train.json").write_text(json.dumps(content), encoding="utf-8")
    store = Store.open(tmp_path / "other")
    stage(Study.model_validate(study), store, tmp_path, lambda what: None)
    manifest = json.loads(store.read("data/mine/manifest.json"))
    assert manifest["splits"]["train.en"]["tokens"] == {"answers that are not in their context": 2}
    assert manifest["splits"]["test.de"]["tokens"] == {}
