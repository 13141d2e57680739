"""A study of one's own design, rehearsed: simulated scores through the rules of the real analysis.

What a design can see is the power of its verdict, not of a t test: three scales must agree, the
variance rule must be paid for, and rising scores squeeze a gain on some scales and not on others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis.collapse import label_runs
from analysis.estimands import PRIMARY, pooled
from analysis.gains import JUDGED, pair_gains, with_languages
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


def smallest_change(
    design: Design, ledger: Ledger, question: Question, *, baselines: str, studies: int
) -> float | None:
    """The smallest fall, of `FALLS`, that is called DIMINISHES in 80 % of studies; None if none.

    Args:
        design: Sizes, seeds, arms and targets.
        ledger: Noise, points².
        question: Margins and the low-resource definition.
        baselines: A key of `PATHS`.
        studies: Simulated for each fall.
    """
    for fall in FALLS:
        found = rehearse(
            design, ledger, question, change=-fall, baselines=baselines, studies=studies
        )
        if found.forms.get("DIMINISHES", 0.0) >= 0.8:
            return fall
    return None


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
