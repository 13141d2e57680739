"""Every real file with a reader: as many rows as MANIFEST.tsv counts."""

from __future__ import annotations

import csv
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from reading import SHARED, needs_shared, num_examples, read

from scaling.catalogue.sets import NLI, UPOS
from scaling.catalogue.sources import COPA, COSMOS, NLI_NAMED

CSQA = {
    "question": "question.stem",
    "choices": "question.choices.text",
    "choice_keys": "question.choices.label",
    "label": "answerKey",
    "id": "id",
}
ENC = {"e": "entailment", "n": "neutral", "c": "contradiction"}
NER = ["O", *(f"{part}-{name}" for part in "BI" for name in ("PER", "ORG", "LOC", "DATE"))]
WNUT_NAMES = ("person", "location", "corporation", "group", "product", "creative-work")
WNUT = ["O", *(f"{part}-{name}" for part in "BI" for name in WNUT_NAMES)]
PAIR = {"text_a": "sentence1", "text_b": "sentence2"}
TWO = ("0", "1")

# path pattern → reader, options, labels
RULES: list[tuple[str, str, dict[str, Any], Any]] = [
    ("americasnli/*", "delimited", {**NLI_NAMED, "accept": ["empty_text"]}, NLI),
    ("americasnlp2021/*", "parallel_text", {"other": "es", "accept": ["empty_text"]}, ()),
    (
        "anli/*",
        "delimited",
        {
            "text_a": "context",
            "text_b": "hypothesis",
            "label": "label",
            "id": "uid",
            "label_map": ENC,
        },
        NLI,
    ),
    ("commonsenseqa/*", "jsonl", CSQA, ()),
    ("copa/*", "copa_xml", {}, ()),
    ("cosmosqa/*", "delimited", COSMOS, ()),
    ("format_samples/*/commonsenseqa.jsonl", "jsonl", CSQA, ()),
    ("format_samples/*/snli.jsonl", "jsonl", {**PAIR, "label": "gold_label", "id": "pairID"}, NLI),
    ("format_samples/*/squad.json", "squad_json", {}, ()),
    (
        "format_samples/*/squad2.json",
        "squad_json",
        {"unanswerable": True, "accept": ["repeated_id"]},
        (),
    ),
    (
        "format_samples/*/swag.csv",
        "delimited",
        {
            "context": "sent1",
            "question": "sent2",
            "choices": [f"ending{n}" for n in range(4)],
            "label": "label",
        },
        (),
    ),
    (
        "hellaswag/*",
        "jsonl",
        {"context": "ctx", "choices": "endings", "label": "label", "id": "ind"},
        (),
    ),
    ("lafand_mt/*", "parallel_text", {"accept": ["empty_text"]}, ()),
    ("lareqa/*", "xquad_r", {"candidates": "own"}, ()),
    ("masakhaner2/*", "conll", {}, NER),
    ("masakhapos/*", "conll", {}, UPOS),
    (
        "msrp_qqp_standin/*",
        "delimited",
        {"text_a": "#1 String", "text_b": "#2 String", "label": "Quality"},
        TWO,
    ),
    ("nli_en/rte/*", "delimited", NLI_NAMED, ("entailment", "not_entailment")),
    ("nli_en/scitail/*", "delimited", NLI_NAMED, ("entailment", "not_entailment")),
    ("nli_en/*", "delimited", NLI_NAMED, NLI),
    ("pawsx/*", "delimited", {**PAIR, "label": "label", "id": "id"}, TWO),
    ("squad/*", "squad_json", {}, ()),
    ("subjqa/*", "subjqa", {"unanswerable": True, "accept": ["answer_missing"]}, ()),
    ("tatoeba/*", "parallel_text", {}, ()),
    ("ud/*", "conllu", {}, UPOS),
    ("wnut17/*", "conll", {}, WNUT),
    ("xcopa/*", "jsonl", COPA, ()),
    (
        "xnli_other/indonli*",
        "jsonl",
        {**NLI_NAMED, "id": "pair_id", "label_map": ENC, "accept": ["repeated_id"]},
        NLI,
    ),
    (
        "xnli_other/xglue*",
        "delimited",
        {**NLI_NAMED, "columns": ["premise", "hypothesis", "label"]},
        NLI,
    ),
    ("xnli_other/xnli*", "delimited", {**PAIR, "label": "gold_label"}, NLI),
    ("xquad/*", "squad_json", {}, ()),
]

NOT_READ = {
    "flores_v1/flores_test_sets.tgz": (
        "an archive of many files; unpacked, parallel_text reads them"
    ),
    "format_samples/allennlp/piqa.jsonl": "the sample has no labels",
    "udhr/udhr_declarations.tar.gz": "an archive of HTML pages, text for nobody's task",
    "wnut17/emerging.test.conll": (
        "keeps the annotators' disagreements; emerging.test.annotated is the gold"
    ),
}


def manifest() -> list[dict[str, str]]:
    if not SHARED.is_dir():
        return []
    with (SHARED / "MANIFEST.tsv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def files_of(path: str) -> list[Path]:
    """The file, and its other half where sentences are parallel."""
    file = SHARED / path
    if path.startswith("tatoeba/"):
        pair = file.name.split(".")[1]
        return [file, file.with_name(f"tatoeba.{pair}.{pair.removesuffix('-eng')}")]
    if path.startswith(("lafand_mt/", "americasnlp2021/")):
        split = file.name.split(".")[0]
        return [
            file,
            next(other for other in sorted(file.parent.glob(f"{split}.*")) if other != file),
        ]
    return [file]


@needs_shared
def test_every_file_of_the_manifest_is_read_or_has_a_reason() -> None:
    counts, wrong = 0, []
    for entry in manifest():
        path = entry["path"]
        if path in NOT_READ:
            continue
        rule = next((rule for rule in RULES if fnmatch(path, rule[0])), None)
        assert rule is not None, f"{path} has neither a reader here nor a reason in NOT_READ"
        rows = read(rule[1], files_of(path), rule[2], labels=rule[3], language=entry["language"])
        counts += 1
        if num_examples(rows) != int(entry["n_examples"]):
            wrong.append((path, num_examples(rows), entry["n_examples"]))
    assert not wrong
    assert counts == len(manifest()) - len(NOT_READ) > 590


@needs_shared
@pytest.mark.parametrize(
    "path",
    ["ud/UD_Spanish-PUD/es_pud-ud-test.conllu.gz", "ud/UD_English-EWT/en_ewt-ud-dev.conllu.gz"],
)
def test_fused_words_leave_the_sentences_as_they_are(path: str) -> None:
    own, fused = (
        read("conllu", [SHARED / path], {"words": words}, labels=UPOS)
        for words in ("syntactic", "xtreme")
    )
    assert [row["id"] for row in own] == [row["id"] for row in fused]
    assert sum(len(row["words"]) for row in fused) < sum(len(row["words"]) for row in own)


@needs_shared
def test_lareqa_has_the_candidates_that_its_readme_counts() -> None:
    every = sorted((SHARED / "lareqa/xquad-r").glob("*.json.gz"))
    rows = read("xquad_r", [SHARED / "lareqa/xquad-r/th.json.gz", *every], language="th")
    queries = [row for row in rows if row["side"] == "query"]
    candidates = {row["id"]: row["language"] for row in rows if row["side"] == "candidate"}
    assert (len(queries), len(candidates)) == (1190, 13014)
    assert list(candidates.values()).count("th") == 852
    for row in queries:
        assert sorted({candidates[name] for name in row["relevant"]}) == sorted(
            {*candidates.values()}
        )


@needs_shared
def test_squad_without_the_paragraphs_of_xquad() -> None:
    files = [SHARED / "squad/squad1.1_dev_orig.json.gz", SHARED / "xquad/xquad.en.json.gz"]
    assert len(read("squad_json", files, {"held_out": True})) == 931
