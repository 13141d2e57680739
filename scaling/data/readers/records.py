"""Flat records (a CSV row, a JSON object, a Parquet row) → rows of a kind, by column mapping.

Options name columns; a dotted name goes into nested values and maps over lists
(`question.choices.text`).

    text_a, text_b?, label                  classification
    choices, context?, question?, label     multiple_choice: a column that holds a list, or a list
                                            of columns
    tags, words                             tagging
    answers, starts, context, question      span_qa
    query, candidate, languages?            retrieval: pairs of one record each, in [own, en] by
                                            default
    text                                    masked_lm

Any kind: `id`, a column, or `name`, which then stands before the row's number (for tasks of several
sources); `where` {column: value}, a filter in which {lang} is the upstream language code;
{lang} stands for it in names of columns too (a table with a column per language); `label_map` {raw:
ours}; for numbers as labels or tags `label_names`, the names upstream in their
order. Multiple choice: `question_map` {raw: text}; `choice_keys`, the column of the choices' names,
one of which is `label`. span_qa: `unanswerable: true` where questions may have no answer.
`optional`: which of context, question and text_b a row may lack (no such column, null or blank):
such rows are counted; of span_qa, where nobody could answer them, they are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from scaling.data.readers.raw import (
    defect,
    filled,
    id_of,
    list_of,
    number_of,
    numbered,
    text_of,
    texts_of,
)
from scaling.data.readers.spans import checked_answer
from scaling.data.schema import BadData, ReadRequest, Row
from scaling.typos import did_you_mean

Record = Mapping[str, Any]


def rows(
    request: ReadRequest,
    files: Iterable[Iterator[tuple[str, Record]]],
    named: Collection[int] = (),
) -> Iterator[Row]:
    """Rows of the kind that the options describe; BadData names the place.

    files: (place, record) of each file. named: numbers of the files that name their classes
    themselves; there a label is a name already.
    """
    build = next((build for marker, build in _KINDS.items() if marker in request.options), None)
    if build is None:
        raise BadData(
            f"reader options {sorted(request.options)} name no kind: one of {sorted(_KINDS)} is"
            " needed"
        )
    request = replace(request, options=_filled(request))
    where = request.options.get("where", {})
    unnumbered = replace(
        request,
        options={name: own for name, own in request.options.items() if name != "label_names"},
    )
    for file, records in enumerate(files):
        number = 0
        for place, record in records:
            if any(
                str(value_at(place, record, column)) != value for column, value in where.items()
            ):
                continue
            row_id = _id(request, place, record) or numbered(request, file, number)
            number += 1
            yield from build(unnumbered if file in named else request, place, record, row_id)


_COLUMNS = (
    "answers",
    "candidate",
    "choice_keys",
    "choices",
    "context",
    "id",
    "label",
    "query",
    "question",
    "starts",
    "tags",
    "text",
    "text_a",
    "text_b",
    "where",
    "words",
)


def _filled(request: ReadRequest) -> dict[str, Any]:
    """The options, {lang} in names of columns and in the filter replaced by the upstream code."""

    def fill(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                filled(column, request): filled(wanted, request) for column, wanted in value.items()
            }
        many = isinstance(value, list | tuple)
        return [filled(one, request) for one in value] if many else filled(value, request)

    return {
        name: fill(value) if name in _COLUMNS else value for name, value in request.options.items()
    }


def _id(request: ReadRequest, place: str, record: Record) -> str:
    """The id in the record; '' where the options name no column of ids."""
    column = request.options.get("id")
    return "" if column is None else id_of(place, column, value_at(place, record, column))


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
    column = request.options[option]
    if _is_absent(request, record, option):
        request.counts[f"rows without a {option}"] += 1
        return ""
    value = text_of(place, column, value_at(place, record, column))
    if not value.strip():
        defect(request, "empty_text", place, f"{request.options[option]!r} is empty")
    return value


def _is_absent(request: ReadRequest, record: Record, option: str) -> bool:
    """Whether a text that the task lets be absent (`optional`) is: no column, null, or blank."""
    if option not in request.options.get("optional", ()):
        return False
    value: Any = record
    for part in str(request.options[option]).split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value is None or (isinstance(value, str) and not value.strip())


def _name(request: ReadRequest, place: str, raw: Any) -> str:
    """The upstream name of a label or tag, mapped to ours."""
    names = request.options.get("label_names")
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        raise BadData(f"{place}: a label should be text or a whole number, found {raw!r:.60}")
    if names is not None:
        if not isinstance(raw, int) or not 0 <= raw < len(names):
            raise BadData(
                f"{place}: label {raw!r} is not one of 0 to {len(names) - 1} ({', '.join(names)})"
            )
        raw = names[raw]
    return mapped(request, place, text_of(place, "label", str(raw)))


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


_UNLABELLED = ("", "-", "-1")


def _is_unlabelled(request: ReadRequest, raw: Any) -> bool:
    """Whether a value says that there is no gold label: never one that the task names."""
    if raw is None:
        return True
    given = {*request.options.get("label_map", {}), *request.labels}
    return str(raw) in _UNLABELLED and str(raw) not in given


def _classification(request: ReadRequest, place: str, record: Record, row_id: str) -> Iterator[Row]:
    raw = value_at(place, record, request.options["label"])
    if _is_unlabelled(request, raw):
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
    raw = value_at(place, record, options["label"])
    if _is_unlabelled(request, raw):
        defect(request, "unlabelled", place, f"no right answer ({raw!r})")
        return
    choices, label = _choices(request, place, record, raw)
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
        "label": label,
    }


def _choices(request: ReadRequest, place: str, record: Record, raw: Any) -> tuple[list[str], int]:
    """The choices that are there, and the number of the right one among them.

    Exams have four options here and five there: an empty one is none, and nobody can guess it.
    """
    columns = request.options["choices"]
    found = (
        list_of(place, columns, value_at(place, record, columns))
        if isinstance(columns, str)
        else [value_at(place, record, column) for column in columns]
    )
    if "choice_keys" in request.options:
        column = request.options["choice_keys"]
        keys = texts_of(place, column, value_at(place, record, column))
        if len(keys) != len(found):
            raise BadData(f"{place}: {len(found)} choices and {len(keys)} names of choices")
        if keys.count(str(raw)) != 1:
            raise BadData(f"{place}: unknown choice {raw!r}. {did_you_mean(str(raw), keys)}")
        name = str(keys.index(str(raw)))
    else:
        name = _name(request, place, raw)
    if not (name.isascii() and name.isdecimal()) or int(name) >= len(found):
        raise BadData(f"{place}: the right answer {raw!r} is not one of 0 to {len(found) - 1}")
    right = int(name)
    present = [
        at
        for at, choice in enumerate(found)
        if choice is not None and text_of(place, "choices", choice).strip()
    ]
    if right not in present or len(present) < 2:
        raise BadData(f"{place}: one of the choices {found} is empty, and it is the right one")
    if len(present) < len(found):
        request.counts["choices that are not there"] += len(found) - len(present)
    return [found[at] for at in present], present.index(right)


def _tagging(request: ReadRequest, place: str, record: Record, row_id: str) -> Iterator[Row]:
    options = request.options
    words = texts_of(place, options["words"], value_at(place, record, options["words"]))
    tags = list_of(place, options["tags"], value_at(place, record, options["tags"]))
    if len(words) != len(tags) or not words:
        raise BadData(f"{place}: {len(words)} words and {len(tags)} tags")
    yield tagged(request, place, row_id, words, [_name(request, place, tag) for tag in tags])


def tagged(request: ReadRequest, place: str, row_id: str, words: list[str], tags: list[str]) -> Row:
    """A sentence of kind tagging whose tags are all known and whose words are not empty.

    Args:
        request: The task's labels and accepted defects.
        place: `file:line`.
        row_id: Its id.
        words: Its words; empty ones are replaced in place.
        tags: Our name of the tag of each word.
    """
    for at, word in enumerate(words):
        if not text_of(place, f"word {at + 1}", word).strip():
            defect(request, "empty_word", place, f"word {at + 1} is empty")
            words[at] = "\ufffd"
    return {"id": row_id, "words": words, "tags": [_known(request, place, tag) for tag in tags]}


def _span_qa(request: ReadRequest, place: str, record: Record, row_id: str) -> Iterator[Row]:
    options = request.options
    if _is_absent(request, record, "context"):
        request.counts["questions without a context, left out"] += 1
        return
    texts = texts_of(place, options["answers"], value_at(place, record, options["answers"]))
    starts = list_of(place, options["starts"], value_at(place, record, options["starts"]))
    if len(texts) != len(starts):
        raise BadData(f"{place}: {len(texts)} answers with {len(starts)} offsets")
    yield question(
        request,
        place,
        row_id,
        value_at(place, record, options["context"]),
        _text(request, place, record, "question"),
        list(zip(texts, starts, strict=True)),
    )


def question(
    request: ReadRequest,
    place: str,
    row_id: Any,
    context: Any,
    text: Any,
    answers: list[tuple[Any, Any]],
) -> Row:
    """A row of kind span_qa whose answers are where they say.

    Args:
        request: Its options count, and the defects that it accepts.
        place: `file:line`.
        row_id: Its id.
        context: The text that has the answers.
        text: The question.
        answers: Text and first code point in `context` of each right answer.
    """
    row_id, context = id_of(place, "id", row_id), text_of(place, "context", context)
    text = text_of(place, "question", text)
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
            checked_answer(
                request,
                place,
                context,
                text_of(place, "answers", answer),
                number_of(place, "answer_start", start),
            )
            for answer, start in answers
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
    """A query and the one candidate that is right for it.

    Args:
        row_id: The id of both, behind `q` and `c`.
        languages: Of the query, of the candidate.
        query: Text.
        candidate: Text.
        context: What surrounds the candidate.
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
# The option that tells the kind.
_KINDS: dict[str, Build] = {
    "choices": _multiple_choice,
    "tags": _tagging,
    "answers": _span_qa,
    "candidate": _retrieval,
    "text_a": _classification,
    "text": _masked_lm,
}
