"""Each raw format, on invented text with the corners that real files have."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scaling.catalogue.sets import NLI, UPOS
from scaling.data.schema import SCHEMAS
from tests.helpers.reading import read

PAIR = {"text_a": "premise", "text_b": "hypothesis", "label": "label"}


def test_tsv_of_several_languages_keeps_quotes_and_odd_line_separators(tmp_path: Path) -> None:
    path = tmp_path / "xnli.test.tsv.gz"
    text = (
        "\ufefflanguage\tlabel\tpremise\thypothesis\r\n"
        'sw\tneutral\tSay "jambo\u2028again\tB\r\n'
        "fr\tentailment\tC\tD\r\n"
        "sw\tcontradictory\tE\tF\r\n"
    )
    path.write_bytes(gzip.compress(text.encode()))
    names = {"contradictory": "contradiction"} | {name: name for name in NLI}
    options = {**PAIR, "where": {"language": "{lang}"}, "label_map": names}
    rows = read("delimited", [path], options, labels=NLI, language="sw")
    assert rows == [
        {"id": "0", "text_a": 'Say "jambo\u2028again', "text_b": "B", "label": "neutral"},
        {"id": "1", "text_a": "E", "text_b": "F", "label": "contradiction"},
    ]


def test_csv_fields_may_hold_lines_and_two_files_have_two_sets_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "part.csv"
    path.write_text(
        'premise,hypothesis,label\n"one,\ntwo",B,neutral\nC,D,entailment\n', encoding="utf-8"
    )
    rows = read("delimited", [path, path], {**PAIR, "name": "snli"}, labels=NLI)
    assert [row["id"] for row in rows] == ["snli-0-0", "snli-0-1", "snli-1-0", "snli-1-1"]
    assert rows[0]["text_a"] == "one,\ntwo"


def test_questions_of_copa(tmp_path: Path) -> None:
    path = tmp_path / "copa.xml"
    path.write_text(
        """<?xml version="1.0"?><!DOCTYPE copa-corpus SYSTEM "copa.dtd">
        <copa-corpus version="1.0"><item id="7" asks-for="effect" most-plausible-alternative="2">
        <p>It rained &amp; hailed.</p><a1>The sun <b/>set.</a1><a2>The street got wet.</a2></item>
        </copa-corpus>""",
        encoding="utf-8",
    )
    assert read("copa_xml", [path]) == [
        {
            "id": "7",
            "context": "It rained & hailed.",
            "question": "What happened as a result?",
            "choices": ["The sun", "The street got wet."],
            "label": 1,
        }
    ]


CONLLU = """# sent_id = first
1-2\tdel\t_\t_\t_\t_\t_\t_\t_\t_
1\tde\t_\tADP\t_\t_\t3\tcase\t_\t_
2\tel\t_\tDET\t_\t_\t3\tdet\t_\t_
3\tlib\u200cro 2\t_\tNOUN\t_\t_\t0\troot\t_\t_
3.1\tgone\t_\tVERB\t_\t_\t_\t_\t_\t_
4-5\tdarlo\t_\t_\t_\t_\t_\t_\t_\t_
4\tdar\t_\tVERB\t_\t_\t3\tacl\t_\t_
5\tlo\t_\tPRON\t_\t_\t4\tobj\t_\t_

1\tSí\t_\tINTJ\t_\t_\t0\troot\t_\t_
"""


def test_conllu_with_multiword_tokens_and_empty_nodes(tmp_path: Path) -> None:
    path = tmp_path / "es.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    first, second = read("conllu", [path], labels=UPOS, language="es")
    assert first["words"] == ["de", "el", "lib\u200cro 2", "dar", "lo"]
    assert first["tags"] == ["ADP", "DET", "NOUN", "VERB", "PRON"]
    assert (first["id"], second["id"]) == ("first", "1")


def test_conllu_as_xtreme_prepares_it(tmp_path: Path) -> None:
    path = tmp_path / "es.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    first = read("conllu", [path], {"words": "xtreme"}, labels=UPOS, language="es")[0]
    # Both parts of `del` hang on word 3: Spanish prefers ADP. `dar` is nearer the root than `lo`.
    assert list(zip(first["words"], first["tags"], strict=True)) == [
        ("del", "ADP"),
        ("libro2", "NOUN"),
        ("darlo", "VERB"),
    ]


def test_panx_and_plain_columns(tmp_path: Path) -> None:
    panx, plain = tmp_path / "en-test", tmp_path / "test.txt"
    panx.write_text("en:a:b\tO\nen:\u00a0x\tB-PER\n\n\nen:Ada\tB-PER\n", encoding="utf-8")
    plain.write_text("-DOCSTART- O\n\nDr. Ada B-PER\nx O\n", encoding="utf-8")
    labels = ("O", "B-PER")
    assert [
        row["words"] for row in read("conll", [panx], {"prefix": "{lang}:"}, labels=labels)
    ] == [
        ["a:b", "\u00a0x"],
        ["Ada"],
    ]
    rows = read("conll", [plain], {"label_map": {"B-PER": "O", "O": "O"}}, labels=labels)
    assert rows == [{"id": "0", "words": ["Dr.", "x"], "tags": ["O", "O"]}]


def test_ccg_derivations(tmp_path: Path) -> None:
    path = tmp_path / "wsj_0001.auto"
    path.write_text(
        "ID=wsj_0001.1 PARSER=GOLD NUMPARSE=1\n"
        r"(<T S[dcl] 0 2> (<L NP NNP NNP -LRB- NP>) (<L (S[dcl]\NP)/NP VBZ VBZ sees "
        r"(S[dcl]\NP_1)/NP_2>) )" + "\n",
        encoding="utf-8",
    )
    row = read("ccg_auto", [path], {"other": "OTHER"}, labels=("NP", "OTHER"))[0]
    assert row == {"id": "wsj_0001.1", "words": ["(", "sees"], "tags": ["NP", "OTHER"]}


def squad(path: Path, *questions: dict[str, Any], **paragraph: Any) -> Path:
    content = {"context": "Ada wrote it. Bob did not.", "qas": list(questions), **paragraph}
    path.write_text(
        json.dumps({"version": "2.0", "data": [{"paragraphs": [content]}]}), encoding="utf-8"
    )
    return path


def test_squad2_and_ids_of_one_language(tmp_path: Path) -> None:
    asked = {"id": "swahili-1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}
    path = squad(
        tmp_path / "a.json",
        asked,
        {
            "id": "english-1",
            "question": "Why?",
            "answers": [],
            "is_impossible": True,
            "plausible_answers": [{}],
        },
    )
    rows = read("squad_json", [path], {"unanswerable": True})
    assert [row["answers"] for row in rows] == [[{"text": "Ada", "start": 0}], []]
    only = read("squad_json", [path], {"id_prefix": "{lang}-"}, language="sw", code="swahili")
    assert [row["id"] for row in only] == ["swahili-1"]
    pa.Table.from_pylist(rows, schema=SCHEMAS["span_qa"])


def test_squad_pairs_share_a_candidate_that_two_questions_find(tmp_path: Path) -> None:
    answers = (
        [{"text": "Ada", "answer_start": 0}],
        [{"text": "it", "answer_start": 10}],
        [{"text": "Bob", "answer_start": 14}],
    )
    path = squad(
        tmp_path / "a.json",
        *({"id": str(n), "question": "?", "answers": one} for n, one in enumerate(answers)),
    )
    rows = read("squad_pairs", [path])
    assert [row["text"] for row in rows if row["side"] == "candidate"] == [
        "Ada wrote it. ",
        "Bob did not.",
    ]
    assert [row["relevant"] for row in rows if row["side"] == "query"] == [
        ["sentence-0"],
        ["sentence-0"],
        ["sentence-1"],
    ]


def test_xquad_r_finds_the_sentence_in_every_language(tmp_path: Path) -> None:
    asked = {"id": "q", "question": "Who?", "answers": [{"text": "Bob", "answer_start": 14}]}
    breaks = [[0, 13], [14, 26]]
    files = [
        squad(tmp_path / f"{code}.json", asked, sentence_breaks=breaks) for code in ("de", "en")
    ]
    rows = read("xquad_r", [files[0], *files], language="de")
    assert [row["id"] for row in rows] == ["q", "de_1_0", "de_1_1", "en_1_0", "en_1_1"]
    assert rows[0]["relevant"] == ["de_1_1", "en_1_1"]
    own = read("xquad_r", [files[0], *files], {"candidates": "own"}, language="de")
    assert [row["id"] for row in own] == ["q", "de_1_0", "de_1_1"]
    assert own[0]["relevant"] == rows[0]["relevant"]


def test_parallel_text_looks_up_the_language_from_english(tmp_path: Path) -> None:
    own, english = tmp_path / "t.swh", tmp_path / "t.eng"
    own.write_text("moja\nmbili\n", encoding="utf-8")
    english.write_text("one\ntwo\n", encoding="utf-8")
    rows = read("parallel_text", [own, english], language="sw")
    assert [
        (row["id"], row["side"], row["language"], row["text"], row["relevant"]) for row in rows[:2]
    ] == [
        ("q0", "query", "en", "one", ["c0"]),
        ("c0", "candidate", "sw", "moja", []),
    ]
    assert (
        read("parallel_text", [own, english], {"query": "own"}, language="sw")[0]["text"] == "moja"
    )


def test_bucc_queries_without_gold(tmp_path: Path) -> None:
    for name, text in (
        ("de", "de-1\tEins\nde-2\tZwei\n"),
        ("en", "en-1\tTwo\n"),
        ("gold", "de-2\ten-1\n"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    rows = read("bucc", [tmp_path / name for name in ("de", "en", "gold")], language="de")
    assert [(row["id"], row["side"], row["relevant"]) for row in rows] == [
        ("de-1", "query", []),
        ("de-2", "query", ["en-1"]),
        ("en-1", "candidate", []),
    ]


def test_bucc_dev_sentences_lie_beside_the_test_set(tmp_path: Path) -> None:
    names = ("de", "en", "gold")
    for name, text in zip(names, ("de-1\tEins\n", "en-1\tOne\n", "de-1\ten-1\n"), strict=True):
        (tmp_path / name).write_text(text, encoding="utf-8")
    rows = read("bucc", [tmp_path / name for name in names * 2], language="de")
    assert [(row["id"], row["side"], row["relevant"]) for row in rows] == [
        ("de-1", "query", ["en-1"]),
        ("en-1", "candidate", []),
        ("dev/de-1", "dev_query", ["dev/en-1"]),
        ("dev/en-1", "dev_candidate", []),
    ]


CONTEXT = {
    "text": "A {note}. Ada wrote\nit {here}. End.",
    "language": "en",
    "sentence_spans": [{"start": 0, "end": 9}, {"start": 10, "end": 30}, {"start": 31, "end": 35}],
}
MENTION = {
    "example_id": "m1",
    "entity_id": "Q7259",
    "mention_span": {"start": 10, "end": 13, "text": "Ada"},
}
ENTITY = {
    "entity_id": "Q7259",
    "title": "Ada",
    "description": "Ada  Lovelace.\nA mathematician.",
    "description_language": "fr",
    "sentence_spans": [{"start": 0, "end": 14}, {"start": 15, "end": 31}],
}


def test_mewsli_x_pairs_mentions_and_entities(tmp_path: Path) -> None:
    pairs, mentions, entities = (
        tmp_path / "train.jsonl",
        tmp_path / "test.jsonl",
        tmp_path / "candidates.jsonl",
    )
    pair = {"contextual_mention": {"context": CONTEXT, "mention": MENTION}, "entity": ENTITY}
    pairs.write_text(json.dumps(pair) + "\n", encoding="utf-8")
    mentions.write_text(
        json.dumps({"context": CONTEXT, "mentions": [MENTION]}) + "\n", encoding="utf-8"
    )
    entities.write_text(json.dumps(ENTITY) + "\n", encoding="utf-8")
    archive = tmp_path / "candidates.jsonl.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(entities, "candidates.jsonl")
    query, candidate = read("mewsli_x", [pairs])
    assert query["text"] == "Ada: { Ada } wrote it (here)."
    assert query["relevant"] == ["Q7259"]
    assert candidate == {
        "id": "Q7259",
        "side": "candidate",
        "language": "fr",
        "text": "Ada Lovelace. A mathematician.",
        "context": "",
        "relevant": [],
    }
    assert read("mewsli_x", [mentions, archive]) == [query, candidate]
    assert len(read("mewsli_x", [mentions, archive], {"candidates": "english"}, language="de")) == 1


def test_plain_text_skips_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("one\n\n two\n", encoding="utf-8")
    assert read("plain_text", [path]) == [{"id": "0", "text": "one"}, {"id": "1", "text": " two"}]


def test_parquet_numbers_and_choice_keys(tmp_path: Path) -> None:
    path = tmp_path / "0000.parquet"
    record = {
        "question": "Where?",
        "choices": {"label": ["A", "B"], "text": ["here", "there"]},
        "answerKey": "B",
    }
    pq.write_table(pa.Table.from_pylist([record]), path)
    options = {
        "question": "question",
        "choices": "choices.text",
        "choice_keys": "choices.label",
        "label": "answerKey",
    }
    row = read("hub_parquet", [path], options)[0]
    assert (row["choices"], row["label"], row["context"]) == (["here", "there"], 1, "")
