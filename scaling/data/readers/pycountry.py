"""pycountry's catalogues: names of countries and their parts, languages, scripts, currencies.

Without options: a name and what it names. `pairs`: the name of a country and its English original,
for retrieval.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from scaling.data.readers.gettext import (
    message_id,
    pair,
    read_catalogue,
    split_of,
    translation_pairs,
)
from scaling.data.schema import ReadRequest, Row

_CATALOGUES = {
    "country": "iso3166-1",
    "currency": "iso4217",
    "language": "iso639-3",
    "script": "iso15924",
    "subdivision": "iso3166-2",
}
# The packages' own English names are the message ids; Ukrainian and Tamil translate nearly all of
# them.
_REFERENCE = ("uk", "ta")


def _path(root: Path, catalogue: str, code: str) -> Path:
    return root / "locales" / code / "LC_MESSAGES" / f"{catalogue}.mo"


def _names(root: Path) -> dict[str, str]:
    """English name → the one type that it has; names of several types are left out."""
    types: dict[str, Counter[str]] = {}
    for kind, catalogue in _CATALOGUES.items():
        for code in _REFERENCE:
            for name in read_catalogue(_path(root, catalogue, code)):
                types.setdefault(name, Counter())[kind] += 1
    return {name: next(iter(found)) for name, found in sorted(types.items()) if len(found) == 1}


def read_pycountry_names(request: ReadRequest) -> Iterator[Row]:
    """Rows of the classification schema, or with `pairs` (countries) of the retrieval schema."""
    root = request.files[0]
    names = {name: kind for name, kind in _names(root).items() if split_of(name) == request.split}
    translated: dict[str, str] = {}
    if request.language == "en":
        translated = {name: name for name in names}
    else:
        for catalogue in _CATALOGUES.values():
            path = _path(root, catalogue, request.upstream_code)
            # Countries are translated everywhere; the other catalogues only where somebody did it.
            if catalogue == "iso3166-1" or path.is_file():
                translated.update(read_catalogue(path))
    if request.options.get("pairs") == "official":
        yield from _official(root, request.split)
        return
    if request.options.get("pairs"):
        countries = {name: kind for name, kind in names.items() if kind == "country"}
        yield from translation_pairs(countries, translated, request.language)
        return
    for name, kind in _balanced(names).items():
        if name in translated:
            yield {"id": message_id(name), "text_a": translated[name], "text_b": "", "label": kind}


def _balanced(names: dict[str, str], most: int = 200) -> dict[str, str]:
    """At most so many names of each type: there are forty times more languages than currencies."""
    seen: Counter[str] = Counter()
    kept = {}
    for name in sorted(names, key=message_id):
        seen[names[name]] += 1
        if seen[names[name]] <= most:
            kept[name] = names[name]
    return kept


def _official(root: Path, split: str) -> Iterator[Row]:
    """The official name of a country asks for the short one, both English."""
    for country in json.loads((root / "databases" / "iso3166-1.json").read_text())["3166-1"]:
        name, official = country["name"], country.get("official_name")
        if official and split_of(name) == split:
            yield from pair(message_id(name), "en", official, name)
