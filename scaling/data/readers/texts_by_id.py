"""Texts that a file gives ids: verses, segments, numbered lines.

Option `form`:

    lines   (default) one text a line; its id is the line's number
    ids     an id, a tab and the text in each line; lines that begin with `comments` are none
    xml     elements with an id. `element`: their name, `seg` by default; `ids`: the attributes
            whose values are the id, joined by dots, each from the element or the innermost one
            around it that has it (`[id]` by default; `[bnumber, cnumber, vnumber]` where books and
            chapters number their verses)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from scaling.data.readers.raw import lines, open_text
from scaling.data.schema import BadData, ReadRequest

Text = tuple[str, str, str]
"""Place (file:line), id, text."""


def texts_by_id(request: ReadRequest, path: Path) -> Iterator[Text]:
    """All texts of a file in its order, empty ones too; BadData for an id that is there twice."""
    options = request.options
    form = options.get("form", "lines")
    if form != "xml" and (alien := {"element", "ids"} & set(options)):
        raise BadData(f"the option {min(alien)!r} belongs to `form: xml`")
    read = {"lines": _lines, "ids": _numbered_lines, "xml": _elements}[form]
    seen: dict[str, str] = {}
    for place, name, text in read(request, path):
        if seen.setdefault(name, place) != place:
            raise BadData(f"{place}: the id {name!r} is there twice, first at {seen[name]}")
        yield place, name, text


def _lines(request: ReadRequest, path: Path) -> Iterator[Text]:
    for number, (place, line) in enumerate(_uncommented(request, path)):
        yield place, str(number), line


def _numbered_lines(request: ReadRequest, path: Path) -> Iterator[Text]:
    for place, line in _uncommented(request, path):
        if not line.strip():
            continue
        name, tab, text = line.partition("\t")
        if not tab or not name.strip():
            raise BadData(f"{place}: an id, a tab and a text are due, found {line!r:.60}")
        yield place, name.strip(), text


def _uncommented(request: ReadRequest, path: Path) -> Iterator[tuple[str, str]]:
    comments = request.options.get("comments")
    return (
        (place, line) for place, line in lines(path) if not (comments and line.startswith(comments))
    )


def _elements(request: ReadRequest, path: Path) -> Iterator[Text]:
    element = request.options.get("element", "seg")
    attributes = request.options.get("ids", ("id",))
    parser = expat.ParserCreate()
    around: list[dict[str, str]] = []
    found: list[tuple[int, str, list[str]]] = []
    inside = 0

    def start(name: str, given: dict[str, str]) -> None:
        nonlocal inside
        around.append(given)
        if inside:
            inside += 1
        elif name.rpartition(":")[2] == element:
            inside = 1
            found.append((parser.CurrentLineNumber, _id(attributes, around), []))

    def end(name: str) -> None:
        nonlocal inside
        around.pop()
        inside = max(inside - 1, 0)

    def text(data: str) -> None:
        if inside:
            found[-1][2].append(data)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    try:
        with open_text(path) as stream:
            parser.Parse(stream.read(), True)
    except expat.ExpatError as error:
        raise BadData(f"{path}:{error.lineno}: broken XML: {error}") from error
    if not found:
        raise BadData(f"{path}: no element {element!r}; name the one of a text with `element`")
    for line, name, parts in found:
        if not name:
            raise BadData(f"{path}:{line}: <{element}> has no {' or '.join(attributes)}")
        # Line breaks and indents of XML are layout.
        yield f"{path}:{line}", name, " ".join("".join(parts).split())


def _id(attributes: tuple[str, ...] | list[str], around: list[dict[str, str]]) -> str:
    """The values of the attributes, of the innermost element that has each; '' where one lacks."""
    values = [
        next((given[name] for given in reversed(around) if name in given), "")
        for name in attributes
    ]
    return ".".join(values) if all(values) else ""
