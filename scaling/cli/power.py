"""scaling power: what so many seeds can detect, before paying."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer

from scaling.cli.app import JsonOption, StudyArgument, app, console, gpu_of
from scaling.cli.outputs import (
    PowerOutput,
    PowerRow,
    RehearsedLine,
    SeedAdvice,
    SmallestFall,
    finite,
    print_json,
)
from scaling.cli.tables import FoldedTable
from scaling.spec import BadFile, UserError
from scaling.study.plan import make_plan
from scaling.study.study import Study, load_study

if TYPE_CHECKING:
    from analysis.power import Advice, Ledger
    from analysis.rehearsal import Smallest


@app.command()
def power(
    name: StudyArgument,
    effect: Annotated[
        float, typer.Option(help="Slope to be detected, points per tenfold scale.")
    ] = 1.0,
    wanted: Annotated[float, typer.Option(help="Power that is wanted.", min=0.05, max=0.99)] = 0.8,
    pilot: Annotated[
        Path | None, typer.Option(help="rows.parquet of a pilot, to estimate the noise from.")
    ] = None,
    gpu: Annotated[str | None, typer.Option(help="GPU whose prices the advice uses.")] = None,
    studies: Annotated[
        int, typer.Option(help="Simulated studies for each line of the rehearsal; 0: none.", min=0)
    ] = 200,
    as_json: JsonOption = False,
) -> None:
    """Before paying: what so many seeds can detect, and where one more seed pays most."""
    from analysis.analyse import analyse
    from analysis.gains import low_languages
    from analysis.load import load_tidy
    from analysis.power import Ledger, next_seeds, planned_grid, seeds_needed
    from scaling.planning.forecast import forecast

    if not (math.isfinite(effect) and effect > 0):
        raise UserError(f"--effect {effect:g}: a slope to be detected is larger than 0")
    study = load_study(name)
    plan = make_plan(study)
    ledger = analyse(load_tidy([pilot]), study.question).ledger if pilot is not None else Ledger()
    outlook = forecast(plan, {}, gpu_of(study, gpu), {})
    lines = outlook.sizes
    for line in lines:
        if line.problem:
            raise UserError(line.problem)
    scale = {
        "total_params": lambda model: study.model(model).total_params,
        "backbone_params": lambda model: study.model(model).backbone_params,
        "train_flops": lambda model: next(line.flops for line in lines if line.model == model),
    }[study.question.x_axis]
    x = np.log10([float(scale(model)) for model in study.models])
    if len(x) < 2:
        raise BadFile(f"{name}: {study.models[0]} alone has no slope; power needs two sizes")
    # A target without low-resource languages adds nothing to their pooled slope.
    with study.known_languages():
        counts = [
            len(low_languages(list(study.test_languages(t)), study.question, study.text_family))
            for t in study.targets
        ]
    arms, targets = max(1, len(study.arms) - 1), max(1, sum(count > 0 for count in counts))
    languages = max(1, round(sum(counts) / targets))
    shape = {"arms": arms, "targets": targets, "low-resource languages each": languages}
    grid = planned_grid(ledger, x, arms=arms, targets=targets, languages=languages)
    sd = grid[0]["replica_sd"]
    needed = seeds_needed(effect, sd, x, wanted)
    rehearsal: list[RehearsedLine] = []
    falls: dict[str, Smallest] = {}
    if studies:
        params = {model: float(scale(model)) for model in study.models}
        with study.known_languages():
            rehearsal, falls = _rehearse(study, params, ledger, float(effect * np.ptp(x)), studies)
    hour = 1.0 if outlook.dollars_per_hour is None else outlook.dollars_per_hour
    start = [len(study.seeds_of(line.model)) for line in lines]
    per_seed = [line.device_hours * hour / own for line, own in zip(lines, start, strict=True)]
    unit = "device hours" if outlook.dollars_per_hour is None else "$"
    advices = next_seeds([sd] * len(x), x, start, per_seed, list(study.models), unit)
    variances: Literal["a pilot", "assumed variances"] = "a pilot" if pilot else "assumed variances"
    if as_json:
        print_json(
            PowerOutput(
                study=study.name,
                variances=variances,
                shape=shape,
                effect=effect,
                wanted=wanted,
                seeds_needed=needed,
                replica_sd=sd,
                grid=[
                    PowerRow.model_validate({key: row[key] for key in PowerRow.model_fields})
                    for row in grid
                ],
                rehearsal=rehearsal,
                smallest_falls=[
                    SmallestFall(scores=path, **{end: finite(at) for end, at in vars(fall).items()})
                    for path, fall in falls.items()
                ],
                advice=[SeedAdvice(**vars(advice)) for advice in advices],
            )
        )
        return
    console.print(power_table(grid, study.name, shape, variances))
    console.print(
        f"· {needed or 'more than 200'} seeds per size detect {effect:g} points per tenfold with"
        f" power {wanted:g}."
    )
    if studies:
        _print_rehearsal(study.name, studies, rehearsal, falls)
    for advice in advices:
        console.print(
            f"· next: one more seed at {advice.size} (has {advice.seeds_before}) cuts the slope's"
            f" variance by {advice.variance_cut:.1%} for {advice.cost:,.3g} {advice.unit}",
            soft_wrap=True,
        )
    if advices:
        console.print(
            f"· all of these in a study file: {_with_more(study, advices)}", soft_wrap=True
        )


def _with_more(study: Study, advices: Sequence[Advice]) -> str:
    """The line of a study file that follows the advice."""
    lists = {name: list(study.seeds_of(name)) for name in study.models}
    for advice in advices:
        own = lists[advice.size]
        own.append(next(seed for seed in range(len(own) + 1) if seed not in own))
    usual = study.seeds.get("default", ()) if isinstance(study.seeds, dict) else study.seeds
    named = {name: own for name, own in lists.items() if own != [*usual]}
    written = {"default": usual, **named} if named else usual
    return f"seeds: {json.dumps(written)}".replace('"', "")


def _rehearse(
    study: Study, params: Mapping[str, float], ledger: Ledger, change: float, studies: int
) -> tuple[list[RehearsedLine], dict[str, Smallest]]:
    """What the verdict of simulated studies of this design is, and the smallest fall it sees.

    Args:
        study: Arms, targets, seeds and question.
        params: Model → scale on the question's axis.
        ledger: Noise, points².
        change: Points from the smallest to the largest size, tried in both directions.
        studies: For each line.
    """
    from analysis.rehearsal import PATHS, Design, Target, rehearse, smallest_change

    targets = []
    for name in study.targets:
        task = study.task(name)
        most = study.limits.get("test", task.sizes.get("test", 1000))
        targets.append(
            Target(
                name=name,
                languages=tuple(code for code in study.test_languages(name) if code != "en"),
                chance=1 / len(task.labels) if task.kind == "classification" else 0.0,
                num_examples=min(most, task.sizes.get("test", most)),
                ceiling=study.ceiling(name),
            )
        )
    ordered = dict(sorted(params.items(), key=lambda item: item[1]))
    design = Design(
        params=ordered,
        seeds=[len(study.seeds_of(name)) for name in ordered],
        arms=max(1, len(study.arms) - 1),
        targets=tuple(target for target in targets if target.languages),
        family=study.text_family,
    )
    lines, falls = [], {}
    for path in PATHS:
        for true in (0.0, -change, change):
            found = rehearse(
                design, ledger, study.question, change=true, baselines=path, studies=studies
            )
            lines.append(
                RehearsedLine(
                    scores=path,
                    true_change=true,
                    coverage=found.coverage,
                    verdicts=dict(found.forms),
                )
            )
        falls[path] = smallest_change(
            design, ledger, study.question, baselines=path, studies=max(studies // 4, 20)
        )
    return lines, falls


def _print_rehearsal(
    name: str, studies: int, lines: Sequence[RehearsedLine], falls: Mapping[str, Smallest]
) -> None:
    """Print what simulated studies say.

    Args:
        name: Of the study.
        studies: For each line.
        lines: Rows of the table.
        falls: Path of the scores → the smallest fall that is seen.
    """
    from analysis.rehearsal import FALLS

    table = FoldedTable(
        ("scores", "true change, points", "coverage", "verdicts"),
        title=f"{name}: {studies} simulated studies a line through the analysis",
        right=("scores", "true change, points", "coverage"),
    )
    for line in lines:
        said = ", ".join(f"{form} {share:.0%}" for form, share in line.verdicts.items())
        table.add_row(line.scores, f"{line.true_change:+.1f}", f"{line.coverage:.0%}", said)
    console.print(table)
    for path, least in falls.items():
        seen = f"{least.at:.1f} points" if math.isfinite(least.at) else f"none up to {FALLS[-1]:g}"
        end = f"{least.high:g}" if math.isfinite(least.high) else f"more than {FALLS[-1]:g}"
        console.print(
            f"· {path} scores: the smallest fall that is called DIMINISHES in 80 %: {seen} (95 %"
            f" interval {least.low:g} to {end}) from the smallest to the largest size.",
            soft_wrap=True,
        )


def power_table(
    grid: Sequence[Mapping[str, float]], name: str, shape: Mapping[str, int], source: str
) -> FoldedTable:
    """Seeds → detectable slope and the chance to affirm that nothing changes.

    Low-resource languages, pooled.

    Args:
        grid: one row for each number of seeds, from `planned_grid`.
        name: of the study.
        shape: what is pooled → how many of it.
        source: where the variances come from.
    """
    over = ", ".join(f"{count} {what}" for what, count in shape.items())
    columns = ("seeds per size", "detectable slope, points per tenfold", "chance to affirm ±0.5")
    table = FoldedTable(
        columns, title=f"{name}: what seeds can see ({over}; {source})", right=columns
    )
    for row in grid:
        table.add_row(
            f"{row['seeds']:.0f}", f"{row['detectable']:.2f}", f"{row['affirm_half_point']:.0%}"
        )
    return table
