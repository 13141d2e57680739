"""Readers by name, as data: the kinds of task they make rows of, and the options of each.

A task is checked against this when a study is read. The code is in data/readers; a test holds that
both agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

KindName = Literal[
    "classification", "multiple_choice", "tagging", "span_qa", "retrieval", "masked_lm"
]

Form = Literal["text", "texts", "text or texts", "integer", "share", "flag", "map"]


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a reader."""

    form: Form
    """`share` lies between 0 and 1; `flag` is true or false; `map` is text → text."""
    required: bool = False
    values: tuple[str, ...] = ()
    """The valid ones; () for any."""
    length: int = 0
    """Of `texts` that must be so many; 0 for any number but none."""


TEXT, NEEDED = Option(form="text"), Option(form="text", required=True)
FLAG, MAP, TEXTS = Option(form="flag"), Option(form="map"), Option(form="texts")

DEFECTS = {
    "answer_elsewhere": (
        "an answer is not at its offset but elsewhere in its context: moved to the nearest"
        " occurrence"
    ),
    "answer_missing": (
        "an answer does not occur in its context: kept for scoring with start -1, no use for"
        " training; where sentences are looked up, the question is left out"
    ),
    "candidate_missing": (
        "what a query looks up is not in the pool: taken out of its right candidates, and the query"
        " with them where none is left"
    ),
    "empty_text": "a text is empty: kept",
    "empty_word": "a word is empty: replaced by U+FFFD, the replacement character",
    "masked_text": "a UD sentence's words are hidden (`_`) for copyright: left out, as XTREME does",
    "repeated_id": "an id occurs again: the later ones get a number",
    "size": "a split has another number of examples than `sizes` says: read as it is",
    "unlabelled": "an example has no gold label: left out",
    "untagged_word": "a word has no tag: tagged O, or X where O is no tag, as XTREME does",
}
"""Defects that published data really contain → what happens to them where they are accepted: by
`--accept NAME` or `accept` in the reader's options up to a share of a split, by counts in a task's
`defects` exactly."""

SHARED: dict[str, Option] = {
    "accept": Option(form="texts", values=tuple(DEFECTS)),
    "hold_out": Option(form="share"),
    "ref": TEXT,
}
"""Options of every reader: `ref`, the hub ref whose commit is resolved; `hold_out`, the share of
the groups of rows that dev gets where it is read from the files of train."""

_RECORD: dict[str, Option] = {"id": TEXT, "name": TEXT, "where": MAP}
_CONTEXT = Option(form="texts", values=("context",))
_LABELS: dict[str, Option] = {"label_map": MAP, "label_names": TEXTS}
_ANSWERS: dict[str, Option] = {
    "answers": NEEDED,
    "starts": NEEDED,
    "context": NEEDED,
    "question": NEEDED,
}
RECORDS: dict[KindName, dict[str, Option]] = {
    "classification": {
        **_RECORD,
        **_LABELS,
        "text_a": NEEDED,
        "text_b": TEXT,
        "label": NEEDED,
        "optional": Option(form="texts", values=("text_b",)),
    },
    "multiple_choice": {
        **_RECORD,
        "label_map": MAP,
        "choices": Option(form="text or texts", required=True),
        "label": NEEDED,
        "context": TEXT,
        "question": TEXT,
        "question_map": MAP,
        "choice_keys": TEXT,
        "optional": Option(form="texts", values=("context", "question")),
    },
    "tagging": {**_RECORD, **_LABELS, "words": NEEDED, "tags": NEEDED},
    "span_qa": {**_RECORD, **_ANSWERS, "unanswerable": FLAG, "optional": _CONTEXT},
    "retrieval": {
        **_RECORD,
        "query": NEEDED,
        "candidate": NEEDED,
        "languages": Option(form="texts", length=2),
    },
    "masked_lm": {**_RECORD, "text": NEEDED},
}
"""Options of readers of flat records: columns by name."""

_TABLE: dict[str, Option] = {
    "delimiter": Option(form="text", values=("tab", "comma", "semicolon")),
    "columns": TEXTS,
}
_SQUAD: dict[str, Option] = {"unanswerable": FLAG, "id_prefix": TEXT, "held_out": FLAG}
_TEXTS_BY_ID: dict[str, Option] = {
    "form": Option(form="text", values=("lines", "ids", "xml")),
    "element": TEXT,
    "ids": TEXTS,
    "comments": TEXT,
}

READER_KINDS: Mapping[str, Mapping[KindName, Mapping[str, Option]]] = {
    "bucc": {"retrieval": {}},
    "ccg_auto": {"tagging": {"other": TEXT}},
    "conll": {
        "tagging": {
            "prefix": TEXT,
            "label_map": MAP,
            "word_column": Option(form="integer"),
            "tag_column": Option(form="integer"),
            "comments": TEXT,
        }
    },
    "conllu": {"tagging": {"words": Option(form="text", values=("syntactic", "xtreme"))}},
    "copa_xml": {"multiple_choice": {}},
    "delimited": {kind: {**options, **_TABLE} for kind, options in RECORDS.items()},
    "hub_parquet": RECORDS,
    "jsonl": {kind: {**options, "records": TEXT} for kind, options in RECORDS.items()},
    "mewsli_x": {"retrieval": {"candidates": Option(form="text", values=("all", "english"))}},
    "parallel_text": {
        "retrieval": {
            "query": Option(form="text", values=("other", "own")),
            "other": TEXT,
            **_TEXTS_BY_ID,
        }
    },
    "plain_text": {"masked_lm": _TEXTS_BY_ID},
    "squad_json": {"span_qa": {**_SQUAD, "optional": _CONTEXT}},
    # Columns where the files are Parquet; the JSON has its own names.
    "squad_pairs": {
        "retrieval": {
            **_SQUAD,
            **_RECORD,
            **{name: TEXT for name in _ANSWERS},
        }
    },
    "subjqa": {"span_qa": {"unanswerable": FLAG}},
    "word_order": {"classification": {}},
    "xquad_r": {"retrieval": {"candidates": Option(form="text", values=("all", "own"))}},
    # Not files but Python packages.
    "django_messages": {
        "classification": {"shuffled": Option(form="text", values=("yes",))},
        "retrieval": {"pairs": Option(form="text", values=("yes", "halves"), required=True)},
    },
    "pycountry_names": {
        "classification": {},
        "retrieval": {"pairs": Option(form="text", values=("yes", "official"), required=True)},
    },
}
"""Reader → kind → options, beside the shared ones."""

PACKAGE_READERS = ("django_messages", "pycountry_names")
"""Readers of Python packages, not of files."""


def options_of(reader: str, kind: KindName) -> dict[str, Option]:
    """All options of a reader that makes rows of this kind, by name."""
    return {**SHARED, **READER_KINDS[reader][kind]}


def option_fault(option: Option, value: Any) -> str:
    """What is wrong with the form of an option's value; '' where it is right."""
    if option.form == "flag":
        return "" if isinstance(value, bool) else "should be true or false"
    if option.form == "integer":
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return "" if is_number else "should be a whole number"
    if option.form == "share":
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if is_number and 0 < value < 1 else "should lie between 0 and 1"
    if option.form == "map":
        is_map = isinstance(value, Mapping) and value and all(map(_is_text, value.values()))
        return "" if is_map else "should be a mapping from text to text"
    many = isinstance(value, list | tuple)
    if many != (option.form == "texts") and not (many and option.form == "text or texts"):
        return "should be a list of texts" if option.form == "texts" else "should be a text"
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not items or not all(map(_is_text, items)) or len(set(items)) < len(items):
        return "should be texts, none of them twice" if many else "should be a text"
    if option.length and len(items) != option.length:
        return f"should be {option.length} texts"
    return ""


def _is_text(value: object) -> bool:
    return isinstance(value, str)
