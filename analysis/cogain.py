"""Which languages gain together: correlations of their true gains over arms and sizes.

Languages of one run share its noise, so that the plain correlation of their gains says mostly that
they were scored on one checkpoint. Here a language's gain under one seed is multiplied with the
other's under another seed: independent runs, so that only what repeats is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis.panel import Array, Mask, Panel
from scaling.catalogue.languages import UNKNOWN_FAMILY, get_language

MIN_CELLS = 6
"""(size, arm, target) cells that two languages need in common."""
MAX_ERROR = 0.3
"""Correlations with a larger jackknife standard error are not shown."""
_BLOCK = 2_000_000
"""Products at a time."""


@dataclass(frozen=True, kw_only=True)
class CoGains:
    """Correlations between languages, in order of their families and text."""

    languages: pl.DataFrame
    """Columns language, language_name, family."""
    correlation: Array
    """[language, language]; NaN where it cannot be told."""
    error: Array
    """[language, language]: jackknife standard error over cells."""
    cells: Array
    """[language, language]: cells in common."""

    def mean(self, *, same_family: bool) -> float:
        """Mean correlation of two languages of one family, or of two; NaN without such pairs."""
        family = self.languages["family"].to_numpy()
        same = (family[:, None] == family[None, :]) & (family != UNKNOWN_FAMILY)[:, None]
        pair = np.triu(np.isfinite(self.correlation), 1) & (same == same_family)
        return float(self.correlation[pair].mean()) if pair.any() else float("nan")

    @property
    def pairs(self) -> tuple[int, int]:
        """Pairs of languages that are shown, and pairs that there are."""
        num = len(self.languages)
        return int(np.triu(np.isfinite(self.correlation), 1).sum()), num * (num - 1) // 2

    def table(self) -> pl.DataFrame:
        """One row per pair of languages that have cells in common."""
        first, second = np.nonzero(np.triu(self.cells, 1))
        codes, family = self.languages["language"], self.languages["family"]
        return pl.DataFrame(
            {
                "language": codes.gather(first),
                "other": codes.gather(second),
                "family": family.gather(first),
                "other_family": family.gather(second),
                "correlation": self.correlation[first, second],
                "se": self.error[first, second],
                "cells": self.cells[first, second].astype(int),
            }
        )


def co_gains(panel: Panel) -> CoGains | None:
    """Over the cells (size, arm, target) of a panel in points, targets centred.

    For languages l, m and seeds s ≠ t: c(l, m) = Σ d(s, l)·d(t, m) over cells, d the gain less its
    mean over the cells of the seed and target; the correlation is c(l, m)/√(c(l, l)·c(m, m)), cut
    at ±1. None where no two languages have one.
    """
    names = panel.series.select("language", "language_name", "pretraining_text").unique()
    facts = names.with_columns(
        pl.Series("family", [get_language(code).family for code in names["language"]])
    ).sort("family", "pretraining_text", "language")
    d, there = _cells(panel, facts["language"].to_list())
    own, own_count = (_own_products(each) for each in (d, there))
    repeats = _repeats(own, own_count)
    variance = _variance(own.sum(axis=0), own_count.sum(axis=0))
    variance_without = _variance(own.sum(axis=0) - own, own_count.sum(axis=0) - own_count)
    num = len(facts)
    correlation, error, cells = (np.empty((num, num)) for _ in range(3))
    # Some languages with all others at a time: with 200 of them a cell has 40,000 products.
    step = max(1, _BLOCK // (len(d) * num))
    for start in range(0, num, step):
        rows = slice(start, start + step)
        product, count = (_products(each, rows) for each in (d, there))
        total, in_all = product.sum(axis=0), count.sum(axis=0)
        cells[rows] = (count > 0).sum(axis=0)
        correlation[rows] = _correlation(total, in_all, variance[rows], variance)
        without = _correlation(
            total - product, in_all - count, variance_without[:, rows], variance_without
        )
        error[rows] = _jackknife(without, count > 0)
    told = (cells >= MIN_CELLS) & (error <= MAX_ERROR) & repeats[:, None] & repeats[None, :]
    shown = np.where(told, np.clip(correlation, -1, 1), np.nan)
    np.fill_diagonal(shown, np.where(repeats, 1.0, np.nan))
    found = CoGains(
        languages=facts.select("language", "language_name", "family"),
        correlation=shown,
        error=error,
        cells=cells,
    )
    return found if found.pairs[0] else None


def _cells(panel: Panel, languages: Sequence[str]) -> tuple[Array, Array]:
    """Centred gains and whether they are there, both [cell, seed, language], 0 for none.

    A cell is a size, arm and target.
    """
    column = {code: at for at, code in enumerate(languages)}
    gains = []
    for target in panel.series["target"].unique().sort():
        own = panel.where(pl.col("target") == target)
        arms = own.series["arm"].unique().sort().to_list()
        y = np.full((own.num_sizes, len(arms), len(own.seeds), len(languages)), np.nan)
        for k, (arm, code) in enumerate(own.series.select("arm", "language").iter_rows()):
            y[:, arms.index(arm), :, column[code]] = own.y[:, :, k]
        gains.append(_centred(y.reshape(-1, len(own.seeds), len(languages))))
    whole = np.concatenate(gains)
    there = np.isfinite(whole)
    return np.where(there, whole, 0.0), there.astype(float)


def _products(each: Array, rows: slice) -> Array:
    """Of each[cell, seed, language]: products of two languages over all pairs of seeds, less those
    of one seed with itself, [cell, row, language].
    """
    total = each.sum(axis=1)
    alike = np.einsum("cjl,cjm->clm", each[:, :, rows], each)
    return np.asarray(total[:, rows, None] * total[:, None, :] - alike)


def _own_products(each: Array) -> Array:
    """The products of each language with itself, [cell, language]."""
    return np.asarray(each.sum(axis=1) ** 2 - (each**2).sum(axis=1))


def _centred(y: Array) -> Array:
    """y [cell, seed, language] less the mean over the cells of each seed and language.

    Centred inside a seed, products over two seeds have no noise in common.
    """
    present = np.isfinite(y)
    mean = np.where(present, y, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    return np.where(present, y - mean, np.nan)


def _variance(product: Array, count: Array) -> Array:
    """[..., language] from sums of own products and their counts; NaN where none repeats."""
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.where(count > 0, product / count, np.nan)
    return np.where(own > 0, own, np.nan)


def _correlation(product: Array, count: Array, variance: Array, others: Array) -> Array:
    """[..., row, language]; NaN where a language has no variance that repeats.

    Args:
        product: Sums of products, [..., row, language].
        count: How many each has, [..., row, language].
        variance: Of the rows, [..., row].
        others: Of all languages, [..., language].
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        c = np.where(count > 0, product / count, np.nan)
        return np.asarray(c / np.sqrt(variance[..., :, None] * others[..., None, :]))


def _repeats(own: Array, num: Array) -> Mask:
    """Which languages [language] have gains that vary alike under different seeds.

    Their own covariance over seeds is two jackknife standard errors above zero. Without this, noise
    that all languages share passes for perfect agreement whenever chance lets it repeat.

    Args:
        own: Products of a language with itself, [cell, language].
        num: How many each has, [cell, language].
    """
    total, all_of = own.sum(axis=0), num.sum(axis=0)
    left = np.maximum(all_of - num, 1e-12)
    error = _jackknife((total - own) / left, num > 0)
    return np.asarray((num > 0).any(axis=0) & (total / np.maximum(all_of, 1e-12) > 2 * error))


def _jackknife(without: Array, used: Mask) -> Array:
    """Standard error [...] from the values [cell, ...] without each cell; a cell that is not
    `used` is left out. NaN counts as no standard error.
    """
    num = used.sum(axis=0)
    values = np.where(used, without, 0.0)
    mean = values.sum(axis=0) / np.maximum(num, 1)
    square = np.where(used, (without - mean) ** 2, 0.0).sum(axis=0)
    return np.asarray(np.sqrt(square * (num - 1) / np.maximum(num, 1)))
