"""What tasks and models cite: the entries of references.bib, by key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scaling.spec import BadFile, read_text

BIBLIOGRAPHY = Path(__file__).with_name("references.bib")

_ENTRY = re.compile(r"@(?P<kind>[a-z]+)\{(?P<key>[a-z0-9]+),\n(?P<fields>(?:  .+\n)+)\}\n")
_FIELD = re.compile(r"  (?P<name>[a-z]+) = \{(?P<value>.+)\},")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An entry of the bibliography."""

    key: str
    source: str
    """An address where the entry's words were read, `package:NAME` (metadata), or `unseen`."""
    bibtex: str
    """The entry as it stands in the file."""


def parse_references(text: str, name: str) -> dict[str, Reference]:
    """Every entry of a bibliography, by key.

    One field a line, a `source` in each. BadFile names the line of what is no such entry, of a key
    that is there twice, and of braces that do not close.
    """
    found: dict[str, Reference] = {}
    at = 0
    while at < len(text):
        line = text.count("\n", 0, at) + 1
        if text[at] in "%\n":
            at = text.find("\n", at) + 1 or len(text)
            continue
        entry = _ENTRY.match(text, at)
        if entry is None:
            raise BadFile(f"{name}:{line}: no entry of a bibliography, one field a line")
        key, fields = entry["key"], {}
        for number, stated in enumerate(entry["fields"].splitlines(), start=line + 1):
            field = _FIELD.fullmatch(stated)
            if field is None or not _closed(field["value"]):
                raise BadFile(f"{name}:{number}: {key}: no field in braces that close")
            fields[field["name"]] = field["value"]
        if key in found:
            raise BadFile(f"{name}:{line}: {key} is there twice")
        if not {"author", "title", "source"} <= fields.keys():
            raise BadFile(f"{name}:{line}: {key} needs author, title and source")
        found[key] = Reference(key=key, source=fields["source"], bibtex=entry[0].strip())
        at = entry.end()
    return found


def _closed(value: str) -> bool:
    depth = 0
    for char in value:
        depth += (char == "{") - (char == "}")
        if depth < 0:
            return False
    return depth == 0


@cache
def references() -> dict[str, Reference]:
    """The entries of the catalogue's bibliography, by key."""
    return parse_references(read_text(BIBLIOGRAPHY), BIBLIOGRAPHY.name)


def cited(citation: str) -> tuple[str, ...]:
    """The parts of a task's or a model's citation: keys, or an own task's words."""
    return tuple(part.strip() for part in citation.split(";") if part.strip())
