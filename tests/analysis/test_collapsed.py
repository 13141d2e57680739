"""Curves of collapsed trainings: spikes stay, and what cannot be drawn says why."""

from __future__ import annotations

import polars as pl
import pytest

from analysis.collapsed import DRAWN, HEIGHT, WIDTH, Collapsed, CollapsedTrainings, drawn_curves


def lost(step: str = "one", family: str = "xlm-r", method: str = "full") -> Collapsed:
    return Collapsed(
        step=step,
        family=family,
        method=method,
        label="Base",
        dev_score=0.33,
        dev_chance=1 / 3,
        first_loss=1.1,
        last_loss=1.0,
    )


def curve(losses: list[float], norms: list[float | None] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "update": range(10, 10 * len(losses) + 10, 10),
            "loss": losses,
            "gradient_norm": norms or [1.0] * len(losses),
        },
        schema_overrides={"gradient_norm": pl.Float64},
    )


def places(path: str) -> list[tuple[float, float]]:
    """The points of a polyline."""
    return [(float(x), float(y)) for x, y in (one.split(",") for one in path.split())]


def test_one_spike_among_five_hundred_points_is_seen() -> None:
    losses = [1.0 + 0.001 * (at % 2) for at in range(500)]
    losses[251] = 9.0
    trainings = CollapsedTrainings(trainings=[lost()], curves=lambda step: curve(losses))
    (one,) = drawn_curves(trainings)
    path = places(one.path)
    assert len(path) < 100
    (spike,) = (x for x, y in path if y == 0)
    assert spike == pytest.approx(WIDTH * 251 / 499, abs=0.1)
    assert sorted(y for _, y in path)[1] > 0.99 * HEIGHT
    assert all(0 <= x <= WIDTH for x, _ in path)
    assert one.says == "loss from 1 to 1, between 1 and 9, updates 10 to 5,000"


def test_what_cannot_be_drawn_says_why() -> None:
    nan = float("nan")
    curves = {
        "flat": curve([2.0, 2.0], [None, 3.0]),
        "some": curve([nan, 1.0, float("inf"), 0.5], [nan, 4.0, 2.0, None]),
        "none": curve([nan, nan]),
        "gone": "its file is damaged or missing",
    }
    found = drawn_curves(
        CollapsedTrainings(trainings=[lost(name) for name in curves], curves=curves.__getitem__)
    )
    flat, some, none, gone = found
    assert places(flat.path) == [(0, HEIGHT / 2), (WIDTH, HEIGHT / 2)]
    assert (flat.largest_norm, some.largest_norm) == (3, 4)
    assert places(some.path) == [(0, 0), (WIDTH, HEIGHT)]
    assert (none.path, none.missing) == ("", "no loss is a number")
    assert (gone.path, gone.missing) == ("", "its file is damaged or missing")


def test_no_more_files_are_read_than_are_drawn() -> None:
    read: list[str] = []

    def curves(step: str) -> pl.DataFrame:
        read.append(step)
        return curve([1.0, 2.0])

    many = CollapsedTrainings(trainings=[lost(str(k)) for k in range(2 * DRAWN)], curves=curves)
    assert len(drawn_curves(many)) == len(read) == DRAWN
    mixed = CollapsedTrainings(
        trainings=[lost("a"), lost("b", family="mt5"), lost("c", method="lora")], curves=curves
    )
    assert [one.step for one in mixed.of("xlm-r", "full").trainings] == ["a"]
