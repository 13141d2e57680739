"""Results → short sentences. Every number in the report's prose comes from here, none is typed."""

from __future__ import annotations

import math

from analysis.estimands import Estimate, interaction_sign
from analysis.gains import family_of
from analysis.generalise import ALL, FACTORS
from analysis.items import on_such_examples
from analysis.results import Results
from analysis.sensitivity import CHECKPOINTS, INTENDED
from analysis.verdict import DESCRIPTIVE, IDENTICAL, SCALE_BOUND, TREATMENT_BOUND
from scaling.catalogue.resources import TABLES, Text

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


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """`low to high`, or that there is no interval."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "no interval"
    return f"{number(low, digits)} to {number(high, digits)}"


def p_text(p: float) -> str:
    """A p-value for prose, as `p = .012` or `p < .001`."""
    if not math.isfinite(p):
        return "p not defined"
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")


def q_text(q: float | None) -> str:
    """A q-value for a table, as `.012` or `<.001`; an en dash for what does not exist."""
    if q is None or not math.isfinite(q):
        return "–"
    return "<.001" if q < 0.001 else number(q, 3).replace("0.", ".")


def with_interval(e: Estimate, unit: str = "", digits: int = 2) -> str:
    """An estimate with its sign and unit, and its 95 % interval where it has one."""
    unit = f" {unit}" if unit else ""
    if not math.isfinite(e.low):
        return f"{number(e.estimate, digits, sign=True)}{unit}"
    return (
        f"{number(e.estimate, digits, sign=True)}{unit} (95 % interval"
        f" {interval(e.low, e.high, digits)})"
    )


def text_of(results: Results) -> Text | None:
    """The pretraining text that counts; None where nobody published it."""
    return TABLES.get(family_of(results.gains, results.question))


def definition(results: Results) -> str:
    """Which languages count as low-resource, in words."""
    table = text_of(results)
    if results.question.low_resource == "joshi" or table is None:
        return "Joshi class 0 to 2"
    return f"{table.low} ({table.source})"


def headline(results: Results) -> str:
    """The answer in one sentence."""
    who = (
        "low-resource languages"
        if results.population == "low-resource"
        else "all zero-shot languages"
    )
    form = results.verdict.form
    if form in ("DIMINISHES", "GROWS"):
        return (_falling if form == "DIMINISHES" else _rising)(results, who)
    scales = ", ".join(results.verdict.by_scale)
    return {
        "EQUIVALENT": (
            f"The gain does not change with scale for {who}, within the margin, on all three"
            " scales of measurement."
        ),
        "INCONCLUSIVE": f"This study cannot tell whether the gain changes with scale for {who}.",
        SCALE_BOUND: (
            f"Whether the gain changes with scale for {who} depends on the scale of measurement:"
            f" it {scales}."
        ),
        TREATMENT_BOUND: (
            f"Whether the gain changes with scale for {who} depends on how collapsed runs are"
            " treated."
        ),
        DESCRIPTIVE: f"Numbers for {who} are described, not tested: {_untested(results)}.",
    }[form]


def _untested(results: Results) -> str:
    """Why nothing is tested, in short."""
    only_examples = all("such examples" in reason for reason in results.verdict.reasons)
    if results.verdict.reasons and only_examples:
        return "nothing says what other test examples would show"
    if IDENTICAL in results.verdict.reasons:
        return IDENTICAL
    return "the runs do not replicate"


_ON_ALL = "in points, in log odds, and in log odds between chance and ceiling"


def shown_form(results: Results) -> str:
    """The verdict as it is shown: its form, in words for harm where the outer sizes show harm."""
    form, (first, last) = results.verdict.form, _signs(results)
    if form == "DIMINISHES" and last < 0:
        return "HARM GROWS" if first < 0 else "TURNS INTO HARM"
    return "HARM SHRINKS" if form == "GROWS" and first < 0 and last <= 0 else form


def _falling(results: Results, who: str) -> str:
    """A slope below zero: a benefit that shrinks, one that turns, or a harm that grows."""
    return {
        "DIMINISHES": f"The gain shrinks with scale for {who}, {_ON_ALL}.",
        "TURNS INTO HARM": (
            f"With scale, English intermediate training turns into harm for {who}, {_ON_ALL}: at"
            " the largest size it is a loss."
        ),
        "HARM GROWS": (
            f"English intermediate training harms {who}, and the harm grows with scale, {_ON_ALL}."
        ),
    }[shown_form(results)]


def _rising(results: Results, who: str) -> str:
    first, last = _signs(results)
    if shown_form(results) == "HARM SHRINKS":
        text = f"English intermediate training harms {who}, and the harm shrinks with scale"
        end = "" if last else "; at the largest size no harm is measurable"
        return f"{text}, {_ON_ALL}{end}."
    start = ", from a loss" if first < 0 else ""
    return f"The gain grows with scale for {who}{start}, {_ON_ALL}."


def _signs(results: Results) -> tuple[int, int]:
    """The side of zero that the gain at the smallest and at the largest size lies on by their
    95 % intervals.
    """
    return results.smallest.sign, results.largest.sign


def summary(results: Results) -> list[str]:
    """What stands behind the verdict, most important first."""
    q, e = results.question, results.primary
    axis = AXIS_NAMES[q.x_axis]
    out = [
        (
            f"Per tenfold {axis}, the {results.population} gain changes by"
            f" {with_interval(e, 'points')}, by {with_interval(results.logit, '', 3)} in log"
            f" odds, and by {with_interval(results.room, '', 3)} in log odds between chance and"
            " ceiling."
        ),
        (
            f"It is the mean over {e.num_languages} languages of {e.num_targets} target"
            f" task{'s' if e.num_targets != 1 else ''}, on the {e.num_series} of"
            f" {results.num_series} series that exist at every size; seeds per size:"
            f" {e.seeds.replace(' ', ', ')}."
        ),
    ]
    table = text_of(results)
    if table is None:
        out.append(
            "What these models read of each language in pretraining is not known, so that languages"
            " are low-resource by Joshi's classes 0 to 2, there is no resource interaction, and"
            " nothing is said of seen and unseen languages."
        )
    elif table.note:
        out.append(table.note)
    left_out = [label for label in results.sizes["label"] if label not in e.sizes.split(", ")]
    if left_out:
        out.append(f"It covers {e.sizes} only: {', '.join(left_out)} has too few series so far.")
    out += [f"No test is made: {reason}." for reason in results.verdict.reasons]
    out.append(_examples(results))
    out += [*_noise(results), *_collapsed(results), _end(results), _largest(results)]
    if results.verdict.call is not None:
        out += [_margin(results), *_ceilings(results)]
    if results.gammas:
        out.append(_interaction(results))
    out += _generalising(results)
    if results.verdict.robust is not None:
        out.append(_influence(results))
    if results.verdict.call is not None:
        out.append(_counts(results))
    return out


def _noise(results: Results) -> list[str]:
    """A warning where sizes differ in seeds or in noise: the interval rests on more than the data
    there.
    """
    seeds = [int(c) for c in results.primary.seeds.split()]
    if results.verdict.call is None or results.primary.method == "welch":
        return []
    sds = results.power.sds
    ratio = max(sds) / min(sds) if min(sds, default=0.0) > 0 else float("nan")
    if len(set(seeds)) == 1 and not ratio > 2:
        return []
    listed = ", ".join(number(sd) for sd in sds)
    return [
        f"Sizes have {', '.join(map(str, seeds))} seeds, and SDs between their replicas of {listed}"
        " points. The intervals allow for unequal noise by a prior on how it changes with size; if"
        " it were the same at all sizes, the slope's would be"
        f" {interval(results.primary.other_low, results.primary.other_high)}."
    ]


def _examples(results: Results) -> str:
    """What the verdict speaks of, and what drawing other examples would add."""
    q, items = results.question, results.items
    these = "Intervals speak of these test examples, which every run is scored on"
    such = "The verdict speaks of such examples, of which these are a sample"
    text = these if q.examples == "these" else such
    if items is None:
        return f"{text}; outcomes of single examples were not given."
    if items.missing:
        return f"{text}; {items.missing} scores lack the outcomes of their examples."
    error = items.of("points", "slope")
    if error is None:
        return f"{text}."
    if not error.known:
        return f"{text}; too few examples differ between arms to say what others would show."
    text += (
        f". Drawn anew, with the same runs, examples move the slope by a standard error of"
        f" {number(error.se)} points"
    )
    if q.examples == "such":
        return (
            f"{text}; what of it runs do not share is in the seeds' error, the rest of"
            f" {number(error.shared)} is added to the intervals of the slope, of the change and of"
            " the gains at the smallest and the largest size. All other intervals hold the"
            " examples fixed."
        )
    wide = on_such_examples(results.primary, error)
    return (
        f"{text} (seeds: {number(results.primary.se)}); on such examples the slope's interval would"
        f" be {interval(wide.low, wide.high)}."
    )


def _collapsed(results: Results) -> list[str]:
    """Primary, first-runs and worst-case estimates side by side."""
    labels = dict(results.labels.iter_rows())
    not_judged = labels.get("not judged", 0)
    lost = labels.get("collapsed", 0) + labels.get("partial", 0)
    out = []
    if not_judged:
        out.append(
            f"{not_judged} runs cannot be judged for collapse (fewer than 500 English dev examples,"
            " or than 6 runs of a size and target): they stay in every estimate."
        )
    if results.worst is None:
        return out
    first = {e.name: e for e in results.treatments}.get(INTENDED)
    text = (
        f"{lost} runs collapsed ({labels.get('partial', 0)} of them partly) and are left out of the"
        f" primary slope of {number(results.primary.estimate, 2, True)} points;"
    )
    if first is not None:
        text += (
            " with first runs alone, whatever became of them, it is"
            f" {number(first.estimate, 2, True)};"
        )
    low, high = results.worst
    text += (
        " whatever the lost runs had shown within the range of the others, it is between"
        f" {number(low, 2, True)} and {number(high, 2, True)}."
    )
    return [*out, text]


def _ceilings(results: Results) -> list[str]:
    below = int(results.gains["below_chance"].sum())
    out = []
    if below:
        out.append(
            f"{below} of {len(results.gains)} gains have a score below chance, which counts as"
            " chance on the third scale."
        )
    ceilings = dict(results.gains.select("target", "ceiling").unique().sort("target").iter_rows())
    declared = [
        f"{name} {number(100 * value, 1)} %"
        for name, value in ceilings.items()
        if value is not None
    ]
    if declared:
        out.append(f"Declared ceilings: {', '.join(declared)}.")
    if results.verdict.call not in ("DIMINISHES", "GROWS") or len(declared) == len(ceilings):
        return out
    where = "any target" if not declared else "the other targets"
    if results.flips is None:
        return [
            *out,
            f"No ceiling is declared for {where}; none from 80 % up, above the scores, would undo"
            " the claim.",
        ]
    return [
        *out,
        f"No ceiling is declared for {where}. If no model could score above"
        f" {number(100 * results.flips, 0)} % there, the claim would not hold on the third scale.",
    ]


def _interaction(results: Results) -> str:
    text = (
        "Each standard deviation more of pretraining text moves the slope by"
        f" {with_interval(results.gammas['points'], 'points')}; this compares the languages of the"
        " same runs and speaks of these languages."
    )
    if results.verdict.call is None:
        return text
    if not results.verdict.claims:
        return f"{text} It is shown, not tested: the question before it is not answered."
    sample = results.gammas.get("sample")
    if sample is None:
        return f"{text} They are too few to speak of others."
    word = {-1: "falls", 1: "rises"}.get(interaction_sign(results.gammas))
    text += f" As a sample of languages: {interval(sample.low, sample.high)}."
    if word is None:
        return f"{text} A difference is not established on all scales and for other languages."
    return f"{text} It {word} on all three scales, for other languages too."


def _influence(results: Results) -> str:
    v = results.influence[0]
    word = "robust" if results.verdict.robust else "not robust"
    how = {
        "weights": f"with {v.name}",
        "variance": f"with a variance that is {v.name}",
        "runs": f"with {v.name}",
    }.get(v.what, f"without the {v.what} {v.name}")
    undone = sum(item.undoes for item in results.influence)
    return (
        f"{undone} of {len(results.influence)} omissions undo the claim: it is {word}. The most"
        f" influential: {how} the slope is {number(v.estimate, 2, True)}"
        f" ({interval(v.low, v.high)})."
    )


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
    if min(e.estimate, results.smallest.estimate) <= 0:
        return f"{text}."  # a share of a harm, or of nothing, is no share of a gain
    if math.isfinite(low):
        first = e.sizes.split(", ")[0]
        between = interval(100 * low, 100 * high, 0)
        return (
            f"{text}. That is {number(100 * share, 0)} % of the gain at {first} (95 % interval"
            f" {between} %, Fieller)."
        )
    if results.verdict.call is None:
        return f"{text}."
    return f"{text}. What share of the smallest size's gain is left cannot be bounded."


def _margin(results: Results) -> str:
    q, p = results.question, results.power
    text = (
        f"The margin fixed for 'no change' is ±{number(q.margin)} points from the smallest to the"
        f" largest size; if all sizes are equally noisy, this design sees slopes of"
        f" {number(p.detectable)} points and more (95 % interval"
        f" {interval(*p.detectable_interval)}) in points with 80 % power (`scaling power`"
        " simulates the whole verdict)."
    )
    if results.verdict.call in ("INCONCLUSIVE",):
        detect = p.seeds_to_detect_margin or "more than 200"
        affirm = p.seeds_to_affirm or "more than 200"
        text += (
            f" Seeing a slope of the margin's size needs {detect} seeds per size, affirming no"
            f" change {affirm}."
        )
    return text


def _generalising(results: Results) -> list[str]:
    """The slope's intervals if what was run is a sample of more."""
    if results.verdict.call is None:
        return []
    named = {CHECKPOINTS: "checkpoints", ALL: "all of these at once"}
    named |= {
        FACTORS["target"]: "tasks",
        FACTORS["language"]: "languages",
        FACTORS["arm"]: "intermediate tasks",
    }
    parts = [
        f"{named[e.name]} {interval(e.low, e.high)}" for e in results.treatments if e.name in named
    ]
    if not parts:
        return []
    return [
        "The interval is of these targets, languages, intermediate tasks and checkpoints. Seen as"
        f" samples of more, the slope's would be: {'; '.join(parts)}."
    ]


def _counts(results: Results) -> str:
    table = results.languages
    low = table.filter(table["low_resource"])
    count = {
        word: int((low["direction"] == word).sum()) for word in ("falls", "rises", "undecided")
    }
    if not len(low):
        return "The study has no low-resource language."
    if not results.verdict.claims:
        return (
            "Single languages are shown with intervals and not tested: the pooled question before"
            " them is not answered."
        )
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
                f"The exponent of the saturating curve through the {results.population} mean is"
                f" {number(curve.exponent)} (95 % interval"
                f" {interval(curve.exponent_low, curve.exponent_high)})."
            )
        else:
            out.append(
                "The exponent of a saturating curve is not identified: the exponents that fit run"
                " to the edge of those that were tried, or there are none; so none is quoted."
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
