"""Rows of languages.tsv from packages that are read offline: run to add or to check them.

    pip install '.[demo,tables]'
    python -m scaling.catalogue.language_sources                      # says what differs
    python -m scaling.catalogue.language_sources --joshi FILE --write # adds the missing rows

A row that is there is never rewritten: it is compared. Missing are the languages of
upstream_codes.tsv, and those in ALSO. Sources: pycountry (ISO 639-3, names), lang2vec 1.1.2
(family), language-data (IANA's registry: macrolanguages), and for Joshi's classes a JSON file of
theirs with codes, as in MaLA-LM/LangResourceAtlas@ea4606b (Joshi-et-al/Joshi-et-al-6-classes.json).
Its codes were guessed by language models, so a class counts only where its name is the language's
own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycountry

from scaling.catalogue.languages import TABLE, read_table
from scaling.spec import UserError

CODES = TABLE.with_name("upstream_codes.tsv")

ALSO = {
    "bbc": "Latn",
    "brx": "Deva",
    "doi": "Deva",
    "gom": "Deva",
    "mad": "Latn",
    "nij": "Latn",
}
"""Languages of other tasks of many_languages.py → their script."""

# Ours where pycountry's two-letter code is another's, or a member stands for its macrolanguage.
_ISO = {"ps": "pus", "om": "orm", "mg": "mlg", "or": "ori"}

FAMILIES = {
    "Artificial Language": "Constructed",
    "Atlantic-Congo": "Niger-Congo",
    "Aymara": "Aymaran",
    "Mongolic": "Mongolic",
    "Pano-Tacanan": "Panoan",
    "Tai-Kadai": "Kra-Dai",
}
"""lang2vec's name of a family → this table's, where they differ."""

# Creoles, which lang2vec puts below the family of their lexifier; all in APiCS (Michaelis et al.
# 2013).
_CREOLES = ("hat", "kea", "pap", "pcm", "tpi")
# A language without relatives has no family there; N'Ko, a written standard of the Manding
# languages, is not in it.
_OTHERS = {"eus": "Isolate", "nqo": "Mande"}
# Arabic in all but ISO's list of the macrolanguage's members.
_UNTOLD = ("mey",)
# Where pycountry's name is not the one in use, or says what no reader needs.
_NAMES = {
    "ace": "Acehnese",
    "brx": "Bodo",
    "gom": "Goan Konkani",
    "kac": "Jingpho",
    "lua": "Luba-Kasai",
    "lus": "Mizo",
    "nqo": "N'Ko",
    "nso": "Northern Sotho",
    "ori": "Odia",
    "pus": "Pashto",
}
# Names of Joshi's list for a language that pycountry or this table calls otherwise, instead of its
# own. Two with different classes: nobody knows which.
_JOSHI_NAMES = {
    "bxr": ("buriat",),
    "ckb": ("kurdish (sorani)",),
    "cmn": ("mandarin",),
    "fon": ("fongbe",),
    "fry": ("frisian", "west frisian"),
    "hat": ("haitian",),
    "hch": ("huichol",),
    "ilo": ("ilocano",),
    "kbp": ("kabiyé", "kabiye"),
    "kmr": ("kurdish (kurmanji)",),
    "mni": ("meithei", "manipuri"),
    "mos": ("mooré",),
    "nno": ("norwegian (nynorsk)",),
    "nob": ("norwegian (bokmål)",),
    "oto": ("otomí",),
    "pan": ("eastern punjabi",),
    "pap": ("papiamentu",),
    "quc": ("quiché",),
    "run": ("kirundi",),
    "sin": ("sinhalese",),
    "sot": ("sesotho",),
    "taq": ("tamashek",),
    "tar": ("tarahumara",),
    "war": ("waray", "waray-waray"),
}

# Text of XLM-R's pretraining that no earlier row of the table had (Conneau et al. 2020, Table 6).
_CC100 = {
    "as": "0.1",
    "lo": "0.6",
    "mg": "0.2",
    "om": "0.1",
    "or": "0.6",
    "ps": "0.7",
    "sa": "0.3",
    "sd": "0.4",
    "so": "0.4",
    "su": "0.1",
}


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the packages say."""

    families: Mapping[str, str]
    """ISO 639-3 → lang2vec's name of the family; only of those that have one."""
    macrolanguages: Mapping[str, str]
    """ISO 639-3 of a member → ISO 639-3 of its macrolanguage."""
    joshi: Mapping[str, int]
    """Name, lower case → class; empty without a file."""


def read_sources(joshi: Path | None) -> Sources:
    """Read the installed packages, and Joshi's classes where a file is given."""
    data = np.load(_package("lang2vec") / "data" / "family_features.npz")
    names = [str(name).removeprefix("F_") for name in data["feats"]]
    # A family is above the groups inside it: of those that a language is in, the one that most
    # languages are in.
    weight = data["data"][:, :, 0].sum(axis=0)
    families = {}
    for code, row in zip(data["langs"], data["data"][:, :, 0], strict=True):
        if (row > 0).any():
            families[str(code)] = names[int(np.argmax(np.where(row > 0, weight, 0)))]
    registry = _package("language_data") / "data" / "language-subtag-registry.txt"
    members = {}
    for entry in registry.read_text(encoding="utf-8").split("%%\n"):
        fields = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line)
        if fields.get("Type") == "language" and "Macrolanguage" in fields:
            members[_iso(fields["Subtag"])] = _iso(fields["Macrolanguage"])
    listed = json.loads(joshi.read_text(encoding="utf-8")) if joshi else {}
    classes = {
        str(entry["lang_name"]).lower(): int(level)
        for level, entries in listed.items()
        for entry in entries
    }
    return Sources(families=families, macrolanguages=members, joshi=classes)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise UserError(f"{name} is not installed: in a checkout, pip install '.[tables]'")
    return Path(spec.origin).parent


def _iso(code: str) -> str:
    found = pycountry.languages.get(alpha_2=code) if len(code) == 2 else None
    return str(found.alpha_3) if found else code


def missing(known: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """(code, script) of languages that tasks have and `known`, the table, lacks."""
    for code, row in read_table(CODES).items():
        upstream = next(value for name, value in row.items() if name != "code" and value)
        if code not in known:
            yield code, upstream[4:]
    yield from ((code, script) for code, script in ALSO.items() if code not in known)


def new_row(code: str, script: str, sources: Sources, seen: Mapping[str, str]) -> dict[str, str]:
    """A row of the table.

    Args:
        code: ours.
        script: ISO 15924.
        sources: what the packages say.
        seen: ISO 639-3 of the macrolanguages of XLM-R's languages → our code of that language.
    """
    iso = _ISO.get(code) or _iso(code)
    listed: Any = pycountry.languages.get(alpha_3=iso)
    name = _NAMES.get(iso) or str(listed.name).partition(" (")[0]
    plain = unicodedata.normalize("NFD", name).encode("ascii", "ignore").decode()
    unknown = iso in _UNTOLD or seen.get(sources.macrolanguages.get(iso, ""), code) != code
    return {
        "code": code,
        "iso639_3": iso,
        "script": script,
        "family": family_of(iso, sources),
        "joshi": joshi_of(iso, name, sources),
        "cc100_gib": _CC100.get(code) or ("?" if unknown else "-"),
        "name": plain,
    }


def is_iso(code: str) -> bool:
    """Whether ISO 639-3 has the code, or ISO 639-5 as a group's (nah, oto)."""
    listed = pycountry.languages.get(alpha_3=code)
    return bool(listed or pycountry.language_families.get(alpha_3=code))


def family_of(iso: str, sources: Sources) -> str:
    """The family in this table's words; of a macrolanguage's member by that; `?` if none knows."""
    if iso in _CREOLES:
        return "Creole"
    if iso in _OTHERS:
        return _OTHERS[iso]
    members = [one for one, macro in sources.macrolanguages.items() if macro == iso]
    tried = (iso, sources.macrolanguages.get(iso, ""), *members)
    found = next((sources.families[one] for one in tried if one in sources.families), "?")
    return FAMILIES.get(found, found)


def joshi_of(iso: str, name: str, sources: Sources) -> str:
    """The class by the language's name in Joshi's list; `?` where that has none, or two."""
    listed = pycountry.languages.get(alpha_3=iso)
    own = {name.lower(), str(listed.name).lower()} if listed else {name.lower()}
    found = {sources.joshi[one] for one in _JOSHI_NAMES.get(iso, own) if one in sources.joshi}
    return str(found.pop()) if len(found) == 1 else "?"


def macrolanguages_seen(table: Mapping[str, Mapping[str, str]], sources: Sources) -> dict[str, str]:
    """ISO 639-3 of macrolanguages → our code of the language of XLM-R's that stands for it."""
    return {
        sources.macrolanguages.get(row["iso639_3"], row["iso639_3"]): code
        for code, row in table.items()
        if row["cc100_gib"] not in "?-"
    }


def differences(table: Mapping[str, Mapping[str, str]], sources: Sources) -> Iterator[str]:
    """What the sources say otherwise than a row, one line each."""
    seen = macrolanguages_seen(table, sources)
    for code, row in table.items():
        iso = row["iso639_3"]
        if not is_iso(iso):
            yield f"{code}: {iso} is no code of ISO 639-3, nor a group's of ISO 639-5"
        if (found := family_of(iso, sources)) not in ("?", row["family"]):
            yield f"{code}: family {row['family']}, lang2vec says {found}"
        if sources.joshi and (found := joshi_of(iso, row["name"], sources)) != row["joshi"]:
            yield f"{code}: class {row['joshi']}, Joshi et al. say {found}"
        macro = sources.macrolanguages.get(iso, "")
        if row["cc100_gib"] == "-" and macro in seen:
            yield f"{code}: unseen, but a member of {macro}, which XLM-R saw as {seen[macro]}"


def main() -> int:
    """Say what differs, and with --write add the missing rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--joshi", type=Path, help="JSON: class → [{lang_name, lang_code}]")
    parser.add_argument("--write", action="store_true", help="add the missing rows")
    options = parser.parse_args()
    sources = read_sources(options.joshi)
    table = read_table(TABLE)
    for line in differences(table, sources):
        print(line)
    seen = macrolanguages_seen(table, sources)
    more = {code: new_row(code, script, sources, seen) for code, script in missing(table)}
    for row in more.values():
        print("missing:", *row.values())
    if options.write:
        rows = sorted({**table, **more}.values(), key=lambda row: row["code"])
        lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
        TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
