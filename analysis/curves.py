"""Curve families over scale: the saturating power, isotonic for display, prediction checks.

The saturating power is fitted by variable projection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.optimize import isotonic_regression
from scipy.stats import f

from analysis.panel import Array, Panel, TooFewScales
from analysis.slope import slope_weights

EXPONENTS = np.geomspace(0.02, 3.0, 32)
"""Grid of the shared exponent. The best point is the global optimum on the grid: no starts, no
failures.
"""
EXPONENTS.flags.writeable = False


@dataclass(frozen=True, kw_only=True)
class Saturating:
    """g(N) = limit + amplitude·(N/N₀)^−b with one b for all series; N₀ the smallest size."""

    exponent: Array
    """[...]: the best b on the grid."""
    limit: Array
    """[..., series]"""
    amplitude: Array
    """[..., series]"""
    rss: Array
    """[..., exponent]: profile of the residual sum of squares over the grid."""

    def weights(self, num_points: int) -> Array:
        """Profile likelihood over the grid, normalised, [..., exponent].

        For averaging predictions instead of quoting b.
        """
        floor = np.maximum(self.rss.min(axis=-1, keepdims=True), 1e-12)
        log = -0.5 * num_points * np.log(np.maximum(self.rss, 1e-12) / floor)
        weight = np.exp(log)
        return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


def _basis(x: Array) -> tuple[Array, Array, Array]:
    """Shapes (N/N₀)^−b [exponent, size], their means [exponent], and centred unit vectors
    [exponent, size].
    """
    shapes = 10.0 ** (-EXPONENTS[:, None] * (x - x[0]))
    means = shapes.mean(axis=1)
    centred = shapes - means[:, None]
    return shapes, means, centred / np.sqrt((centred**2).sum(axis=1, keepdims=True))


def fit_saturating(y: Array, x: Array) -> Saturating:
    """Least squares of y[..., series, size] by variable projection.

    Closed form in (limit, amplitude), grid in b.

    b is shared by the series of one leading index. TooFewScales below four sizes: three parameters
    would run through three points and look like knowledge.
    """
    if len(x) < 4:
        raise TooFewScales(
            f"The saturating curve has three parameters and needs four sizes; there are {len(x)}."
        )
    return _project(y, x)


def _project(y: Array, x: Array) -> Saturating:
    shapes, means, unit = _basis(x)
    level = y.mean(axis=-1, keepdims=True)
    centred = y - level
    along = centred @ unit.T
    # The profile needs only sums over series: the squared projections on each shape of the grid.
    rss = (centred**2).sum(axis=(-1, -2))[..., None] - (along**2).sum(axis=-2)
    best = rss.argmin(axis=-1)
    norms = np.sqrt(((shapes - means[:, None]) ** 2).sum(axis=1))
    picked = np.take_along_axis(along, best[..., None, None], axis=-1)[..., 0]
    amplitude = picked / norms[best][..., None]
    limit = level[..., 0] - amplitude * means[best][..., None]
    return Saturating(
        exponent=EXPONENTS[best], limit=limit, amplitude=amplitude, rss=np.maximum(rss, 0.0)
    )


def predict_saturating(y: Array, x: Array, at: Array) -> Array:
    """Predictions [..., series, at] of the curve fitted to y[..., series, size].

    They are averaged over b by profile likelihood.
    """
    shapes, means, unit = _basis(x)
    fit = _project(y, x)
    weight = fit.weights(y.shape[-1] * y.shape[-2])
    level = y.mean(axis=-1, keepdims=True)
    norms = np.sqrt(((shapes - means[:, None]) ** 2).sum(axis=1))
    amplitude = (y - level) @ unit.T / norms
    new = 10.0 ** (-EXPONENTS[:, None] * (at - x[0])) - means[:, None]
    return np.asarray(level + np.einsum("...se,...e,ea->...sa", amplitude, weight, new))


def exponent_interval(
    fit: Saturating, num_points: int, num_parameters: int
) -> tuple[float, float, bool]:
    """95 % profile interval of b for one fit, and whether it is identified.

    It is where the interval stays off the grid's edges.

    F-profile: rss(b) ≤ rss(b̂)·(1 + F₀.₉₅(1, df)/df).
    """
    df = num_points - num_parameters
    if df < 1:
        return float(EXPONENTS[0]), float(EXPONENTS[-1]), False
    inside = fit.rss <= fit.rss.min() * (1 + f.ppf(0.95, 1, df) / df) + 1e-12
    low, high = EXPONENTS[inside][[0, -1]]
    return float(low), float(high), bool(not inside[0] and not inside[-1])


def leave_largest_out(y: Array, x: Array) -> dict[str, float]:
    """Mean absolute error at the largest size of curves fitted to the others, per family.

    `y` is [series, size] without NaN, `x` [size].

    A family that the remaining sizes cannot carry is left out. TooFewScales below three sizes.
    """
    if len(x) < 3:
        raise TooFewScales(f"Leaving the largest size out needs three sizes; there are {len(x)}.")
    seen, new, truth = x[:-1], x[-1:], y[:, -1]
    slope = (
        (y[:, :-1] - y[:, :-1].mean(axis=1, keepdims=True))
        @ (seen - seen.mean())
        / ((seen - seen.mean()) ** 2).sum()
    )
    guesses = {
        "last size": y[:, -2],
        "constant": y[:, :-1].mean(axis=1),
        "linear in log scale": y[:, :-1].mean(axis=1) + slope * (new[0] - seen.mean()),
    }
    if len(seen) >= 3 and len(y) >= 3:
        # Three sizes cannot fix three parameters of one series; a shared exponent over series
        # leaves freedom.
        guesses["saturating, shared exponent"] = predict_saturating(y[:, :-1], seen, new)[:, 0]
    return {name: float(np.abs(guess - truth).mean()) for name, guess in guesses.items()}


def fitted_curves(panel: Panel) -> pl.DataFrame:
    """Mean gain of a balanced panel at each size beside the families fitted to it; points.

    Columns label, observed, linear, isotonic (in the direction of the slope), and, with four sizes
    or more, saturating (one exponent for all series, predictions averaged over it).
    """
    weights = panel.weights
    series = np.nanmean(panel.y, axis=1)
    observed = series @ weights
    beta = slope_weights(panel.x) @ observed
    columns = {
        "observed": observed,
        "linear": observed.mean() + beta * (panel.x - panel.x.mean()),
        "isotonic": isotonic_regression(observed, increasing=bool(beta >= 0)).x,
    }
    if panel.num_sizes >= 4:
        columns["saturating"] = weights @ predict_saturating(series.T, panel.x, panel.x)
    return pl.DataFrame({"label": list(panel.labels), **columns})
