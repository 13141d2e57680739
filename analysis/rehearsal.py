"""A study of one's own design, rehearsed: simulated scores through the rules of the real analysis.

What a design can see is the power of its verdict, not of a t test: three scales must agree, the
variance rule must be paid for, and rising scores squeeze a gain on some scales and not on others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from analysis.collapse import label_runs, wilson
from analysis.estimands import PRIMARY, pooled
from analysis.gains import JUDGED, low_languages, pair_gains, with_languages
from analysis.load import NULLABLE, SCHEMA
from analysis.margins import scale_margins
from analysis.panel import make_panel, size_table
from analysis.power import Ledger
from analysis.verdict import decide, why_descriptive
from scaling.study.question import Question

PATHS: Mapping[str, tuple[float, float]] = {"flat": (0.6, 0.6), "rising": (0.5, 0.75)}
"""Scores without phase ii at the smallest and the largest size, as shares of the room above
chance."""


FALLS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Falls that are tried, points from the smallest to the largest size."""
WANTED = 0.8
"""Power."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target task of a design: its languages, and what its scores can be."""

    name: str
    languages: tuple[str, ...]
    chance: float
    num_examples: int
    ceiling: float | None = None


@dataclass(frozen=True, kw_only=True)
class Design:
    """What will be run."""

    params: Mapping[str, float]
    """Model → scale on the question's axis, ascending."""
    seeds: Sequence[int]
    """Seeds of each model."""
    arms: int
    targets: tuple[Target, ...]
    family: str = "xlm-r"
    """Whose pretraining text says which languages are low-resource."""


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """How often each verdict came out when the truth was `change` on the path `baselines`."""

    baselines: str
    change: float
    """Points from the smallest to the largest size."""
    studies: int
    coverage: float
    """Of the slope in points."""
    forms: Mapping[str, float]
    """Form of the verdict → share of the studies."""


def rehearse(
    design: Design,
    ledger: Ledger,
    question: Question,
    *,
    change: float,
    baselines: str,
    studies: int,
    gain: float = 3.0,
    seed: int = 0,
) -> Rehearsed:
    """`studies` simulated studies through pairing, labels, panels, intervals and the verdict.

    Args:
        design: Sizes, seeds, arms and targets.
        ledger: Noise, points².
        question: Margins and the low-resource definition.
        change: True change of the gain from end to end, points; linear in the log of the scale.
        baselines: A key of `PATHS`.
        studies: How many.
        gain: True gain in the middle of the axis, points.
        seed: Of the simulation.
    """
    rng = np.random.default_rng(seed)
    # Nothing that the verdict is not about can change it, and most of the rows are that.
    design = asked_of(design, question)
    x = np.log10(list(design.params.values()))
    forms: Counter[str] = Counter()
    hits = 0
    for _ in range(studies):
        frame = simulated(design, ledger, rng, change=change, baselines=baselines, gain=gain)
        form, low, high = _verdict(frame, question)
        forms[form] += 1
        hits += low <= change / np.ptp(x) <= high
    return Rehearsed(
        baselines=baselines,
        change=change,
        studies=studies,
        coverage=float(hits / studies),
        forms={form: num / studies for form, num in forms.most_common()},
    )


@dataclass(frozen=True, kw_only=True)
class Smallest:
    """The fall that is called DIMINISHES in 80 % of studies, points; inf: beyond all of `FALLS`."""

    at: float
    low: float
    high: float
    """Ends of the 95 % interval that the number of simulated studies leaves."""


def smallest_change(
    design: Design, ledger: Ledger, question: Question, *, baselines: str, studies: int
) -> Smallest:
    """The smallest fall that is called DIMINISHES in 80 % of studies, by steps of `FALLS`.

    The share rises with the fall, so that halving finds its place; between two steps it is taken
    for linear. Each end of the interval is the step at which the share's Wilson interval leaves
    out 80 %.

    Args:
        design: Sizes, seeds, arms and targets.
        ledger: Noise, points².
        question: Margins and the low-resource definition.
        baselines: A key of `PATHS`.
        studies: Simulated for each fall.
    """
    share: dict[int, float] = {}

    def called(step: int) -> float:
        if step not in share:
            found = rehearse(
                design, ledger, question, change=-FALLS[step], baselines=baselines, studies=studies
            )
            share[step] = found.forms.get("DIMINISHES", 0.0)
        return share[step]

    def ends(step: int) -> tuple[float, float]:
        low, high = wilson(np.array([round(called(step) * studies)]), np.array([studies]))
        return float(low[0]), float(high[0])

    first, last = 0, len(FALLS)
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if called(middle) >= WANTED else (middle + 1, last)
    low = min(first, len(FALLS) - 1)
    while low >= 0 and ends(low)[1] >= WANTED:
        low -= 1
    high = first
    while high < len(FALLS) and ends(high)[0] < WANTED:
        high += 1
    return Smallest(
        at=_between(first, called),
        low=0.0 if low < 0 else FALLS[low],
        high=float("inf") if high == len(FALLS) else FALLS[high],
    )


def _between(step: int, called: Callable[[int], float]) -> float:
    """The fall of power `WANTED` on the line from the step before; none falls in no study."""
    if step == len(FALLS):
        return float("inf")
    before, less = (FALLS[step - 1], called(step - 1)) if step else (0.0, 0.0)
    return before + (WANTED - less) / (called(step) - less) * (FALLS[step] - before)


def asked_of(design: Design, question: Question) -> Design:
    """The design with the languages that the verdict is about: the low-resource ones, if any."""
    codes = {code for target in design.targets for code in target.languages}
    low = low_languages(sorted(codes), question, question.text_of or design.family)
    if not low:
        return design
    kept = [
        replace(target, languages=tuple(code for code in target.languages if code in low))
        for target in design.targets
    ]
    return replace(design, targets=tuple(target for target in kept if target.languages))


def _verdict(frame: pl.DataFrame, question: Question) -> tuple[str, float, float]:
    """Form of the verdict, and the interval of the slope in points."""
    gains = with_languages(pair_gains(label_runs(frame)), question).filter(PRIMARY)
    condition = pl.col("low") if gains["low"].any() else pl.lit(True)
    sizes = size_table(frame, "total_params")
    found = {
        scale: pooled(make_panel(gains, sizes, scale), condition, "rehearsed", scale)
        for scale in JUDGED
    }
    slopes = {scale: group[0] for scale, group in found.items()}
    seeds = min(int(num) for num in slopes["points"].seeds.split())
    verdict = decide(
        slopes,
        found["points"][1],
        margins=scale_margins(
            gains.filter(condition), question.margin, float(np.ptp(sizes["x"].to_numpy()))
        ),
        margin_at_largest=question.margin_at_largest,
        reasons=why_descriptive(seeds, shared_checkpoint=False),
    )
    return verdict.form, slopes["points"].low, slopes["points"].high


def simulated(
    design: Design,
    ledger: Ledger,
    rng: np.random.Generator,
    *,
    change: float,
    baselines: str,
    gain: float,
) -> pl.DataFrame:
    """Tidy rows of one study of the design; scores are shares of each target's examples.

    Args:
        design: Sizes, seeds, arms and targets.
        ledger: Noise, points².
        rng: Draws.
        change: True change of the gain from end to end, points.
        baselines: A key of `PATHS`.
        gain: True gain in the middle of the axis, points.
    """
    x = np.log10(list(design.params.values()))
    u = (x - x[0]) / np.ptp(x)
    first, last = PATHS[baselines]
    num_seeds = max(design.seeds)
    shape = (len(x), num_seeds)
    shared = np.sqrt(ledger.replica) * rng.standard_normal(shape)
    phase = np.sqrt(ledger.checkpoint) * rng.standard_normal((*shape, design.arms))
    size, seed = np.indices(shape)
    run = seed < np.array(design.seeds)[:, None]
    size, seed = size[run], seed[run]
    names = np.array(list(design.params))
    parts = []
    for target in design.targets:
        num = len(target.languages)
        room = (1.0 if target.ceiling is None else target.ceiling) - target.chance
        level = 100 * (target.chance + room * (first + (last - first) * u))
        before = level[:, None] + np.sqrt(ledger.baseline) * rng.standard_normal(shape)
        for arm in range(design.arms + 1):
            points = before
            if arm:
                own = np.sqrt(ledger.run) * rng.standard_normal(shape)
                effect = gain + change * (u - 0.5)
                # The baseline's own noise stays in the baseline: runs with phase ii are others.
                points = level[:, None] + effect[:, None] + shared + phase[..., arm - 1] + own
            noise = np.sqrt(ledger.language / 2) * rng.standard_normal((len(size), num))
            share = np.clip((points[size, seed][:, None] + noise) / 100, 0, target.ceiling or 1.0)
            value = np.floor(share * target.num_examples) / target.num_examples
            name = "none" if arm == 0 else f"arm{arm}"
            parts.append(
                pl.DataFrame(
                    {
                        "model": np.repeat(names[size], num),
                        "total_params": np.repeat(
                            np.array(list(design.params.values()))[size], num
                        ).astype(np.int64),
                        "seed": np.repeat(seed, num),
                        "language": np.tile(np.array(target.languages), len(size)),
                        "value": value.ravel(),
                    }
                ).with_columns(
                    arm=pl.lit(name),
                    role=pl.lit("none" if arm == 0 else "single"),
                    target=pl.lit(target.name),
                    n=pl.lit(target.num_examples),
                    chance=pl.lit(target.chance),
                    ceiling=pl.lit(target.ceiling, dtype=pl.Float64),
                )
            )
    frame = pl.concat(parts).with_columns(model_label=pl.col("model"))
    return _completed(frame, design.family)


def _completed(frame: pl.DataFrame, family: str) -> pl.DataFrame:
    """`frame` with the columns of tidy rows that no rule here looks at; null where they may be."""
    constants = {
        "study": "rehearsal",
        "family": family,
        "train_flops": 1.0,
        "method": "full",
        "intermediate": "",
        "kind": "classification",
        "intermediate_seed": 0,
        "rerun": 0,
        "split": "test",
        "metric": "score",
        "depth": None,
        "main": True,
        "collapsed": False,
        "same_data": False,
        "step": "",
        "wall_seconds": 0.0,
    }
    unknown = dict.fromkeys(sorted(NULLABLE - set(frame.columns)))
    whole = frame.with_columns(
        pl.lit(value, dtype=SCHEMA[name]).alias(name)
        for name, value in {**constants, **unknown}.items()
    ).with_columns(backbone_params=pl.col("total_params"))
    return whole.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
