"""Mewsli-X's JSON lines: mentions in context, looked up among descriptions of a million entities.

Two forms. The organisers' own: files with a mention and its entity in each line
(`contextual_mention`, `entity`: the Wikipedia pairs for training) give both sides; files of
mentions (`context` with `mention` or `mentions`) give queries; files of entities give candidates.
The hub's (izhx/mewsli-x, process.py there): the same with its texts put together already, `mention`
and `entity` for training, `mention` and `entity_id` for tests, `entity_id` and `description` for
entities. Its training pairs name no entity: there a description is its own id. Option `candidates`:
`all` (default) writes the entities into every language's rows, `english` only into English's, for a
pool that is put together later. Texts are put together as by utils_mewslix.py at
google-research/xtreme@66367fa.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from scaling.data.readers.raw import defect, json_lines, number_of, numbered, text_of
from scaling.data.schema import BadData, ReadRequest, Row

_BRACES = re.compile(r"\{(.*?)\}")


def read_mewsli_x(request: ReadRequest) -> Iterator[Row]:
    """Queries and candidates, in file order; an entity that several pairs name is one candidate."""
    scope = request.options.get("candidates", "all")
    seen: set[str] = set()
    for file, path in enumerate(request.files):
        for number, (place, record) in enumerate(json_lines(path)):
            try:
                if isinstance(record.get("mention"), str):
                    row_id = record.get("example_id", numbered(request, file, number))
                    entity = _entity(place, record)
                    yield _asked(
                        text_of(place, "example_id", row_id),
                        request,
                        text_of(place, "mention", record["mention"]),
                        entity["entity_id"],
                    )
                    if "entity" not in record:
                        continue
                elif "contextual_mention" in record:
                    together = record["contextual_mention"]
                    yield _query(request, place, together["context"], together["mention"])
                    entity = record["entity"]
                elif "context" in record:
                    mentions = record["mentions"] if "mentions" in record else [record["mention"]]
                    for mention in mentions:
                        yield _query(request, place, record["context"], mention)
                    continue
                elif scope == "english" and request.language != "en":
                    continue
                else:
                    entity = record
                name = text_of(place, "entity_id", entity["entity_id"])
                if name not in seen:
                    seen.add(name)
                    yield _candidate(request, place, entity)
            except (KeyError, TypeError, AttributeError) as error:
                raise BadData(
                    f"{place}: not a line of Mewsli-X: {error!r}; there: {sorted(record)}"
                ) from error


def _query(
    request: ReadRequest, place: str, context: dict[str, Any], mention: dict[str, Any]
) -> Row:
    """`Smith: The verdict came for { Smith }, who …`: the mention, then the sentence around it."""
    text, span = text_of(place, "text", context["text"]), mention["mention_span"]
    start = number_of(place, "start", span["start"])
    end = number_of(place, "end", span["end"])
    if text[start:end] != span["text"]:
        raise BadData(
            f"{place}: the mention {span['text']!r} is not at {start} to {end} of its context"
        )
    holding = [
        s for s in context["sentence_spans"] if s["start"] <= start < s["end"] and end <= s["end"]
    ]
    if not holding:
        raise BadData(f"{place}: the mention {span['text']!r} is not inside one sentence")
    left = _BRACES.sub(r"(\1)", text[holding[0]["start"] : start])
    right = _BRACES.sub(r"(\1)", text[end : holding[0]["end"]])
    marked = _on_one_line(f"{span['text']}: {left} {{ {span['text']} }} {right}")
    row_id = text_of(place, "example_id", mention["example_id"])
    return _asked(row_id, request, marked, text_of(place, "entity_id", mention["entity_id"]))


def _asked(row_id: str, request: ReadRequest, text: str, entity_id: str) -> Row:
    return {
        "id": row_id,
        "side": "query",
        "language": request.language,
        "text": text,
        "context": "",
        "relevant": [entity_id],
    }


def _entity(place: str, record: dict[str, Any]) -> dict[str, Any]:
    """What a line of the hub's form names: an entity by its id, or by its description alone."""
    if "entity" not in record:
        return {"entity_id": text_of(place, "entity_id", record["entity_id"])}
    text = text_of(place, "entity", record["entity"])
    return {
        "entity_id": f"text-{hashlib.sha256(text.encode()).hexdigest()[:32]}",
        "description": text,
    }


def _candidate(request: ReadRequest, place: str, entity: dict[str, Any]) -> Row:
    description = text_of(place, "description", entity["description"])
    spans = entity.get("sentence_spans")
    text = _on_one_line(
        description
        if spans is None
        else " ".join(description[span["start"] : span["end"]] for span in spans)
    )
    if not text:
        defect(request, "empty_text", place, f"entity {entity['entity_id']!r} has no description")
    return {
        "id": entity["entity_id"],
        "side": "candidate",
        # '' in the hub's pairs, which do not say.
        "language": text_of(place, "description_language", entity.get("description_language", "")),
        "context": "",
        "text": text,
        "relevant": [],
    }


def _on_one_line(text: str) -> str:
    return " ".join(text.splitlines()).replace("  ", " ").strip()
