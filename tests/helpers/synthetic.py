"""Synthetic studies with a known truth: for tests, for calibration, and to see a report before any
GPU has run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from analysis.load import SCHEMA
from scaling.catalogue.languages import get_language
from scaling.catalogue.models import MODELS

XLMR = ("xlm-r-base", "xlm-r-large", "xlm-r-xl", "xlm-r-xxl")
LANGUAGES_OF_STUDY = (
    "sw",
    "ur",
    "mr",
    "te",
    "jv",
    "yo",
    "qu",
    "eu",
    "ta",
    "tr",
    "hi",
    "de",
    "ru",
    "vi",
    "zh",
    "en",
)


def _role(arm: str) -> str:
    """The role that an arm's name tells; any other name is one English task."""
    if arm.startswith("control"):
        return "control"
    return arm if arm in ("none", "multitask", "mlm-mix", "translated") else "single"


def study(
    *,
    gain: Callable[[float, str, str, str], float] = lambda u, arm, target, language: 2.0,
    models: Sequence[str] = XLMR,
    arms: Sequence[str] = ("mnli", "squad1"),
    targets: Mapping[str, Sequence[str]] | None = None,
    seeds: int = 3,
    baseline: Callable[[float, str, str], float] = lambda u, target, language: 60.0 + 8.0 * u,
    logit: bool = False,
    run_sd: float = 0.5,
    checkpoint_sd: float = 0.3,
    language_sd: float = 0.5,
    collapse_rate: float = 0.0,
    share_checkpoint: bool = False,
    n: int = 1000,
    seed: int = 0,
) -> pl.DataFrame:
    """Tidy rows of a full study.

    `gain(u, arm, target, language)` is the true gain in points (log odds if `logit`) at u = decades
    above the smallest size; `baseline(u, target, language)` the true score without phase ii,
    0..100. SDs are in points: of a fine-tuning run (shared by its languages), of a phase-ii
    checkpoint (shared by all targets), of a single score. A collapsed run scores chance and is
    flagged. Phase ii costs 25 cents at the smallest size, and so does phase iii.
    `share_checkpoint`: one phase ii for all seeds.
    """
    targets = targets or {"xnli": LANGUAGES_OF_STUDY, "panx": LANGUAGES_OF_STUDY}
    rng = np.random.default_rng(seed)
    first = np.log10(MODELS[models[0]].total_params)
    rows: list[dict[str, object]] = []
    for name in models:
        model = MODELS[name]
        u = float(np.log10(model.total_params) - first)
        checkpoint = {(arm, s): rng.normal(0, checkpoint_sd) for arm in arms for s in range(seeds)}
        for target, languages in targets.items():
            chance = 1 / 3 if target == "xnli" else 0.0
            for s in range(seeds):
                for arm in ("none", *arms):
                    run, dead = rng.normal(0, run_sd), rng.random() < collapse_rate
                    ii = 0 if share_checkpoint else s
                    shared = run + (0.0 if arm == "none" else checkpoint[arm, ii])
                    step = f"{name}/{arm}/{target}/seed{s}/eval-{rng.integers(16**12):012x}"
                    paid = 0.5 if arm == "none" else 1.0
                    for language in languages:
                        get_language(language)
                        before = baseline(u, target, language)
                        points = (
                            before
                            if arm == "none"
                            else _after(before, gain(u, arm, target, language), logit)
                        )
                        value = points + shared + rng.normal(0, language_sd)
                        value = 100 * chance if dead else float(np.clip(value, 0.1, 99.9))
                        rows.append(
                            {
                                "study": "synthetic",
                                "family": model.family,
                                "model": name,
                                "model_label": model.label,
                                "total_params": model.total_params,
                                "backbone_params": model.backbone_params,
                                "train_flops": 6e6
                                * model.backbone_params
                                * (1.0 if arm == "none" else 2.0),
                                "method": "full",
                                "arm": arm,
                                "role": _role(arm),
                                "intermediate": "" if arm == "none" else arm,
                                "target": target,
                                "kind": "classification",
                                "language": language,
                                "seed": s,
                                "intermediate_seed": -1 if arm == "none" else ii,
                                "rerun": 0,
                                "split": "test",
                                "metric": "accuracy",
                                "depth": None,
                                "main": True,
                                "n": n,
                                "value": value / 100,
                                "chance": chance,
                                "english_dev": 0.8,
                                "collapsed": dead,
                                "same_data": (arm, target)
                                in {("mnli", "xnli"), ("squad1", "xquad")},
                                "step": step,
                                "wall_seconds": paid * 60.0 * 4**u,
                                "dollars": paid * 0.5 * 10**u,
                            }
                        )
    return pl.DataFrame(rows, schema=SCHEMA)


def _after(before: float, gain: float, logit: bool) -> float:
    if not logit:
        return before + gain
    odds = np.log(before / (100 - before)) + gain
    return float(100 / (1 + np.exp(-odds)))
