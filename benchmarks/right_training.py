"""Figures of `make bench-right`: order, weights of tokens, reference loops, scores, decoding."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import Case, made
from scaling.data.features import Features
from scaling.data.order import training_order
from scaling.kinds import KINDS
from scaling.study.recipes import Recipe
from tests.helpers.documented_decoder import EXPLAINED, compare

ROOT = Path(__file__).parents[1]
BATCH = 32
CASES = tuple(
    Case(name=kind, kind=kind, median=22, longest=128, batch=BATCH)
    for kind in ("classification", "multiple_choice", "tagging", "span_qa", "masked_lm")
)


def row(figure: str, target: str, value: str, met: bool) -> dict[str, Any]:
    return {"figure": figure, "target": target, "value": value, "met": met}


def passed(*files: str) -> tuple[bool, str]:
    """(whether all tests of the files pass, how many)."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-o", "addopts=", *files],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout.strip().splitlines()[-1].strip("= ")


def reference_loops() -> Iterator[dict[str, Any]]:
    met, value = passed("tests/end_to_end/test_reference_loops.py")
    target = "all 12 kinds × architectures"
    figure = "reference loops: loss and gradients ≤ 1e-6, 24 updates ≤ 3e-4"
    yield row(figure, target, value, met)


def gold_round_trips() -> Iterator[dict[str, Any]]:
    met, value = passed("tests/end_to_end/test_gold_round_trips.py")
    figure = "gold round trips, all kinds, hard text; exceptions counted by name"
    yield row(figure, "100.0", value, met)


def meeting_again(order: list[np.ndarray], num_units: int) -> float:
    """How many pairs of an update of the first epoch share one of the second, over chance."""
    epoch = num_units // BATCH
    second = np.full(num_units, -1)
    for at, update in enumerate(order[epoch : 2 * epoch]):
        second[update] = at
    met = pairs = 0
    for update in order[:epoch]:
        places = second[update]
        places = places[places >= 0]
        pairs += len(places) * (len(places) - 1)
        met += int((places[:, None] == places[None]).sum()) - len(places)
    return met / pairs / ((BATCH - 1) / (num_units - 1))


def pairs_that_meet_again() -> Iterator[dict[str, Any]]:
    recipe = Recipe(batch=BATCH, epochs=2)
    # What is drawn hangs on the number of units alone, in every kind.
    found = {
        num: float(
            np.mean(
                [
                    meeting_again(training_order(num, recipe, seed), num)
                    for seed in range(20 if num < 1000 else 2)
                ]
            )
        )
        for num in (100, 400, 1_600, 10_000, 100_000)
    }
    value = ", ".join(f"{num:,}: {ratio:.2f}" for num, ratio in found.items())
    figure = "pairs of an epoch-1 update that meet again, over random, by examples, all kinds"
    yield row(figure, "≤ 1.5", value, max(found.values()) <= 1.5)


def quarters(features: Features, kind: str, order: list[np.ndarray]) -> np.ndarray:
    """Mean weight of a term of the loss by the quarter of units, by length, that it stands in."""
    terms = np.array([KINDS[kind].loss_weight([target]) for target in features.targets])
    weight = np.zeros(features.num_units)
    for update in order:
        weight[update] += 1 / terms[update].sum()
    parts = np.array_split(np.argsort(terms, kind="stable"), 4)
    mean = (weight * terms).sum() / terms.sum()
    return np.array([(weight[own] * terms[own]).sum() / terms[own].sum() / mean for own in parts])


def weight_of_a_token() -> Iterator[dict[str, Any]]:
    for case in CASES:
        if case.kind not in ("tagging", "masked_lm"):
            continue
        features = made(case, 3_200, 500)
        rng = np.random.default_rng(0)
        own, chance = [], []
        for seed in range(8):
            recipe = Recipe(batch=BATCH, epochs=4)
            order = training_order(features.num_units, recipe, seed)
            own.append(quarters(features, case.kind, order))
            drawn = [rng.permutation(features.num_units) for _ in range(4)]
            updates = np.concatenate(drawn).reshape(-1, BATCH)
            chance.append(quarters(features, case.kind, list(updates)))
        means = [np.mean(one, 0) for one in (own, chance)]
        apart = np.abs(means[0] / means[1] - 1).max()
        yield row(
            f"weight of a token by length of its sentence, quarters, {case.kind}",
            "within 10 % of random order",
            f"{' '.join(f'{one:.2f}' for one in means[0])}; apart {apart:.1%}",
            bool(apart <= 0.1),
        )


def answer_decoder() -> Iterator[dict[str, Any]]:
    found = compare()
    total = {name: sum(counts.values()) for name, counts in found.items()}
    equal = {name: counts.get("", 0) / total[name] for name, counts in found.items()}
    worst = min(equal, key=lambda name: equal[name])
    reasons = sorted({why for counts in found.values() for why in counts if why})
    rest = ", ".join(
        f"{why}: {sum(counts.get(why, 0) for counts in found.values())}" for why in reasons
    )
    yield row(
        "answers as the documented decoder of transformers' example gives, SQuAD and XQuAD",
        "≥ 99 % in every language; the rest in the closed list",
        f"{equal[worst]:.2%} in the worst ({worst}) of {sum(total.values()):,} questions; {rest}",
        equal[worst] >= 0.99 and set(reasons) <= set(EXPLAINED),
    )


def scores_against_trainer() -> Iterator[dict[str, Any]]:
    """Many minutes: `SCALING_RIGHT_SEEDS` says how many seeds.

    A run that was cut off goes on with `SCALING_RIGHT_KEPT`: a file of the lines that it printed.
    """
    from benchmarks.against_trainer import compare as train_both
    from scaling.cluster.session import quiet
    from scaling.encoders.engine import join_world

    quiet()
    seeds, kept = (
        int(os.environ.get("SCALING_RIGHT_SEEDS", "4")),
        os.environ.get("SCALING_RIGHT_KEPT"),
    )
    yield from score_rows(train_both(seeds, join_world(), kept=Path(kept) if kept else None))


def score_rows(found: Mapping[str, Mapping[str, Sequence[float]]]) -> Iterator[dict[str, Any]]:
    """Rows of the differences to Trainer, from the scores of every seed by line and side."""
    own = {name: apart(one["ours"], one["Trainer"]) for name, one in found.items()}
    mean = float(np.mean([difference for difference, _ in own.values()]))
    error = float(np.sqrt(sum(error**2 for _, error in own.values()))) / len(own)
    seeds = min(len(one["Trainer"]) for one in found.values())
    yield row(
        "score with the random order minus Trainer's, points, mean of the lines",
        "within 0.3, SE ≤ 0.15",
        f"{mean:+.2f}, SE {error:.2f}, {seeds} seeds, {len(own)} lines",
        abs(mean) <= 0.3 and error <= 0.15,
    )
    for name, (difference, error) in own.items():
        yield row(
            f"score minus Trainer's, points, {name} sentences",
            "within 3 SE",
            f"{difference:+.2f}, SE {error:.2f}",
            abs(difference) <= 3 * error,
        )
    for name, one in found.items():
        if one["by length"]:
            difference, error = apart(one["by length"], one["Trainer"])
            yield row(
                f"control, updates sorted by length: score minus Trainer's, points, {name}",
                "fails: below by 2 SE",
                f"{difference:+.2f}, SE {error:.2f}",
                difference <= -2 * error,
            )


def apart(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """(difference of two means, its standard error: not a number for one seed)."""
    errors = [np.var(one, ddof=1) / len(one) if len(one) > 1 else np.nan for one in (first, second)]
    return float(np.mean(first) - np.mean(second)), float(np.sqrt(sum(errors)))


def training_speed() -> Iterator[dict[str, Any]]:
    """Real tokens a second of CPU time against Trainer's default sampling; ours packed."""
    from benchmarks import train

    cases = [case for case in train.CASES if case.name in ("short texts", "long texts", "tagging")]
    found = train.compare(2, cases, ("packed", "random"), updates=15)
    values = {name: rates["packed"] / rates["random"] for name, rates in found.items()}
    yield row(
        "training speed against Trainer's default sampling, with the random order",
        "≥ 1.5×",
        ", ".join(f"{name} {value:.2f}×" for name, value in values.items()),
        min(values.values()) >= 1.5,
    )


FIGURES: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
    one.__name__: one
    for one in (
        reference_loops,
        gold_round_trips,
        pairs_that_meet_again,
        weight_of_a_token,
        answer_decoder,
        training_speed,
        scores_against_trainer,
    )
}
