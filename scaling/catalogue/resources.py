"""What each family of models saw of a language before anybody fine-tuned it.

A language is low-resource for a model, not in itself: CC-100 is XLM-R's text and says nothing of
mT5's or mmBERT's. A family without a table here has unknown facts, and Joshi's classes serve for
it. A new family is one entry of `TABLES`: where the text of a language is looked up, and by whom it
is stated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scaling.catalogue.languages import HIGH_CC100_GIB, LOW_CC100_GIB, Language


@dataclass(frozen=True, kw_only=True)
class Text:
    """The pretraining text of a family."""

    name: str
    """As a report calls it."""
    source: str
    gib: Callable[[Language], float | None]
    """GiB of a language; 0 for none, None where nobody says."""


XLMR = Text(
    name="CC-100",
    source="Conneau et al. 2020 (arXiv 1911.02116), Table 6",
    gib=lambda language: language.cc100_gib,
)

TABLES: Mapping[str, Text] = {
    "xlm-r": XLMR,
    # Multilingual E5 starts from XLM-R's weights, and the ladder is cut from it.
    "e5-depth-ladder": XLMR,
    "e5-small": XLMR,
    "xlm-r-large-ladder": XLMR,
    "xlm-r-xl-ladder": XLMR,
}
"""By family of models."""


def text_gib(family: str, language: Language) -> float | None:
    """GiB of pretraining text that a family saw of a language; None where it is not known."""
    table = TABLES.get(family)
    return None if table is None else table.gib(language)


def tier(gib: float | None) -> str:
    """`unseen`, `low`, `mid` or `high` by text alone; `unknown` where that is."""
    if gib is None:
        return "unknown"
    if gib == 0:
        return "unseen"
    return "low" if gib < LOW_CC100_GIB else "mid" if gib < HIGH_CC100_GIB else "high"


def is_low(family: str, language: Language, definition: str) -> bool:
    """Whether a language is low-resource for a family.

    `cc100`: the family saw less than 5 GiB of it, or none; for a family without a table, and for
    `joshi`, classes 0 to 2. What is not known is not low.
    """
    if definition == "cc100" and family in TABLES:
        gib = text_gib(family, language)
        return gib is not None and gib < LOW_CC100_GIB
    return language.joshi is not None and language.joshi <= 2
