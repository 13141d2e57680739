"""Prices, languages that gain together, and foresight, in words."""

from __future__ import annotations

import math

from analysis.results import Results
from analysis.sentences import number


def scale_text(value: float) -> str:
    """A scale for prose: `3.5 billion`, `270 million`, `4.1 × 10^20`."""
    for unit, word in ((1e12, ""), (1e9, "billion"), (1e6, "million")):
        if value >= unit and word:
            return f"{number(value / unit, 2)} {word}"
        if value >= unit:
            power = math.floor(math.log10(value))
            return f"{number(value / 10**power, 1)} × 10^{power}"
    return number(value, 0)


def price_text(value: float | None, unit: str) -> str:
    """A price of a point; `no gain` where nothing is bought, an en dash where unknown."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "no gain"
    digits = 2 if value >= 0.1 else 4
    return f"${number(value, digits)}" if unit == "$" else f"{number(value, digits)} h"


def price_interval(low: float, high: float, unit: str) -> str:
    """Both ends of a price; open where nothing may be bought."""
    if math.isnan(low):
        return "no interval"
    if math.isinf(low):
        return "no gain"
    most = "without end" if math.isinf(high) else price_text(high, unit)
    return f"{price_text(low, unit)} to {most}"


def crossover_sentences(results: Results) -> list[str]:
    """From which size on phase ii is not worth its cost, with its interval."""
    found = results.crossover
    if found is None:
        return [
            "What phase ii costs is not known: cells with it cost no more than cells without, or"
            " have no times."
        ]
    unit = "$" if found.costs.unit == "$" else " device hours"
    worth = (
        "any gain is worth its cost (no worth of a point is declared)"
        if found.worth is None
        else f"a point is worth ${number(found.worth)}"
        if unit == "$"
        else f"a point is worth {number(found.worth)}{unit}"
    )
    if found.crossing is None:
        return [f"If {worth}: no crossover is quoted, as the study is described and not tested."]
    c, last = found.crossing, results.primary.sizes.split(", ")[-1]
    first = results.primary.sizes.split(", ")[0]
    between = f"{_end(c.low, first, last)} to {_end(c.high, first, last)}"
    if math.isinf(c.at):
        text = (
            f"phase ii is worth its cost up to {last} (95 % interval of where that ends: {between})"
        )
    elif c.at == 0:
        text = (
            f"phase ii is worth its cost at no size from {first} on (95 % interval of where"
            f" it is: {between})"
        )
    else:
        text = (
            f"from {scale_text(c.at)} {_axis(results)} on, phase ii is not worth its cost (95 %"
            f" interval {between})"
        )
    return [
        f"If {worth}, {text}. The line through the sizes' gains is taken for true between them, and"
        " costs between them lie on a line of their logarithms."
    ]


def _end(value: float, first: str, last: str) -> str:
    if value == 0:
        return f"below {first}"
    return f"beyond {last}" if math.isinf(value) else scale_text(value)


def _axis(results: Results) -> str:
    return "training FLOPs" if results.question.x_axis == "train_flops" else "parameters"


def together_sentence(results: Results) -> str:
    """How alike languages gain, inside families and across them."""
    found = results.co_gains
    if results.verdict.call is None:
        return (
            "Which languages gain together is not shown: runs that do not replicate cannot tell it"
            " from the noise that languages of a run share."
        )
    if found is None:
        return (
            "Which languages gain together cannot be told: no two languages have gains that differ"
            " between arms and sizes alike under different seeds."
        )
    shown, pairs = found.pairs
    inside, across = found.mean(same_family=True), found.mean(same_family=False)
    return (
        f"The correlation of gains over sizes, arms and targets can be told for {shown} of"
        f" {pairs} pairs of languages; its mean is {number(inside)} inside a language family and"
        f" {number(across)} across families. It is described, not tested."
    )


def foresight_sentence(results: Results) -> str:
    """How often the smallest size would have told what the largest shows."""
    table = results.foresight
    rows = table.to_dicts()
    first, last = rows[0], rows[-1]
    parts = []
    if math.isfinite(first["order"]):
        parts.append(
            f"which of two arms is better for a target as {last['label']} does in"
            f" {number(100 * first['order'], 0)} % of {first['pairs']} choices"
            f"{_self(last['order'], last['label'])}"
        )
    if math.isfinite(first["helps"]):
        parts.append(
            f"whether an arm helps in {number(100 * first['helps'], 0)} % of"
            f" {first['choices']} choices{_self(last['helps'], last['label'])}"
        )
    if not parts:
        return "There is nothing to choose between: no two arms, or no gain at every size."
    text = f"{first['label']} says {'; '.join(parts)}."
    if math.isfinite(first["lost"]):
        text += (
            f" Its best arm for each target loses {number(first['lost'])} points at"
            f" {last['label']} against the best there."
        )
    return text


def _self(share: float, label: str) -> str:
    if not math.isfinite(share):
        return ""
    return f" ({label} agrees with its own other seeds in {number(100 * share, 0)} %)"
