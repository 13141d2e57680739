"""Languages: codes, script, family, resources. One row each in languages.tsv: a language is a row.

Scripts of one language are codes of tasks (upstream_codes.tsv, many_languages.py), never rows. What
each column rests on, `?` where no source says it:

    iso639_3   ISO 639-3, by pycountry; a macrolanguage's own code where benchmarks use several of
               its members for it (ps, om, mg, or). script: ISO 15924, as the benchmarks write it
    family     lang2vec's `fam` (Littell et al. 2017; Glottolog), in this table's names
               (language_sources.py)
    joshi      class 0 (left behind) to 5 (winners): Joshi et al. 2020 (arXiv 2004.09095)
    cc100_gib  text that XLM-R saw: Conneau et al. 2020 (arXiv 1911.02116), Table 6; rows that are
               split over two scripts there (my, zh) are summed. `-`: not among XLM-R's 100,
               whatever later re-releases of CC-100 contain. `?`: a member of a macrolanguage that
               is (Arabic varieties in Arabic, Dari in Persian, Cantonese in Chinese): the text was
               not told apart, so nobody knows how much of it was seen, and it is never "unseen"

GiB, not tokens: token counts of unsegmented scripts are not comparable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from pydantic import Field

from scaling.spec import FieldError, Spec, UserError
from scaling.typos import NEAR, likeness

# A language counts as low-resource below this much CC-100 text; the grouped definition of the
# report.
LOW_CC100_GIB = 5.0
HIGH_CC100_GIB = 30.0

TABLE = Path(__file__).with_name("languages.tsv")
UNKNOWN_FAMILY = "?"
"""Languages of which it is not known stand each for itself, never for one family."""


class Language(Spec):
    """One row of languages.tsv, or a language that a study defines (`define: languages`)."""

    code: str = Field(pattern=r"^[a-z][a-z0-9-]{1,15}$")
    """XTREME's two-letter code where it has one, ISO 639-1 or 639-3 otherwise."""
    iso639_3: str = "?"
    script: str = "?"
    """ISO 15924."""
    family: str = UNKNOWN_FAMILY
    joshi: int | None = Field(default=None, ge=0, le=5)
    """Resource class 0 (left behind) to 5 (winners); None where not known."""
    cc100_gib: float | None = Field(default=None, ge=0, le=1e6)
    """Text seen in XLM-R's pretraining, GiB; 0.0 for languages that are not in it, None where that
    is not known."""
    name: str = Field(min_length=1)


def read_table(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a TSV file by their first column; UserError for one that is there twice."""
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    columns = head.split("\t")
    rows: dict[str, dict[str, str]] = {}
    for line in lines:
        row = dict(zip(columns, line.split("\t"), strict=True))
        if row[columns[0]] in rows:
            raise UserError(f"{path.name}: {row[columns[0]]!r} has two rows")
        rows[row[columns[0]]] = row
    return rows


def _language(row: Mapping[str, str]) -> Language:
    joshi, gib = row["joshi"], row["cc100_gib"]
    return Language(
        code=row["code"],
        iso639_3=row["iso639_3"],
        script=row["script"],
        family=row["family"],
        name=row["name"],
        joshi=None if joshi == "?" else int(joshi),
        cc100_gib=None if gib == "?" else 0.0 if gib == "-" else float(gib),
    )


LANGUAGES: dict[str, Language] = {code: _language(row) for code, row in read_table(TABLE).items()}
_BY_ISO = {language.iso639_3: language for language in LANGUAGES.values()}

_DEFINED: ContextVar[Mapping[str, Language] | None] = ContextVar("_DEFINED", default=None)


@contextmanager
def defined(languages: Iterable[Language]) -> Iterator[None]:
    """Within this, `get_language` knows these languages too: those that a study defines."""
    before = _DEFINED.set({language.code: language for language in languages})
    try:
        yield
    finally:
        _DEFINED.reset(before)


def get_language(code: str) -> Language:
    """The language with this code (two-letter or ISO 639-3); FieldError with the nearest codes."""
    own = _DEFINED.get() or {}
    language = LANGUAGES.get(code) or _BY_ISO.get(code) or own.get(code)
    if language is None:
        found = {**LANGUAGES, **own}
        like = {known: _likeness(code, found[known]) for known in found}
        codes = sorted(like, key=lambda known: (-like[known], known))
        near = [f"{known!r} ({found[known].name})" for known in codes[:3] if like[known] >= NEAR]
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise FieldError(
            (),
            f"Unknown language {code!r}.{hint} {len(found)} are known (`scaling ls languages`);"
            " another one is defined in the study file (`define: languages:`, docs/adding.md).",
            code,
            codes,
        )
    return language


def _likeness(written: str, language: Language) -> float:
    """Of a text and what a language is called: its code, its code in ISO 639-3, its name."""
    return max(
        likeness(written, name) for name in (language.code, language.iso639_3, language.name)
    )


def is_language(code: str) -> bool:
    """Whether there is a language with this code."""
    own = _DEFINED.get() or {}
    return code in LANGUAGES or code in _BY_ISO or code in own
