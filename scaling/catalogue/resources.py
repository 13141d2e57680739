"""What each family of models saw of a language before anybody fine-tuned it.

A language is low-resource for a model, not in itself: CC-100 is XLM-R's text, mC4 is mT5's, and
mmBERT read its languages in phases. A family without a table here has unknown facts, and Joshi's
classes serve for it; `UNPUBLISHED` says so of those that are shipped. A new family is one entry of
`TABLES`: where the text of a language is looked up, in which unit, from where on it is much, and by
whom it is stated. The rows lie in languages.tsv (`cc100_gib`), mc4.tsv and mmbert.tsv.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scaling.catalogue.languages import (
    HIGH_CC100_GIB,
    LOW_CC100_GIB,
    Language,
    get_language,
    read_table,
)

_HERE = Path(__file__).parent
LOW_MC4 = 2.4
"""Billion tokens of mC4 that part the languages as 5 GiB of CC-100 do: of the 84 languages of this
table that both have, 79 lie on the same side, more than by any other threshold.
"""
HIGH_MC4 = 22.0
"""The same for 30 GiB: 77 of 84, as with 17 and 25."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """The pretraining text of a family."""

    key: str
    """As tables of results name the definition by this text."""
    name: str
    """As a report calls it."""
    unit: str
    """Of an amount."""
    source: str
    amount: Callable[[Language], float | None]
    """In the unit; 0 for none, None where nobody says."""
    tier: Callable[[Language], str]
    """`unseen`, `low`, `mid` or `high`; `unknown` where the amount is."""
    low: str
    """Which languages are low-resource, in words."""
    note: str = ""
    """What a report says of an analysis that this text does not allow."""


def _by_amount(
    amount: Callable[[Language], float | None], low: float, high: float
) -> Callable[[Language], str]:
    """The tiers of a text whose languages differ in amount alone."""

    def tier_of(language: Language) -> str:
        found = amount(language)
        if found is None:
            return "unknown"
        if found == 0:
            return "unseen"
        return "low" if found < low else "mid" if found < high else "high"

    return tier_of


def _cc100(language: Language) -> float | None:
    return language.cc100_gib


_MC4 = {iso: float(row["billion_tokens"]) for iso, row in read_table(_HERE / "mc4.tsv").items()}


def _mc4(language: Language) -> float | None:
    """Billion tokens of mC4. Its text was told apart no better than CC-100's: a member of a
    macrolanguage without a row of its own is unknown here as there.
    """
    found = _MC4.get(language.iso639_3)
    if found is None and language.cc100_gib is not None:
        return 0.0
    return found


_MMBERT = read_table(_HERE / "mmbert.tsv")
_PHASES = (("pretrain", "high"), ("ext", "mid"), ("decay_all", "low"))


def _mmbert(language: Language) -> float | None:
    """Billion tokens along one path of its training: pretrain, ext, the decay of all languages.

    Two further decays started from the same weights and were merged with it; they are not added.
    """
    row = _MMBERT.get(language.iso639_3)
    if row is None:
        return None
    return sum(int(row[phase]) for phase, _ in _PHASES if row[phase] != "-") / 1e9


def _first_phase(language: Language) -> str:
    """The tier by the phase that brought the language in."""
    row = _MMBERT.get(language.iso639_3)
    if row is None:
        return "unknown"
    return next(tier for phase, tier in _PHASES if row[phase] != "-")


XLMR = Text(
    key="cc100",
    name="CC-100",
    unit="GiB",
    source="Conneau et al. 2020 (arXiv 1911.02116), Table 6",
    amount=_cc100,
    tier=_by_amount(_cc100, LOW_CC100_GIB, HIGH_CC100_GIB),
    low=f"under {LOW_CC100_GIB:g} GiB of CC-100 text, or none",
)
MT5 = Text(
    key="mc4",
    name="mC4",
    unit="billion tokens",
    source="Xue et al. 2021 (arXiv 2010.11934), Table 5",
    amount=_mc4,
    tier=_by_amount(_mc4, LOW_MC4, HIGH_MC4),
    low=f"under {LOW_MC4:g} billion tokens of mC4, or none",
)
MMBERT = Text(
    key="mmbert",
    name="mmBERT's training text",
    unit="billion tokens",
    source="JHU-CLSP/mmBERT@108ffb3, statistics/language_counts.csv",
    amount=_mmbert,
    tier=_first_phase,
    low="first read in the last phase of mmBERT's training, the decay",
    note=(
        "mmBERT's tiers are the phases that brought a language in (high: pretraining, mid: the"
        " extension, low: the decay). No language is known to be unseen by it, so that nothing is"
        " said of unseen languages; those without a row are of unknown text."
    ),
)

TABLES: Mapping[str, Text] = {
    "xlm-r": XLMR,
    # Multilingual E5 starts from XLM-R's weights, and the ladders are cut from it.
    "e5-depth-ladder": XLMR,
    "e5-small": XLMR,
    "xlm-r-large-ladder": XLMR,
    "xlm-r-xl-ladder": XLMR,
    "mt5": MT5,
    "mmbert": MMBERT,
}
"""By family of models."""

UNPUBLISHED: Mapping[str, str] = {
    "umt5": "mC4 anew, with other shares: its amounts were not obtained",
    "qwen3": "119 languages, no sizes published",
    "qwen3-bidirectional": "119 languages, no sizes published",
    "qwen3-embedding": "119 languages, no sizes published",
    "eurobert": "15 languages, their shares were not obtained",
    "gemma3": "over 140 languages, no sizes published (by memory)",
}
"""Shipped families without a table, and what is known."""


def text_amount(family: str, language: Language) -> float | None:
    """Pretraining text that a family saw of a language, in its table's unit; None: not known."""
    table = TABLES.get(family)
    return None if table is None else table.amount(language)


def text_unit(family: str) -> str:
    """The unit of `text_amount`; empty where there is no table."""
    table = TABLES.get(family)
    return "" if table is None else table.unit


def seen(family: str, language: Language) -> bool:
    """Whether a language is known to be in a family's pretraining text."""
    return bool(text_amount(family, language))


def tier(family: str, language: Language) -> str:
    """`unseen`, `low`, `mid` or `high` for a family; `unknown` where its text is."""
    table = TABLES.get(family)
    return "unknown" if table is None else table.tier(language)


def is_low(family: str, language: Language, definition: str) -> bool:
    """Whether a language is low-resource for a family.

    `cc100`: unseen or of the low tier by the family's own text, which is CC-100 for XLM-R; for a
    family without a table, and for `joshi`, classes 0 to 2. What is not known is not low.
    """
    if definition == "cc100" and family in TABLES:
        return tier(family, language) in ("unseen", "low")
    return language.joshi is not None and language.joshi <= 2


def unknown_notes(family: str, codes: Iterable[str]) -> list[str]:
    """What an analysis cannot say of languages whose pretraining text is not known; [] if none.

    Nothing of a family without a table: a report says that of all its languages at once.
    """
    if family not in TABLES:
        return []
    unknown = sorted(code for code in codes if text_amount(family, get_language(code)) is None)
    if not unknown:
        return []
    named = ", ".join(f"{get_language(code).name} ({code})" for code in unknown[:12])
    more = f" and {len(unknown) - 12} more" if len(unknown) > 12 else ""
    return [
        f"Nobody knows how much text of {named}{more} the encoder was pretrained on: by"
        " `low_resource: cc100` they count neither as low-resource nor among the other languages,"
        " and the slope over pretraining text leaves them out. They are in the means over all"
        " languages; name them in `low_resource_languages` if they belong to the question."
    ]
