"""Claims of papers, as data: contrasts with an expected direction or size, checked at each size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from analysis.gains import ENGLISH
from analysis.panel import Array, Panel, make_panel, replicas
from analysis.slope import Contrast, contrast, moments
from scaling.spec import BadFile, Spec, load

Status = Literal["supported", "contradicted", "undecided", "not run", "not tested", "not opened"]
"""`not tested`: a size has one seed, or the study is descriptive only. `not opened`: the pooled
question is not answered, so that the families of tests behind it stay closed."""

PHANG2020 = Path(__file__).parent / "claims" / "phang2020.yaml"


class Selection(Spec):
    """Which gains a side of a claim averages: inside targets first, then targets equally."""

    arms: tuple[str, ...] | Literal["pooled", "others"] = "pooled"
    """Names; `pooled`: every English intermediate arm; `others`: those of them that the claim does
    not name.
    """
    roles: tuple[str, ...] | None = None
    """Instead of `arms`: every arm of these roles (`multitask`, `mlm-mix`, `translated`, …)."""
    targets: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    """Kinds of target task, as `retrieval` or `span_qa`."""
    not_kinds: tuple[str, ...] | None = None
    best_per_target: bool = False
    """Only the arm that is best on English dev for the size and target, chosen by the other
    seeds.
    """


class Expectation(Spec):
    """What the claim says about the contrast, in points. Exactly one field is given."""

    direction: Literal["positive", "negative"] | None = None
    at_least: float | None = None
    about: float | None = None
    """Equal to this within `within`."""
    within: float = Field(default=1.0, gt=0)
    not_above: float | None = None
    """For "no consistent benefit": supported if the interval lies below it."""

    @model_validator(mode="after")
    def _one(self) -> Expectation:
        given = [
            n
            for n in ("direction", "at_least", "about", "not_above")
            if getattr(self, n) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                f"expect needs exactly one of direction, at_least, about, not_above; it has {given}"
            )
        return self


class Claim(Spec):
    """A contrast of gains that a paper makes a statement about, and what it states."""

    name: str
    says: str
    """The claim in one sentence."""
    source: str
    of: Selection
    against: Selection | None = None
    """Subtracted from `of`; None: against no intermediate training."""
    each_arm: bool = False
    """Check every arm of `of` alone: supported (contradicted) if more than half of them are."""
    expect: Expectation
    languages: Literal["zero-shot", "all"] = "zero-shot"
    same_data: bool = False
    """Whether pairs that train twice on the same data count."""
    note: str = ""


class ClaimsFile(Spec):
    """What a YAML file of claims holds."""

    claims: tuple[Claim, ...]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the data say about one claim at one size."""

    claim: Claim
    model: str
    label: str
    status: Status
    estimate: float
    low: float
    high: float
    detail: str
    """What was compared, or why the claim was not run."""
    p: float = 1.0
    """Of the status, before the correction over the file's claims; 1 where there is none."""


def load_claims(path: Path) -> tuple[Claim, ...]:
    """The claims of a YAML file; BadFile names the file, the line, the place and the valid keys."""
    claims = load(ClaimsFile, path)[0].claims
    names = [claim.name for claim in claims]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadFile(f"{path}: claim names must differ, but {twice} occur twice.")
    return claims


def check_claims(
    claims: tuple[Claim, ...],
    gains: pl.DataFrame,
    sizes: pl.DataFrame,
) -> list[Checked]:
    """Every claim at every size.

    Collapsed runs are left out; intervals are over replicas (size, seed), statuses are corrected
    over all of them (`holm`).

    Args:
        claims: Of `load_claims`.
        gains: Paired gains with facts about their languages.
        sizes: Of `size_table`.
    """
    out: list[Checked] = []
    for claim in claims:
        rule = ~pl.col("collapsed")
        if claim.languages == "zero-shot":
            rule &= pl.col("language") != ENGLISH
        if not claim.same_data:
            rule &= ~pl.col("same_data")
        out += _check(claim, gains.filter(rule), sizes)
    return holm(out)


def _check(claim: Claim, gains: pl.DataFrame, sizes: pl.DataFrame) -> list[Checked]:
    named = _named_arms(claim)
    absent = [
        *sorted(named - set(gains["arm"].unique())),
        *sorted(_roles(claim) - set(gains["role"].unique())),
    ]
    if absent:
        return [
            _not_run(claim, row, f"no gain of {', '.join(absent)} in the data")
            for row in _sizes(sizes)
        ]
    named |= set(gains.filter(pl.col("role").is_in(sorted(_roles(claim))))["arm"].unique())
    x = sizes["x"].to_numpy()
    if claim.each_arm:
        return _check_each(claim, gains, sizes, named)
    first = _side(claim.of, gains, sizes, named)
    second = _side(claim.against, gains, sizes, named) if claim.against else None
    difference = first if second is None else first - second
    return [_judged(claim, row, difference, i, x) for i, row in enumerate(_sizes(sizes))]


def _check_each(
    claim: Claim, gains: pl.DataFrame, sizes: pl.DataFrame, named: set[str]
) -> list[Checked]:
    arms = sorted(_select(claim.of, gains, named)["arm"].unique())
    alone = {
        arm: _side(claim.of.model_copy(update={"arms": (arm,)}), gains, sizes, named)
        for arm in arms
    }
    out, x = [], sizes["x"].to_numpy()
    for i, row in enumerate(_sizes(sizes)):
        each = {arm: _judged(claim, row, r, i, x) for arm, r in alone.items()}
        run = {arm: item for arm, item in each.items() if item.status != "not run"}
        if not run:
            out.append(_not_run(claim, row, "no such gain at this size"))
            continue
        num = {
            status: sum(item.status == status for item in run.values())
            for status in ("supported", "contradicted")
        }
        tested = [item for item in run.values() if item.status != "not tested"]
        status, p = _most(tested)
        estimates = [item.estimate for item in run.values()]
        detail = (
            f"{num['supported']} of {len(run)} arms as claimed, {num['contradicted']} against it"
        )
        out.append(
            _result(
                claim, row, status, float(np.mean(estimates)), float("nan"), float("nan"), detail, p
            )
        )
    return out


def _most(items: list[Checked]) -> tuple[Status, float]:
    """What more than half of the arms do, by the partial conjunction test: (n − k + 1)·p₍ₖ₎ for
    "at least k of n", k the smallest majority (Benjamini & Heller 2008).
    """
    if not items:
        return "not tested", 1.0
    need = len(items) // 2 + 1
    for status in ("supported", "contradicted"):
        p = sorted(item.p for item in items if item.status == status)
        if len(p) >= need and (len(items) - need + 1) * p[need - 1] <= 0.05:
            return status, (len(items) - need + 1) * p[need - 1]
    return "undecided", 1.0


def _roles(claim: Claim) -> set[str]:
    return {
        role for side in (claim.of, claim.against) if side is not None for role in side.roles or ()
    }


def _named_arms(claim: Claim) -> set[str]:
    sides = [claim.of, claim.against]
    return {
        arm
        for side in sides
        if side is not None and not isinstance(side.arms, str)
        for arm in side.arms
    }


def _select(side: Selection, gains: pl.DataFrame, named: set[str]) -> pl.DataFrame:
    if side.roles is not None:
        rule = pl.col("role").is_in(list(side.roles))
    elif side.arms == "pooled":
        rule = pl.col("pooled")
    elif side.arms == "others":
        rule = pl.col("pooled") & ~pl.col("arm").is_in(sorted(named))
    else:
        rule = pl.col("arm").is_in(list(side.arms))
    if side.targets is not None:
        rule &= pl.col("target").is_in(list(side.targets))
    if side.kinds is not None:
        rule &= pl.col("kind").is_in(list(side.kinds))
    if side.not_kinds is not None:
        rule &= ~pl.col("kind").is_in(list(side.not_kinds))
    return gains.filter(rule)


def _side(side: Selection, gains: pl.DataFrame, sizes: pl.DataFrame, named: set[str]) -> Array:
    """Replica values [size, seed]; seeds in the order of all seeds in `gains`, NaN where nothing
    was run.
    """
    seeds = gains["seed"].unique().sort().to_list()
    r = np.full((len(sizes), len(seeds)), np.nan)
    chosen = _select(side, gains, named)
    if side.best_per_target:
        chosen = _best_per_target(chosen)
    if chosen.is_empty():
        return r
    panel = make_panel(chosen, sizes, "points")
    at = [seeds.index(seed) for seed in panel.seeds]
    r[:, at] = _found(panel)
    return r


def _found(panel: Panel) -> Array:
    r = np.full((panel.num_sizes, len(panel.seeds)), np.nan)
    for i in range(panel.num_sizes):
        here = np.isfinite(panel.y[i]).any(axis=0)
        if here.any():
            part = panel.only(here)
            r[i] = replicas(part.y[i : i + 1], part.weights)[0]
    return r


def _best_per_target(gains: pl.DataFrame) -> pl.DataFrame:
    """Per (model, target, seed) the arm with the best English dev score over the other seeds, as
    arm `best`.

    With one seed its own dev score selects, and the selection bias is part of the result. Gains
    without an English dev score cannot be selected.
    """
    keys = ["model", "target"]
    dev = (
        gains.filter(pl.col("english_dev").is_not_null())
        .select(*keys, "arm", "seed", "english_dev")
        .unique()
    )
    total = dev.with_columns(
        pl.col("english_dev").sum().over(*keys, "arm").alias("sum"),
        pl.len().over(*keys, "arm").alias("num"),
    )
    others = total.with_columns(
        pl.when(pl.col("num") > 1)
        .then((pl.col("sum") - pl.col("english_dev")) / (pl.col("num") - 1))
        .otherwise(pl.col("english_dev"))
        .alias("dev_of_others")
    )
    best = (
        others.sort("dev_of_others", "arm", descending=[True, False])
        .group_by(*keys, "seed", maintain_order=True)
        .agg(pl.col("arm").first())
    )
    return gains.join(best, on=[*keys, "seed", "arm"]).with_columns(pl.lit("best").alias("arm"))


def _judged(claim: Claim, row: dict[str, str], r: Array, i: int, x: Array) -> Checked:
    if not np.isfinite(r[i]).any():
        return _not_run(claim, row, "no such gain at this size")
    result = contrast(r, np.eye(len(r))[i], x)
    low, high = (float(v) for v in result.interval())
    seeds = int(moments(r)[0][i])
    detail = f"{seeds} seed{'s' if seeds != 1 else ''}"
    if not np.isfinite(low):
        return _result(claim, row, "not tested", float(result.estimate), low, high, detail)
    status, p = judge(claim.expect, result)
    return _result(claim, row, status, float(result.estimate), low, high, detail, p)


def judge(expect: Expectation, result: Contrast) -> tuple[Status, float]:
    """The status of an estimate against an expectation, and the p-value of that status.

    Inside what is claimed, outside it, or across its edge, by the 95 % interval.

    Inside a range both of its ends are excluded, so the larger p counts; outside, the nearer end.
    """
    low, high = bounds_of(expect)
    estimate = float(result.estimate)
    ends = [bound for bound in (low, high) if np.isfinite(bound)]
    p = [float(replace(result, estimate=result.estimate - bound).p) for bound in ends]
    inside = low < estimate < high
    found = max(p) if inside else min(p)
    if found > 0.05:
        return "undecided", 1.0
    return ("supported" if inside else "contradicted"), found


def bounds_of(expect: Expectation) -> tuple[float, float]:
    """The open range, in points, that an estimate must lie in."""
    if expect.direction is not None:
        return (0.0, np.inf) if expect.direction == "positive" else (-np.inf, 0.0)
    if expect.about is not None:
        return expect.about - expect.within, expect.about + expect.within
    if expect.at_least is not None:
        return expect.at_least, np.inf
    return -np.inf, expect.not_above if expect.not_above is not None else np.inf


def holm(checked: list[Checked]) -> list[Checked]:
    """Statuses that survive Holm's correction over all tests of the list (Holm 1979).

    So there is one wrong status among them in 5 % of studies. The others become undecided.
    """
    tested = [
        i for i, c in enumerate(checked) if c.status in ("supported", "contradicted", "undecided")
    ]
    out, alive = list(checked), True
    for rank, i in enumerate(sorted(tested, key=lambda i: checked[i].p)):
        alive = alive and checked[i].p * (len(tested) - rank) <= 0.05
        if not alive and out[i].status != "undecided":
            out[i] = replace(out[i], status="undecided")
    return out


def _sizes(sizes: pl.DataFrame) -> list[dict[str, str]]:
    return sizes.select("model", "label").to_dicts()


def _not_run(claim: Claim, row: dict[str, str], why: str) -> Checked:
    return _result(claim, row, "not run", float("nan"), float("nan"), float("nan"), why)


def _result(
    claim: Claim,
    row: dict[str, str],
    status: Status,
    estimate: float,
    low: float,
    high: float,
    detail: str,
    p: float = 1.0,
) -> Checked:
    return Checked(
        claim=claim,
        model=row["model"],
        label=row["label"],
        status=status,
        estimate=estimate,
        low=low,
        high=high,
        detail=detail,
        p=p,
    )
