"""Which languages gain together: correlations of their true gains over arms and sizes.

Languages of one run share its noise, so that the plain correlation of their gains says mostly that
they were scored on one checkpoint. Here a language's gain under one seed is multiplied with the
other's under another seed: independent runs, so that only what repeats is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis.panel import Array, Mask, Panel
from scaling.catalogue.languages import UNKNOWN_FAMILY, get_language

MIN_CELLS = 6
"""(size, arm, target) cells that two languages need in common."""
MAX_ERROR = 0.3
"""Correlations with a larger jackknife standard error are not shown."""


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
    index = {code: i for i, code in enumerate(facts["language"])}
    products: list[Array] = []
    counts: list[Array] = []
    for codes, y in _by_target(panel):
        centred = _centred(y)
        at = np.array([index[code] for code in codes])
        there = np.isfinite(centred).astype(float)
        d = np.where(np.isfinite(centred), centred, 0.0)
        for into, each in ((products, d), (counts, there)):
            total = each.sum(axis=1)
            # Over all pairs of seeds, less those of one seed with itself.
            cross = total[:, :, None] * total[:, None, :] - np.einsum("cjl,cjm->clm", each, each)
            wide = np.zeros((len(cross), len(index), len(index)))
            wide[:, at[:, None], at[None, :]] = cross
            into.append(wide)
    product, count = np.concatenate(products), np.concatenate(counts)
    cells = (count > 0).sum(axis=0)
    correlation = _correlation(product.sum(axis=0), count.sum(axis=0))
    without = _correlation(product.sum(axis=0) - product, count.sum(axis=0) - count)
    error = _jackknife(without, count > 0)
    repeats = _repeats(product, count)
    told = (cells >= MIN_CELLS) & (error <= MAX_ERROR) & repeats[:, None] & repeats[None, :]
    shown = np.where(told, np.clip(correlation, -1, 1), np.nan)
    np.fill_diagonal(shown, np.where(repeats, 1.0, np.nan))
    found = CoGains(
        languages=facts.select("language", "language_name", "family"),
        correlation=shown,
        error=error,
        cells=cells.astype(float),
    )
    return found if found.pairs[0] else None


def _by_target(panel: Panel) -> list[tuple[list[str], Array]]:
    """Per target: its languages, and gains [size × arm, seed, language], NaN for none."""
    out: list[tuple[list[str], Array]] = []
    for target in panel.series["target"].unique().sort():
        own = panel.where(pl.col("target") == target)
        arms = own.series["arm"].unique().sort().to_list()
        codes = own.series["language"].unique().sort().to_list()
        y = np.full((own.num_sizes, len(arms), len(own.seeds), len(codes)), np.nan)
        for k, (arm, code) in enumerate(own.series.select("arm", "language").iter_rows()):
            y[:, arms.index(arm), :, codes.index(code)] = own.y[:, :, k]
        out.append((codes, y.reshape(-1, len(own.seeds), len(codes))))
    return out


def _centred(y: Array) -> Array:
    """y [cell, seed, language] less the mean over the cells of each seed and language.

    Centred inside a seed, products over two seeds have no noise in common.
    """
    present = np.isfinite(y)
    mean = np.where(present, y, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    return np.where(present, y - mean, np.nan)


def _correlation(product: Array, count: Array) -> Array:
    """[..., language, language] from sums of products and their counts; NaN where a language has
    no variance that repeats.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        c = np.where(count > 0, product / count, np.nan)
        own = np.diagonal(c, axis1=-2, axis2=-1)
        own = np.where(own > 0, own, np.nan)
        return np.asarray(c / np.sqrt(own[..., :, None] * own[..., None, :]))


def _repeats(product: Array, count: Array) -> Mask:
    """Which languages [language] have gains that vary alike under different seeds.

    Their own covariance over seeds is two jackknife standard errors above zero. Without this, noise
    that all languages share passes for perfect agreement whenever chance lets it repeat.
    """
    own, num = (np.diagonal(a, axis1=-2, axis2=-1) for a in (product, count))
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
