"""What each figure shows, how many runs are behind it, and where their records are."""

from __future__ import annotations

from analysis.cogain import MAX_ERROR, MIN_CELLS
from analysis.results import Results
from analysis.sentences import number, p_text, text_of, with_interval


def caption(name: str, results: Results) -> str:
    """Two or three sentences; serves as the text alternative as well."""
    e, q = results.primary, results.question
    seeds = e.seeds.replace(" ", ", ")
    runs = f"Replicas per size: {seeds}."
    if name == "f0_size":
        if results.verdict.call is None:
            between = "no intervals, since nothing is tested"
        else:
            between = "lines are 95 % intervals"
            if q.examples == "such":
                between += " (those between the ends hold these examples fixed)"
        return (
            f"Above: the mean gain of the {results.population} languages of the verdict at each"
            f" size; dots are replicas, {between}. Below: the mean scores that it is the difference"
            f" of, same languages, arms and targets. {runs}"
        )
    if name == "f1_verdict":
        return (
            "Slopes of the gain by group of languages, in points (left) and log odds, per tenfold"
            f" scale; times {number(e.span)} they are the change over the sizes that there are."
            " Thin lines are 95 %, thick lines 90 % intervals over replicas; the grey band is the"
            f" margin of ±{number(q.margin)} points from end to end. {runs}"
        )
    text = text_of(results)
    read = "pretraining text" if text is None else text.name
    if name == "f2_languages":
        return (
            f"Each panel is a language, ordered by its {read}; dots are replicas (means over"
            " arms and targets), lines the"
            f" {'shrunk' if len(results.languages) >= 5 else 'least-squares'} slope with its 95 %"
            f" band around the mean; all panels share the y axis (points). {runs}"
        )
    if name == "f3_forest":
        return (
            f"Per tenfold scale; times {number(e.span)}: over the sizes that there are. Thin grey:"
            " least squares with its 95 % interval. Thick: shrunk towards the mean of"
            " all languages, with the noise that languages of a run share. Diamond:"
            f" {with_interval(e, 'points')}. * = low-resource. {runs}"
        )
    if name == "f4_heatmap":
        return (
            "Mean gain over zero-shot languages, points. Bold: the 95 % interval leaves out zero."
            " Italic with =: both phases train on the same data, which measures extra epochs and is"
            " not pooled. Dots: no gain. The slope panel has a colour scale of its own."
        )
    if name == "f5_resources":
        gamma = results.gamma
        said = (
            f"Slopes against the text each language had in {read}; unseen languages at the left"
            " edge."
        )
        if gamma is not None:
            said += (
                f" Line and band: {with_interval(gamma, 'points')} per standard deviation, between"
                " languages of a run."
            )
        return said
    if name == "f6_collapse":
        trend = "; ".join(f"{key}: {p_text(p)}" for key, p in results.collapse_trend.items())
        return (
            "Seeds of an arm with a run that collapsed by the English-dev rule, with Wilson 95 %"
            f" intervals; runs of one phase-ii checkpoint count once. Exact test of a trend:"
            f" {trend or '–'}."
        )
    if name == "f7_ceiling":
        return (
            "Each dot is a mean gain of one size, arm, target and language; of thousands their"
            " density is shown, a panel a size (darker: more). Grey curves: gains of"
            " constant log odds; dots that follow a curve down shrink in points only."
        )
    if name == "f8_specification":
        return (
            "The slope under each axis, definition and scale; filled: the interval leaves out"
            " zero. The paths share their runs: the correlation of their errors is"
            f" {number(results.path_correlation)} on average, so they are no independent votes."
        )
    if name == "f9_power":
        return (
            f"Slope seen with 80 % power at a replica SD of {number(results.power.replica_sd)}"
            f" points. This study: {number(results.power.detectable)} points."
        )
    if name == "f10_price":
        return (
            "Cost of one phase-ii training over the mean gain that it buys. Diamonds: sizes, with"
            " 95 % intervals; line and band: along the line through their gains. Squares: the same"
            " point bought by the next larger model instead, for reference. Read across at what a"
            f" point is worth to you. {runs}"
        )
    if name == "f11_together":
        return (
            "Correlation between the gains of two languages over sizes, arms and targets (targets"
            " centred), from products of different seeds, so that noise of a run plays no part."
            f" Grey: fewer than {MIN_CELLS} cells in common, or a standard error above"
            f" {MAX_ERROR}. Lines part language families."
        )
    if name == "f12_foresight":
        return (
            "Share of choices for a target (between two arms, and between an arm and no phase ii)"
            " that come out as at the largest size. Open: the largest size, each seed against the"
            " mean of the others, which says how far noise alone goes."
        )
    raise ValueError(f"No caption for figure {name!r}.")
