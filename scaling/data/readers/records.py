"""Flat records (a CSV row, a JSON object, a Parquet row) → rows of a kind, by column mapping.

Options name columns; a dotted name goes into nested values and maps over lists
(`question.choices.text`).

    text_a, text_b?, label                          classification choices, context?, question?,
    label             multiple_choice: one column that holds a list, or a list of columns tags,
    words                                     tagging answers, starts, context, question
    span_qa query, candidate, languages?                    retrieval: pairs of one record each, in
    [own, en] by default
    text                                            masked_lm

Any kind: `id`, a column, or `name`, which then stands before the row's number (for tasks of several
sources); `where` {column: value}, a filter in which {lang} is the upstream language code;
`label_map` {raw: ours}; for numbers as labels or tags `label_names`, the names upstream in their
order. Multiple choice: `question_map` {raw: text}; `choice_keys`, the column of the choices' names,
one of which is `label`. span_qa: `unanswerable: true` where questions may have no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from scaling.data.readers.raw import checked_options, defect, filled, numbered
from scaling.data.readers.spans import checked_answer
from scaling.data.schema import BadData, ReadRequest, Row
from scaling.spec import UserError, did_you_mean

Record = Mapping[str, Any]
_SHARED = {"id", "name", "where", "label_map", "label_names"}


def rows(
    request: ReadRequest,
    files: Iterable[Iterator[tuple[str, Record]]],
    own_options: set[str] | None = None,
) -> Iterator[Row]:
    """Rows of the kind that the options describe, from (place, record) by file. Raises BadData with
    the place.
    """
    marker = next((marker for marker in _KINDS if marker in request.options), None)
    if marker is None:
        raise UserError(
            f"reader options {sorted(request.options)} name no kind: one of {sorted(_KINDS)} is"
            " needed"
        )
    options, build = _KINDS[marker]
    checked_options(request, _SHARED | options | {marker} | (own_options or set()))
    where = {
        column: filled(str(value), request)
        for column, value in request.options.get("where", {}).items()
    }
    for file, records in enumerate(files):
        number = 0
        for place, record in records:
            if any(
                str(value_at(place, record, column)) != value for column, value in where.items()
            ):
                continue
            column = request.options.get("id")
            row_id = (
                str(value_at(place, record, column)) if column else numbered(request, file, number)
            )
            number += 1
            yield from build(request, place, record, row_id)


def value_at(place: str, record: Record, path: str) -> Any:
    """The value at a dotted path; BadData names the columns there are."""
    value: Any = record
    for part in path.split("."):
        try:
            value = [item[part] for item in value] if isinstance(value, list) else value[part]
        except (KeyError, TypeError, IndexError) as error:
            there = sorted(value) if isinstance(value, Mapping) else type(value).__name__
            raise BadData(f"{place}: no column {path!r}; there: {there}") from error
    return value


def _text(request: ReadRequest, place: str, record: Record, option: str) -> str:
    """The text in the column that `option` names; empty where the option is not given."""
    if option not in request.options:
        return ""
    value = value_at(place, record, request.options[option])
    if not isinstance(value, str):
        raise BadData(f"{place}: {request.options[option]!r} should be text, found {value!r}")
    if not value.strip():
        defect(request, "empty_text", place, f"{request.options[option]!r} is empty")
    return value


def _name(request: ReadRequest, place: str, raw: Any) -> str:
    """The upstream name of a label or tag, mapped to ours."""
    names = request.options.get("label_names")
    if names is not None:
        if not isinstance(raw, int) or not 0 <= raw < len(names):
            raise BadData(
                f"{place}: label {raw!r} is not one of 0 to {len(names) - 1} ({', '.join(names)})"
            )
        raw = names[raw]
    return mapped(request, place, str(raw))


def mapped(request: ReadRequest, place: str, raw: str) -> str:
    """Our name of an upstream label or tag, by the option `label_map`."""
    mapping = request.options.get("label_map", {})
    if mapping and raw not in mapping:
        raise BadData(f"{place}: unknown label {raw!r}. {did_you_mean(raw, mapping)}")
    return mapping.get(raw, raw)


def _known(request: ReadRequest, place: str, label: str) -> str:
    if label not in request.labels:
        raise BadData(f"{place}: unknown label {label!r}. {did_you_mean(label, request.labels)}")
    return label


_UNLABELLED = (None, "", "-", -1, "-1")


def _classification(request: ReadRequest, place: str, record: Record, row_id: str) -> Iterator[Row]:
    raw = value_at(place, record, request.options["label"])
    if raw in _UNLABELLED:
        defect(request, "unlabelled", place, f"no gold label ({raw!r})")
        return
    yield {
        "id": row_id,
        "text_a": _text(request, place, record, "text_a"),
        "text_b": _text(request, place, record, "text_b"),
        "label": _known(request, place, _name(request, place, raw)),
    }


def _multiple_choice(
    request: ReadRequest, place: str, record: Record, row_id: str
) -> Iterator[Row]:
    options = request.options
    columns = options["choices"]
    choices = (
        list(value_at(place, record, columns))
        if isinstance(columns, str)
        else [value_at(place, record, column) for column in columns]
    )
    raw = value_at(place, record, options["label"])
    if raw in _UNLABELLED:
        defect(request, "unlabelled", place, f"no right answer ({raw!r})")
        return
    keys = value_at(place, record, options["choice_keys"]) if "choice_keys" in options else None
    if keys is not None and raw not in keys:
        raise BadData(f"{place}: unknown choice {raw!r}. {did_you_mean(str(raw), keys)}")
    name = str(keys.index(raw)) if keys is not None else _name(request, place, raw)
    if not name.isdecimal() or int(name) >= len(choices):
        raise BadData(f"{place}: the right answer {raw!r} is not one of 0 to {len(choices) - 1}")
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        defect(request, "empty_text", place, f"one of the choices {choices} is empty")
    question = _text(request, place, record, "question")
    if "question_map" in options:
        if question not in options["question_map"]:
            raise BadData(
                f"{place}: unknown question {question!r}."
                f" {did_you_mean(question, options['question_map'])}"
            )
        question = options["question_map"][question]
    yield {
        "id": row_id,
        "context": _text(request, place, record, "context"),
        "question": question,
        "choices": choices,
        "label": int(name),
    }


def _tagging(request: ReadRequest, place: str, record: Record, row_id: str) -> Iterator[Row]:
    words = list(value_at(place, record, request.options["words"]))
    tags = list(value_at(place, record, request.options["tags"]))
    if len(words) != len(tags) or not words:
        raise BadData(f"{place}: {len(words)} words and {len(tags)} tags")
    yield tagged(request, place, row_id, words, [_name(request, place, tag) for tag in tags])


def tagged(request: ReadRequest, place: str, row_id: str, words: list[str], tags: list[str]) -> Row:
    """A sentence of kind tagging whose tags are all known and whose words are not empty."""
    for at, word in enumerate(words):
        if not word.strip():
            defect(request, "empty_word", place, f"word {at + 1} is empty")
            words[at] = "\ufffd"
    return {"id": row_id, "words": words, "tags": [_known(request, place, tag) for tag in tags]}


def _span_qa(request: ReadRequest, place: str, record: Record, row_id: str) -> Iterator[Row]:
    texts = list(value_at(place, record, request.options["answers"]))
    starts = list(value_at(place, record, request.options["starts"]))
    if len(texts) != len(starts):
        raise BadData(f"{place}: {len(texts)} answers with {len(starts)} offsets")
    yield question(
        request,
        place,
        row_id,
        value_at(place, record, request.options["context"]),
        _text(request, place, record, "question"),
        list(zip(texts, starts, strict=True)),
    )


def question(
    request: ReadRequest,
    place: str,
    row_id: str,
    context: str,
    text: str,
    answers: list[tuple[str, int]],
) -> Row:
    """A row of kind span_qa whose answers are where they say."""
    if not answers and not request.options.get("unanswerable"):
        raise BadData(
            f"{place}: question {row_id!r} has no answer; set `unanswerable: true` where that is"
            " meant"
        )
    return {
        "id": row_id,
        "context": context,
        "question": text,
        "answers": [
            checked_answer(request, place, context, answer, start) for answer, start in answers
        ],
    }


def _retrieval(request: ReadRequest, place: str, record: Record, row_id: str) -> Iterator[Row]:
    languages = [
        request.language if code == "own" else code
        for code in request.options.get("languages", ["own", "en"])
    ]
    yield from pair(
        row_id,
        languages,
        _text(request, place, record, "query"),
        _text(request, place, record, "candidate"),
    )


def pair(
    row_id: str, languages: list[str], query: str, candidate: str, context: str = ""
) -> Iterator[Row]:
    """A query and the one candidate that is right for it. `languages`: of the query, of the
    candidate.
    """
    yield {
        "id": f"q{row_id}",
        "side": "query",
        "language": languages[0],
        "text": query,
        "context": "",
        "relevant": [f"c{row_id}"],
    }
    yield {
        "id": f"c{row_id}",
        "side": "candidate",
        "language": languages[1],
        "text": candidate,
        "context": context,
        "relevant": [],
    }


def _masked_lm(request: ReadRequest, place: str, record: Record, row_id: str) -> Iterator[Row]:
    yield {"id": row_id, "text": _text(request, place, record, "text")}


Build = Callable[[ReadRequest, str, Record, str], Iterator[Row]]
_KINDS: dict[str, tuple[set[str], Build]] = {
    "choices": ({"context", "question", "label", "question_map", "choice_keys"}, _multiple_choice),
    "tags": ({"words"}, _tagging),
    "answers": ({"starts", "context", "question", "unanswerable"}, _span_qa),
    "candidate": ({"query", "languages"}, _retrieval),
    "text_a": ({"text_b", "label"}, _classification),
    "text": (set(), _masked_lm),
}
