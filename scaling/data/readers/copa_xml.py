"""COPA's XML: items with a premise, two alternatives and what is asked for, cause or effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from scaling.catalogue.sources import COPA_QUESTIONS
from scaling.data.readers.raw import only_file, open_text
from scaling.data.schema import BadData, ReadRequest, Row
from scaling.typos import did_you_mean


def read_copa_xml(request: ReadRequest) -> Iterator[Row]:
    """One row per item, its id the item's."""
    (path,) = only_file(request)
    items: list[tuple[str, dict[str, str]]] = []
    pieces: list[str] = []
    parser = expat.ParserCreate()
    inside = ""

    def doctype(name: str, system: str | None, public: str | None, has_subset: bool) -> None:
        # COPA's own files name a DTD, which nobody fetches. Entities are declared in a subset, and
        # a few lines of them make gigabytes.
        if has_subset:
            raise BadData(f"{path}:{parser.CurrentLineNumber}: a DOCTYPE with declarations")

    def keep() -> None:
        if inside and items:
            items[-1][1][inside] = items[-1][1].get(inside, "") + "".join(pieces)
        pieces.clear()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal inside
        keep()
        if name == "item":
            items.append((f"{path}:{parser.CurrentLineNumber}", dict(attributes)))
        inside = name if name in ("p", "a1", "a2") else ""

    def end(name: str) -> None:
        nonlocal inside
        keep()
        inside = ""

    def text(data: str) -> None:
        if inside:
            pieces.append(data)

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = (
        start,
        end,
        text,
    )
    try:
        with open_text(path) as stream:
            parser.Parse(stream.read(), True)
    except expat.ExpatError as error:
        raise BadData(f"{path}:{error.lineno}: broken XML: {error}") from error
    for place, item in items:
        yield _row(place, item)


def _row(place: str, item: dict[str, Any]) -> Row:
    missing = {"id", "asks-for", "most-plausible-alternative", "p", "a1", "a2"} - set(item)
    if missing:
        raise BadData(f"{place}: the item has no {', '.join(sorted(missing))}")
    if item["asks-for"] not in COPA_QUESTIONS:
        raise BadData(
            f"{place}: asks for {item['asks-for']!r}."
            f" {did_you_mean(item['asks-for'], COPA_QUESTIONS)}"
        )
    if item["most-plausible-alternative"] not in ("1", "2"):
        raise BadData(
            f"{place}: the right alternative {item['most-plausible-alternative']!r} is not 1 or 2"
        )
    return {
        "id": item["id"],
        "context": item["p"].strip(),
        "question": COPA_QUESTIONS[item["asks-for"]],
        "choices": [item["a1"].strip(), item["a2"].strip()],
        "label": int(item["most-plausible-alternative"]) - 1,
    }
