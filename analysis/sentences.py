"""Results → short sentences. Every number in the report's prose comes from here, none is typed."""

from __future__ import annotations

import math

from analysis.estimands import Estimate
from analysis.results import Results

DEFINITIONS = {"cc100": "under 5 GiB of CC-100 text, or none", "joshi": "Joshi class 0 to 2"}
AXIS_NAMES = {
    "total_params": "parameters",
    "backbone_params": "parameters without embeddings",
    "train_flops": "training FLOPs",
}


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """A number with a true minus sign; an en dash for what does not exist."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", "−")


def interval(low: float, high: float, digits: int = 2) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "no interval"
    return f"{number(low, digits)} to {number(high, digits)}"


def p_text(p: float) -> str:
    if not math.isfinite(p):
        return "p not defined"
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")


def q_text(q: float) -> str:
    return "<.001" if q < 0.001 else number(q, 3).replace("0.", ".")


def with_interval(e: Estimate, unit: str = "", digits: int = 2) -> str:
    unit = f" {unit}" if unit else ""
    return (
        f"{number(e.estimate, digits, sign=True)}{unit} (95 % interval"
        f" {interval(e.low, e.high, digits)})"
    )


def headline(results: Results) -> str:
    """The answer in one sentence."""
    who = (
        "low-resource languages"
        if results.population == "low-resource"
        else "all zero-shot languages"
    )
    form = results.verdict.form
    forms = {
        "DIMINISHES": f"The gain shrinks with scale for {who}, in points and in log odds.",
        "GROWS": f"The gain grows with scale for {who}, in points and in log odds.",
        "EQUIVALENT": f"The gain does not change with scale for {who}, within the margin.",
        "INCONCLUSIVE": f"This study cannot tell whether the gain changes with scale for {who}.",
        "descriptive only": (
            f"Numbers for {who} are described, not tested: the runs do not replicate."
        ),
    }
    if form == "DIMINISHES" and results.largest.high < 0:
        # A slope below zero can also be harm that grows; the reader must not take it for a
        # vanishing benefit.
        return f"{forms[form]} At the largest size it is a loss."
    fallback = f"For {who} the gain {form}: the change does not show in log odds."
    return forms.get(form, fallback)


def summary(results: Results) -> list[str]:
    """What stands behind the verdict, most important first."""
    q, e = results.question, results.primary
    axis = AXIS_NAMES[q.x_axis]
    out = [
        (
            f"Per tenfold {axis}, the {results.population} gain changes by"
            f" {with_interval(e, 'points')} and by {with_interval(results.logit, '', 3)} in log"
            " odds."
        ),
        (
            f"It is the mean over {e.num_languages} languages of {e.num_targets} target"
            f" task{'s' if e.num_targets != 1 else ''}, on the {e.num_series} of"
            f" {results.num_series} series that exist at every size; seeds per size:"
            f" {e.seeds.replace(' ', ', ')}."
        ),
    ]
    left_out = [label for label in results.sizes["label"] if label not in e.sizes.split(", ")]
    if left_out:
        out.append(f"It covers {e.sizes} only: {', '.join(left_out)} has too few series so far.")
    for reason in results.verdict.reasons:
        out.append(f"No test is made: {reason}.")
    out.append(_end(results))
    out.append(_largest(results))
    if results.verdict.call is not None:
        out.append(_margin(results))
    if results.gamma is not None:
        out.append(
            "Each standard deviation more of pretraining text moves the slope by"
            f" {with_interval(results.gamma, 'points')}; this compares languages of the same runs."
        )
    if results.verdict.specifications and results.verdict.call is not None:
        agree, num = results.verdict.agree, results.verdict.specifications
        if results.verdict.form == "INCONCLUSIVE":
            out.append(f"{agree} of {num} specifications are as undecided.")
        else:
            word = "robust" if results.verdict.robust else "not robust"
            out.append(f"{agree} of {num} specifications agree: the verdict is {word}.")
    out.append(_counts(results))
    return out


def _end(results: Results) -> str:
    """The change that was seen, without extrapolation to a whole tenfold."""
    e, x = results.end, results.power.x
    sizes, span = e.sizes.split(", "), x[-1] - x[0]
    times = number(10**span, 1)
    text = (
        f"From {sizes[0]} to {sizes[-1]}, {times} times the scale, it changes by"
        f" {with_interval(e, 'points')}"
    )
    if span < 1:
        return f"{text}. The sizes span less than tenfold, so slopes per tenfold reach beyond them."
    return f"{text}."


def _largest(results: Results) -> str:
    e, margin = results.largest, results.question.margin_at_largest
    text = (
        f"At the largest size ({e.sizes.split(', ')[-1]}) the gain is {with_interval(e, 'points')}"
    )
    if results.verdict.vanished:
        return f"{text}: it has vanished, within ±{number(margin)} points."
    if e.sign > 0:
        text += ": it has not vanished"
    share, low, high = results.retention
    if math.isfinite(low):
        first = e.sizes.split(", ")[0]
        between = interval(100 * low, 100 * high, 0)
        return (
            f"{text}. That is {number(100 * share, 0)} % of the gain at {first} (95 % interval"
            f" {between} %, Fieller)."
        )
    return f"{text}. What share of the smallest size's gain is left cannot be bounded."


def _margin(results: Results) -> str:
    q, p = results.question, results.power
    text = (
        f"The margin fixed for 'no change' is ±{number(q.margin)} points; this design sees slopes"
        f" of {number(p.detectable)} points and more with 80 % power."
    )
    if results.verdict.call in ("INCONCLUSIVE",):
        detect = p.seeds_to_detect_margin or "more than 200"
        affirm = p.seeds_to_affirm or "more than 200"
        text += (
            f" Seeing a slope of the margin's size needs {detect} seeds per size, affirming no"
            f" change {affirm}."
        )
    return text


def _counts(results: Results) -> str:
    table = results.languages
    low = table.filter(table["low_resource"])
    count = {
        word: int((low["direction"] == word).sum()) for word in ("falls", "rises", "undecided")
    }
    if not len(low):
        return "The study has no low-resource language."
    return (
        f"Of {len(low)} low-resource languages the gain falls in {count['falls']}, rises in"
        f" {count['rises']} and is undecided in {count['undecided']} (false discovery rate 5 %)."
    )


def shape_sentence(results: Results) -> str:
    """What MCP-Mod says."""
    test = results.shapes
    if test is None:
        return "Shapes of change were not tested: that needs three sizes and two seeds at each."
    best = test.names[int(test.best)]
    if best.startswith("step at size "):
        best = f"a step at {results.primary.sizes.split(', ')[int(best.rsplit(' ', 1)[1]) - 1]}"
    t = float(test.statistics[int(test.best)])
    word = (
        "Some change with scale is established"
        if float(test.p) < 0.05
        else "No shape of change is established"
    )
    return (
        f"{word} ({p_text(float(test.p))}, adjusted for {len(test.names)} shapes); the best"
        f" supported is “{best}”, {'falling' if t < 0 else 'rising'} (t = {number(t)})."
    )


def curve_sentences(results: Results) -> list[str]:
    """What the curves can and cannot say."""
    curve, out = results.curve, []
    if curve.refused:
        out.append(curve.refused)
    if curve.exponent is not None:
        if curve.identified:
            out.append(
                f"The shared exponent of the saturating curve is {number(curve.exponent)} (95 %"
                f" profile {interval(curve.exponent_low or 0.0, curve.exponent_high or 0.0)})."
            )
        else:
            out.append(
                "The exponent of a saturating curve is not identified: its 95 % profile runs to"
                " the edge of the grid"
                f" ({interval(curve.exponent_low or 0.0, curve.exponent_high or 0.0)}), so none is"
                " quoted."
            )
    if curve.errors:
        best = min(curve.errors, key=lambda name: curve.errors[name])
        listed = ", ".join(f"{name} {number(value)}" for name, value in curve.errors.items())
        out.append(
            "Predicting the largest size from the others misses by (mean over languages, points):"
            f" {listed}. Best: {best}."
        )
    return out


def advice_sentences(results: Results) -> list[str]:
    """Where the next seeds pay."""
    steps = []
    for item in results.power.advice:
        cost = (
            f"${number(item.cost)}" if item.unit == "$" else f"{number(item.cost, 3)} {item.unit}"
        )
        cut = number(100 * item.variance_cut, 0)
        steps.append(
            f"a seed at {item.size} (after {item.seeds_before}) cuts it by {cut} % for at most"
            f" {cost}"
        )
    if not steps:
        return ["Without replication the noise is unknown, so no advice on seeds can be computed."]
    return [
        "Where the next seeds buy most precision per"
        f" {'dollar' if results.power.advice[0].unit == '$' else 'hour'}, in order, as shares of"
        f" the variance of the slope: {'; '.join(steps)}."
    ]
