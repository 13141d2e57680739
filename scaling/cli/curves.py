"""scaling curves: how trainings went, update by update."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaling.cli.app import (
    JsonOption,
    StoreOption,
    StudyArgument,
    app,
    begun_study,
    console,
    has_all_letters,
    step_called,
)
from scaling.cli.tables import FoldedTable
from scaling.spec import UserError
from scaling.store.records import StepRecord
from scaling.store.store import Store, StoreError
from scaling.study.steps import Plan

if TYPE_CHECKING:
    import polars as pl

    from analysis.collapsed import CollapsedTrainings

# Low to high; the second where a terminal has no such letters.
BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.:-=+*#"
WIDE, NARROW, ROWS = 60, 24, 12
QUANTITIES = ("loss", "learning_rate", "gradient_norm", "tokens_per_second")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Of one finished training."""

    step: str
    model: str
    collapsed: bool
    points: list[dict[str, Any]]
    """By the columns of scaling/store/curves.py."""

    def values(self, quantity: str) -> list[float]:
        """Of all points that have the quantity."""
        return [point[quantity] for point in self.points if point[quantity] is not None]


@app.command()
def curves(
    name: StudyArgument,
    part: Annotated[
        str,
        typer.Argument(metavar="[STEP]", help="A training's id or any part of it; all if absent."),
    ] = "",
    uri: StoreOption = "",
    tensorboard: Annotated[
        Path | None, typer.Option(help="Write them into this folder, one run a training.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Loss, rate, gradient norm and tokens/s of trainings, every few updates."""
    study, store, plan = begun_study(name, uri)
    step = step_called(plan, part) if part else ""
    found = _read(plan, store, step)
    if tensorboard is not None:
        write_events(found, tensorboard)
    if as_json:
        _print_json(study.name, store.uri, found)
    elif tensorboard is not None:
        console.print(
            f"{len(found):,} trainings in {tensorboard}; `tensorboard --logdir {tensorboard}`"
            " shows them",
            soft_wrap=True,
        )
    elif step:
        _show(found[0])
    elif not found:
        console.print("no training with a curve is done yet")
    else:
        console.print(_table(study.name, found))


def _read(plan: Plan, store: Store, step: str) -> list[Curve]:
    """Curves of one training or of all that are done. UserError where the one has none."""
    from scaling.store.curves import read_curve

    if step and plan.steps[step].action == "eval":
        raise UserError(
            f"{step} scores and trains nothing; {plan.steps[step].parent} is a training"
        )
    done = store.scan().done
    if step and step not in done:
        raise UserError(f"{step} is not done; its curve is written with its record")
    wanted = [step] if step else [one for one in plan.steps if one in done]
    found = []
    for name, record in store.records(wanted).items():
        curve = read_curve(store, record)
        if curve is not None and record.training is not None:
            found.append(
                Curve(
                    step=name,
                    model=plan.steps[name].model,
                    collapsed=record.training.collapsed,
                    points=curve.to_pylist(),
                )
            )
    if step and not found:
        raise UserError(f"{step} was trained before there were curves")
    return found


def collapsed_trainings(
    plan: Plan, store: Store, records: Mapping[str, StepRecord]
) -> CollapsedTrainings:
    """What a report shows of trainings that collapsed; their curves are read when they are drawn.

    A curve that is lost stops no report: no score rests on it.
    """
    import polars as pl

    from analysis.collapsed import Collapsed, CollapsedTrainings
    from scaling.store.curves import read_curve

    def curve(step: str) -> pl.DataFrame | str:
        try:
            found = read_curve(store, records[step])
        except StoreError:
            return "its file is damaged or missing"
        return "trained before there were curves" if found is None else pl.DataFrame(found)

    lost = []
    for step, record in records.items():
        if record.training is None or not record.training.collapsed:
            continue
        model, training = plan.study.model(plan.steps[step].model), record.training
        lost.append(
            Collapsed(
                step=step,
                family=model.family,
                method=plan.study.method_label,
                label=model.label or model.name,
                dev_score=training.dev_score,
                dev_chance=training.dev_chance,
                first_loss=training.first_loss,
                last_loss=training.last_loss,
            )
        )
    return CollapsedTrainings(trainings=lost, curves=curve)


def spark(values: Sequence[float], width: int) -> str:
    """Values as one line of bars, the lowest and highest of them at its ends' heights.

    More values than `width` are averaged in even groups.
    """
    if not values:
        return ""
    bars = BARS if has_all_letters() else PLAIN_BARS
    num = min(width, len(values))
    groups = [values[at * len(values) // num : (at + 1) * len(values) // num] for at in range(num)]
    means = [sum(group) / len(group) for group in groups]
    low, span = min(means), max(means) - min(means)
    return "".join(
        bars[min(len(bars) - 1, int((mean - low) / span * len(bars)))] if span else bars[0]
        for mean in means
    )


def _table(study: str, found: Sequence[Curve]) -> FoldedTable:
    """One line a training."""
    numbers = ("updates", "first loss", "last loss", "largest norm", "tokens/s")
    table = FoldedTable(
        ("training", *numbers, "loss", ""),
        title=f"{study}: {len(found):,} trainings",
        right=numbers,
    )
    for one in found:
        losses, norms, rates = map(one.values, ("loss", "gradient_norm", "tokens_per_second"))
        table.add_row(
            one.step,
            f"{one.points[-1]['update']:,}",
            f"{losses[0]:.3g}",
            f"{losses[-1]:.3g}",
            f"{max(norms):.3g}" if norms else "-",
            f"{sum(rates) / len(rates):,.0f}" if rates else "-",
            spark(losses, NARROW),
            "collapsed" if one.collapsed else "",
        )
    return table


def _show(curve: Curve) -> None:
    """One training: a line of bars for each quantity, and a few of its points."""
    console.print(curve.step + ("  collapsed" if curve.collapsed else ""), soft_wrap=True)
    for quantity in QUANTITIES:
        values = curve.values(quantity)
        if values:
            label = quantity.replace("_", " ")
            ends = f"{min(values):.3g} to {max(values):.3g}"
            console.print(f"{label:<18}{spark(values, WIDE)}  {ends}", soft_wrap=True)
    table = FoldedTable(("update", *QUANTITIES), right=("update", *QUANTITIES))
    for point in curve.points[:: -max(1, math.ceil(len(curve.points) / ROWS))][::-1]:
        shown = (point[quantity] for quantity in QUANTITIES)
        table.add_row(
            f"{point['update']:,}", *("-" if value is None else f"{value:.4g}" for value in shown)
        )
    console.print(table)


def _print_json(study: str, uri: str, found: Sequence[Curve]) -> None:
    """Print them as one object."""
    from dataclasses import asdict

    from scaling.cli.outputs import CurvesOutput, TrainingCurve, print_json

    shown = [TrainingCurve.model_validate(asdict(one)) for one in found]
    print_json(CurvesOutput(study=study, store=uri, curves=shown))


def write_events(found: Sequence[Curve], folder: Path) -> None:
    """Write curves as TensorBoard reads them, in the place of what was written of them before.

    UserError if the folder cannot be written.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise UserError(
            "--tensorboard needs tensorboardX, which comes with Ray: '.[run]' in a checkout"
        ) from error
    for one in found:
        place = folder / one.step
        try:
            for old in place.glob("events.out.tfevents.*"):
                old.unlink()
            with SummaryWriter(str(place)) as writer:
                for point in one.points:
                    for quantity in QUANTITIES:
                        if point[quantity] is not None:
                            writer.add_scalar(quantity, point[quantity], point["update"])
        except OSError as error:
            raise UserError(f"{place} cannot be written: {error.strerror}") from error
