"""How each real file is read, by the pattern of its path, and which are not read and why."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from scaling.catalogue.sets import NLI, UPOS
from scaling.catalogue.sources import COPA, COSMOS, NLI_NAMED
from tests.helpers.reading import SHARED

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
