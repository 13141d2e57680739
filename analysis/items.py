"""What other test examples would have shown: errors from the outcomes of single examples.

Seeds say how far another run would land on the same examples. Examples are a second sample: an item
that one arm gets right and the other wrong moves the gain of all seeds alike. Both scores of a gain
are paired by example, and an item that stands in several languages of a target (a parallel test
set) is drawn once for all of them.

A score is a mean over examples, or an F1 of counts. Either has an influence uᵢ of each example (for
F1 by the jackknife, uᵢ = (n − 1)(s̄ − s₋ᵢ)) with Σ uᵢ = 0, so that every weighted sum of scores is,
to first order, a sum over examples, and its variance over draws of examples is Σⱼ cⱼ²·J/(J − 1)
over J items, cⱼ the sum of the influences of item j (statistics §2.6).

Noise of a single run at a single example is in the error over seeds already. It is estimated from
the spread of influences over seeds and subtracted, so that the two errors add: what is left is the
luck of items that all seeds share (Owen 2007).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis.estimands import Estimate
from analysis.examples import Outcomes, Reader
from analysis.gains import JUDGED
from analysis.panel import Array, Panel, balance, replicas
from analysis.slope import contrast, p_value, slope_weights, t_quantile

FEWEST = 8
"""Fewer examples than this that differ between the two scores say nothing about others."""


@dataclass(frozen=True, kw_only=True)
class ItemError:
    """How far a contrast would move on other examples of the same kind, the runs as they are."""

    se: float
    """Standard error over draws of examples."""
    own: float
    """The part of it that single runs do not share: it is in the error over seeds already. NaN
    where a size has one seed."""
    items: float
    """Examples that decide, (Σ c²)²/Σ c⁴: of one gain of one seed those that differ."""

    @property
    def known(self) -> bool:
        """Whether enough examples differ."""
        return self.items >= FEWEST

    @property
    def shared(self) -> float:
        """What drawing examples adds to the error over seeds."""
        return float(np.sqrt(max(self.se**2 - self.own**2, 0.0)))

    def half(self, level: float = 0.95) -> float:
        """Half of the width of the interval over draws of examples alone; NaN for too few."""
        return self.quantile(level) * self.se if self.known else float("nan")

    def quantile(self, level: float) -> float:
        """Of t on twice the deciding examples.

        A variance estimated from m counts has about 2m degrees of freedom.
        """
        return float(t_quantile(0.5 + level / 2, np.asarray(2 * self.items)))


@dataclass(frozen=True, kw_only=True)
class Items:
    """What the outcomes of single examples say."""

    errors: Mapping[tuple[str, str], ItemError]
    """Of the population's `slope`, `smallest`, `largest` and `end`, by (scale, quantity); {} where
    a score of its panel has no outcomes."""
    gains: pl.DataFrame
    """One row per size, arm, target and language: points, n, discordant (mean over seeds),
    seed_se, item_se and its part beyond the seeds (shared_se); note."""
    signal: pl.DataFrame
    """One row per target and language: its slope with both errors, and the spread of its gains
    against their noise."""
    missing: int
    """Scores without outcomes."""

    def of(self, scale: str, quantity: str) -> ItemError | None:
        """The error of a contrast of the population."""
        return self.errors.get((scale, quantity))


def on_such_examples(e: Estimate, error: ItemError) -> Estimate:
    """`e` with the draw of examples in its intervals; without them where too few items decide."""
    changed: dict[str, float] = {}
    for level, low, high in ((0.95, "low", "high"), (0.9, "low90", "high90")):
        add = error.quantile(level) * error.shared if error.known else float("nan")
        half = float(np.hypot((getattr(e, high) - getattr(e, low)) / 2, add))
        changed |= {low: e.estimate - half, high: e.estimate + half}
    df = np.asarray(e.df)
    changed["se"] = (changed["high"] - e.estimate) / float(t_quantile(0.975, df))
    changed["p"] = float(p_value(np.asarray(e.estimate), np.asarray(changed["se"]), df))
    return Estimate(**{**e.__dict__, **changed})


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Influences on the gains of one target and language."""

    ids: tuple[str, ...]
    by_scale: Mapping[str, Array]
    """[size, seed, arm, item], NaN where there is no gain."""
    discordant: Array
    """[size, seed, arm]: examples whose outcome differs."""


def item_errors(gains: pl.DataFrame, panel: Panel, chosen: Panel, outcomes: Outcomes) -> Items:
    """Errors over draws of examples of every gain, and of the slope of the population.

    BadInput where outcomes are not those that a row's score was computed from.

    Args:
        gains: Primary gains.
        panel: Their panel in points, not balanced.
        chosen: The population's balanced panel in points, whose slope is asked about.
        outcomes: Where a step's outcomes are.
    """
    rows: list[dict[str, object]] = []
    signals: list[dict[str, object]] = []
    drawn: list[dict[str, tuple[Array, Array]]] = []
    missing, asked = 0, 0
    for target in gains["target"].unique().sort():
        of_target = gains.filter(pl.col("target") == target)
        reader = Reader(outcomes)
        parts = []
        for language in of_target["language"].unique().sort():
            part = of_target.filter(pl.col("language") == language)
            arms = part["arm"].unique().sort().to_list()
            block, absent = _block(part, panel, arms, reader)
            missing += absent
            if block is None:
                continue
            where = {"target": target, "language": language}
            told = _gains_of(block, part, panel, arms)
            rows += [{**where, **one} for one in told]
            signals.append({**where, **_signal(block, panel, told, where, arms)})
            series = chosen.series.with_row_index("k").filter(
                (pl.col("target") == target) & (pl.col("language") == language)
            )
            if len(series):
                at = [arms.index(arm) for arm in series["arm"]]
                index = series["k"].to_numpy()
                asked += int(np.isfinite(chosen.y[:, :, index]).sum())
                parts.append((block, at, chosen.weights[index]))
        if parts:
            drawn.append(_by_item(parts, panel, chosen))
    table = pl.DataFrame(rows, schema=_GAINS) if rows else pl.DataFrame(schema=_GAINS)
    complete = drawn and not missing and asked == int(np.isfinite(chosen.y).sum())
    return Items(
        errors=_errors(drawn, chosen) if complete else {},
        gains=table.sort("model", "arm", "target", "language"),
        signal=pl.DataFrame(signals, schema=_SIGNAL),
        missing=missing,
    )


def _block(
    part: pl.DataFrame, panel: Panel, arms: list[str], reader: Reader
) -> tuple[_Block | None, int]:
    """Influences on the gains of one target and language, and how many scores have no outcomes."""
    shape = (panel.num_sizes, len(panel.seeds), len(arms))
    missing: set[str] = set()
    by_scale: dict[str, Array] = {}
    discordant = np.full(shape, np.nan)
    ids: tuple[str, ...] = ()
    for row in part.iter_rows(named=True):
        pair = []
        for step, value, num in (("step", "value", "n"), ("step_none", "baseline", "n_none")):
            found = reader.score(row, step, value, num)
            if found is None:
                missing.add(row[step])
                continue
            pair.append(found)
        if len(pair) < 2 or row["model"] not in panel.models:
            continue
        after, before = pair
        ids = after.ids
        at = panel.models.index(row["model"]), panel.seeds.index(row["seed"])
        place = (*at, arms.index(row["arm"]))
        discordant[place] = (after.got != before.got).any(axis=1).sum()
        ceiling = 1.0 if row["ceiling"] is None else row["ceiling"]
        one = _derivatives(row["value"], row["n"], row["chance_level"], ceiling)
        none = _derivatives(row["baseline"], row["n_none"], row["chance_level"], ceiling)
        for scale in JUDGED:
            whole = by_scale.setdefault(scale, np.full((*shape, len(ids)), np.nan))
            whole[place] = one[scale] * after.influence - none[scale] * before.influence
    if not by_scale:
        return None, len(missing)
    return _Block(ids=ids, by_scale=by_scale, discordant=discordant), len(missing)


def _derivatives(value: float, n: int, chance: float, ceiling: float) -> dict[str, float]:
    """d(scale)/d(score) of analysis/gains.py at a score of n examples."""
    share = (value - chance) / (ceiling - chance)

    def odds(p: float) -> float:
        return n / (p * n + 0.5) + n / (n - p * n + 0.5)

    inside = 0.0 < share < 1.0
    return {
        "points": 100.0,
        "logit": odds(value),
        "room": odds(share) / (ceiling - chance) if inside else 0.0,
    }


def error_of(total: Array, own: float) -> ItemError:
    """The error from the sums c [item] of what each example adds to a contrast; Σ c = 0."""
    square = total**2
    num = len(total)
    fourth = (square**2).sum()
    return ItemError(
        se=float(np.sqrt(square.sum() * num / max(num - 1, 1))),
        own=own,
        items=float(square.sum() ** 2 / fourth) if fourth > 0 else 0.0,
    )


def own_error(spread: Array, weights: Array) -> float:
    """The error of a contrast that is of single runs at single examples.

    spread[size, seed, item], NaN for seeds not run; NaN where a size that counts has one seed.
    """
    used = weights != 0
    spread, weights = spread[used], weights[used]
    seeds = np.isfinite(spread[:, :, 0]).sum(axis=1)
    if (seeds < 2).any():
        return float("nan")
    num = spread.shape[-1]
    square = np.nansum(spread**2, axis=(1, 2)) / (seeds * (seeds - 1))
    return float(np.sqrt((weights**2 * square).sum() * num / max(num - 1, 1)))


def _gains_of(
    block: _Block, part: pl.DataFrame, panel: Panel, arms: list[str]
) -> list[dict[str, object]]:
    """One row per size and arm of one target and language."""
    out: list[dict[str, object]] = []
    num = len(block.ids)
    points = block.by_scale["points"] / num
    told = part.group_by("model", "arm").agg(
        pl.col("points").mean(),
        (pl.col("points").std() / pl.len().sqrt()).alias("seed_se"),
    )
    facts = {(m, a): (p, s) for m, a, p, s in told.iter_rows()}
    for i, model in enumerate(panel.models):
        for a, arm in enumerate(arms):
            there = np.isfinite(points[i, :, a, 0])
            if not there.any():
                continue
            here = points[i, there, a]
            mean = here.mean(axis=0)
            error = error_of(mean, own_error((here - mean)[None], np.ones(1)))
            discordant = float(np.nanmean(block.discordant[i, :, a]))
            gain, seed_se = facts[model, arm]
            out.append(
                {
                    "model": model,
                    "arm": arm,
                    "n": num,
                    "points": gain,
                    "discordant": discordant,
                    "item_se": error.se if discordant >= FEWEST else float("nan"),
                    "shared_se": error.shared if discordant >= FEWEST else float("nan"),
                    "seed_se": float("nan") if seed_se is None else seed_se,
                    "note": "" if discordant >= FEWEST else "too few",
                }
            )
    return out


def _signal(
    block: _Block,
    panel: Panel,
    told: list[dict[str, object]],
    where: dict[str, str],
    arms: list[str],
) -> dict[str, object]:
    """What one target and language can tell: the spread of its gains against their noise.

    Noise is that of one gain, seeds and examples together; signal is the SD of the gains over sizes
    and arms with the noise taken out.
    """
    nan = float("nan")
    gains, seed, items, shared, discordant = (
        np.array([float(str(one[name])) for one in told])
        for name in ("points", "seed_se", "item_se", "shared_se", "discordant")
    )
    noise2 = float((seed**2 + shared**2).mean())
    signal2 = max(float(gains.var(ddof=1)) - noise2, 0.0) if len(gains) > 1 else nan
    line: dict[str, object] = {
        "n": len(block.ids),
        "discordant": float(discordant.mean()),
        "slope": nan,
        "slope_seed_se": nan,
        "slope_item_se": nan,
        "signal": float(np.sqrt(signal2)),
        "noise": float(np.sqrt(noise2)),
        "ratio": float(np.sqrt(signal2 / noise2)) if noise2 > 0 else nan,
        "note": "" if np.isfinite(items).all() else "too few",
    }
    own = balance(
        panel.where(
            (pl.col("target") == where["target"]) & (pl.col("language") == where["language"])
        )
    )
    at = [arms.index(arm) for arm in own.series["arm"]]
    if own.num_sizes < 2 or not at:
        return line
    index = [panel.models.index(model) for model in own.models]
    w = slope_weights(own.x)
    found = contrast(replicas(own.y, own.weights), w, own.x)
    line |= {"slope": float(found.estimate), "slope_seed_se": float(found.se)}
    mean = np.nanmean(block.by_scale["points"][index][:, :, at], axis=1) / len(block.ids)
    if np.isfinite(mean).all():
        error = error_of(w @ np.tensordot(mean, own.weights, axes=(1, 0)), nan)
        line["slope_item_se"] = error.se if error.known else nan
    return line


def _by_item(
    parts: list[tuple[_Block, list[int], Array]], panel: Panel, chosen: Panel
) -> dict[str, tuple[Array, Array]]:
    """scale → (influence of each item of a target on a size's value [size, item], how each seed
    departs from it [size, seed, item]); an item of several languages is one.
    """
    number: dict[str, int] = {}
    for block, _, _ in parts:
        for name in block.ids:
            number.setdefault(name, len(number))
    index = [panel.models.index(model) for model in chosen.models]
    alive = np.isfinite(replicas(chosen.y, chosen.weights))
    # Seeds of the population's panel are those of the whole.
    num_seeds = alive.sum(axis=1)[:, None, None]
    out = {}
    for scale in JUDGED:
        mean = np.zeros((len(index), len(number)))
        spread = np.where(alive[:, :, None], np.zeros(len(number)), np.nan)
        for block, at, weights in parts:
            y = block.by_scale[scale][index][:, :, at] / len(block.ids)
            there = np.isfinite(y[..., :1])
            count = there.sum(axis=1, keepdims=True)
            filled = np.where(there, y, 0.0)
            middle = filled.sum(axis=1, keepdims=True) / np.maximum(count, 1)
            # As in panel.replicas: a series that lacks seeds counts by its influence.
            scaled = np.sqrt(
                count
                * np.maximum(num_seeds[..., None] - 1, 0)
                / (num_seeds[..., None] * np.maximum(count - 1, 1))
            )
            away = np.where(there, filled - middle, 0.0) * scaled / np.maximum(count, 1)
            where = [number[name] for name in block.ids]
            mean[:, where] += np.einsum("iak,a->ik", middle[:, 0], weights)
            spread[:, :, where] += num_seeds * np.einsum("isak,a->isk", away, weights)
        out[scale] = mean, spread
    return out


def _errors(
    drawn: list[dict[str, tuple[Array, Array]]], chosen: Panel
) -> dict[tuple[str, str], ItemError]:
    """Of the slope, the gains at the outer sizes and the change from end to end, on all scales.

    Targets are drawn apart, so that their variances add.
    """
    last, first = np.eye(chosen.num_sizes)[-1], np.eye(chosen.num_sizes)[0]
    asked = {
        "slope": slope_weights(chosen.x),
        "smallest": first,
        "largest": last,
        "end": last - first,
    }
    out = {}
    for scale in JUDGED:
        for quantity, w in asked.items():
            each = [
                error_of(w @ mean, own_error(spread, w))
                for mean, spread in (one[scale] for one in drawn)
            ]
            variance = np.array([error.se**2 for error in each])
            # Fourth moments add as well: Σ c⁴ of a target is its (Σ c²)² over its items.
            fourth = sum(v**2 / error.items for v, error in zip(variance, each, strict=True) if v)
            out[scale, quantity] = ItemError(
                se=float(np.sqrt(variance.sum())),
                own=float(np.sqrt(sum(error.own**2 for error in each))),
                items=float(variance.sum() ** 2 / fourth) if fourth else 0.0,
            )
    return out


_GAINS = {
    "model": pl.String,
    "arm": pl.String,
    "target": pl.String,
    "language": pl.String,
    "n": pl.Int64,
    "points": pl.Float64,
    "discordant": pl.Float64,
    "seed_se": pl.Float64,
    "item_se": pl.Float64,
    "shared_se": pl.Float64,
    "note": pl.String,
}
_SIGNAL = {
    "target": pl.String,
    "language": pl.String,
    "n": pl.Int64,
    "discordant": pl.Float64,
    "slope": pl.Float64,
    "slope_seed_se": pl.Float64,
    "slope_item_se": pl.Float64,
    "signal": pl.Float64,
    "noise": pl.Float64,
    "ratio": pl.Float64,
    "note": pl.String,
}
