"""Outcomes of single test examples → scores, and the influence of each example on them.

A file of outcomes is believed only if it gives the score that a row has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from analysis.load import BadInput
from analysis.panel import Array

Outcomes = Callable[[str], pl.DataFrame | None]
"""Scoring step → its outcomes (`key` as `test.sw`, `id`, the columns of its metric), or None."""

_CLOSE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score of one language, by example."""

    ids: tuple[str, ...]
    influence: Array
    """[item], sum 0."""
    got: Array
    """[item, column]: what each example contributed."""
    value: float


class Reader:
    """Scores of one target by example; a file is read once."""

    def __init__(self, outcomes: Outcomes) -> None:
        """Of the steps that `outcomes` knows."""
        self.outcomes = outcomes
        self.read: dict[str, dict[str, pl.DataFrame] | None] = {}
        self.ids: dict[str, tuple[str, ...]] = {}
        self.seen: dict[tuple[str, str], Score] = {}

    def score(self, row: Mapping[str, Any], step: str, value: str, n: str) -> Score | None:
        """One of the two scores of a gain, its examples in the order of the first that was read.

        None where there are no outcomes; BadInput where they are not those of the row.

        Args:
            row: A gain.
            step: Column of the step that scored it.
            value: Column of the score.
            n: Column of its number of examples.
        """
        found = self._found(row[step], row["language"], row["metric"])
        if found is not None and (
            abs(found.value - row[value]) > _CLOSE or len(found.ids) != row[n]
        ):
            raise BadInput(
                f"The outcomes of step {row[step]} do not belong to its rows: {row['metric']} of"
                f" {row['language']} is {found.value:.6g} over {len(found.ids)} examples, but the"
                f" row says {row[value]:.6g} over {row[n]}."
            )
        return found

    def _found(self, step: str, language: str, metric: str) -> Score | None:
        if step not in self.read:
            found = self.outcomes(step)
            self.read[step] = None if found is None else _by_key(found, step)
        by_key = self.read[step]
        if by_key is None:
            return None
        if (step, language) not in self.seen:
            part = by_key.get(f"test.{language}")
            if part is None:
                raise BadInput(
                    f"The outcomes of step {step} do not belong to its rows: they have no"
                    f" {language!r}, only {', '.join(sorted(by_key))}."
                )
            self.seen[step, language] = self._aligned(score_of(part, metric, step), step, language)
        return self.seen[step, language]

    def _aligned(self, score: Score, step: str, language: str) -> Score:
        ids = self.ids.setdefault(language, score.ids)
        if ids == score.ids:
            return score
        at = {name: place for place, name in enumerate(score.ids)}
        if len(at) != len(ids) or any(name not in at for name in ids):
            raise BadInput(
                f"The outcomes of step {step} are of other examples in {language!r} than those of"
                f" the steps before it: {len(score.ids)} here, {len(ids)} there."
            )
        order = [at[name] for name in ids]
        return replace(score, ids=ids, influence=score.influence[order], got=score.got[order])


def _by_key(found: pl.DataFrame, step: str) -> dict[str, pl.DataFrame]:
    lacking = [name for name in ("key", "id") if name not in found.columns]
    if lacking:
        raise BadInput(f"The outcomes of step {step} lack the columns {lacking}.")
    return {str(key): part for (key,), part in found.group_by(["key"], maintain_order=True)}


def score_of(part: pl.DataFrame, metric: str, step: str) -> Score:
    """The score of one language from its examples, and their influence on it.

    For a mean uᵢ = yᵢ − ȳ; for an F1 of counts the jackknife's uᵢ = (n − 1)(s̄ − s₋ᵢ).
    """
    ids = tuple(part["id"].to_list())
    if len(set(ids)) < len(ids):
        ids = tuple(f"{name}#{i}" for name, i in part.select("id", _turn()).iter_rows())
    stem = metric.removesuffix("_f1")
    counted = [f"{stem}_{name}" for name in ("correct", "predicted", "gold")]
    if set(counted) <= set(part.columns):
        got = np.stack([_column(part, name) for name in counted], axis=1)
        got = np.nan_to_num(got)
        total = got.sum(axis=0)
        value, left = float(_f1(total)), _f1(total - got)
        influence = (len(got) - 1) * (left.mean() - left)
    elif metric in part.columns:
        got = _column(part, metric)[:, None]
        if np.isnan(got).any():
            raise BadInput(f"The outcomes of step {step} have examples without {metric!r}.")
        value = float(got.mean())
        influence = got[:, 0] - value
    else:
        raise BadInput(
            f"The outcomes of step {step} do not belong to its rows: they hold no {metric!r}, only"
            f" {', '.join(name for name in part.columns if name not in ('key', 'id'))}."
        )
    return Score(ids=ids, influence=influence, got=got, value=value)


def _column(part: pl.DataFrame, name: str) -> Array:
    return part.get_column(name).to_numpy().astype(float)


def _turn() -> pl.Expr:
    """The how-manieth example of its name this is: a test set may hold one twice."""
    return pl.int_range(pl.len()).over("id").alias("turn")


def _f1(counts: Array) -> Array:
    """F1 of counts[..., (correct, predicted, gold)]; 0 where nothing is right."""
    correct, both = counts[..., 0], counts[..., 1] + counts[..., 2]
    return np.where(correct > 0, 2 * correct / np.maximum(both, 1e-12), 0.0)
