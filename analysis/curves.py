"""Curve families over scale: the saturating power, isotonic for display, prediction checks.

The saturating power is fitted by variable projection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.optimize import isotonic_regression

from analysis.panel import Array, Panel, TooFewScales
from analysis.slope import contrast, slope_weights

EXPONENTS = np.geomspace(0.02, 3.0, 32)
"""Grid of the shared exponent. The best point is the global optimum on the grid: no starts, no
failures.
"""
EXPONENTS.flags.writeable = False
TRIED = np.geomspace(0.02, 6.0, 96)
"""Exponents that are tested one by one: half of the gain's change within 0.05 to 15 decades."""


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


@dataclass(frozen=True, kw_only=True)
class Exponent:
    """The exponent of a saturating curve through size means, and its 95 % confidence set."""

    estimate: float
    low: float
    high: float
    """Ends of the set, interpolated; NaN where no exponent fits."""
    identified: bool
    """Whether the set ends inside the range that was tried: only then is anything quoted."""


def exponent_interval(r: Array, x: Array) -> Exponent:
    """All exponents that the replicas r[size, seed] do not refuse at 5 %.

    If the true means are limit + amplitude·(N/N₀)^−b, every contrast that is orthogonal to a
    constant and to (N/N₀)^−b has expectation zero, whatever limit and amplitude are. For each b one
    is tested, that in the direction in which the shape changes with b, by the variance rule of all
    contrasts. So noise that languages of a run share is counted, and a mean over series with one b
    is a curve with this b. Where the amplitude may be zero, every b is in the set. TooFewScales
    below four sizes.
    """
    if len(x) < 4:
        raise TooFewScales(
            f"The saturating curve has three parameters and needs four sizes; there are {len(x)}."
        )
    u = x - x[0]
    shape = 10.0 ** (-TRIED[:, None] * u)
    direction = u * shape
    ones = np.ones_like(u)
    weights = np.empty_like(shape)
    for i, (one, way) in enumerate(zip(shape, direction, strict=True)):
        basis, _ = np.linalg.qr(np.stack([ones, one], axis=1))
        rest = way - basis @ (basis.T @ way)
        weights[i] = rest / np.sqrt(rest @ rest)
    found = contrast(np.broadcast_to(r, (len(TRIED), *r.shape)), weights, x)
    value, half = found.estimate, found.half()
    nan = float("nan")
    if not np.isfinite(half).all():
        return Exponent(estimate=nan, low=nan, high=nan, identified=False)
    log = np.log(TRIED)
    turns = np.flatnonzero(np.diff(np.sign(value)) != 0)
    at = int(np.argmin(np.abs(value) - half))
    if len(turns):
        at = int(turns[np.argmin(np.abs(turns - at))])
        share = value[at] / (value[at] - value[at + 1])
        best = float(np.exp(log[at] + share * (log[at + 1] - log[at])))
    else:
        best = float(TRIED[at])
    # The contrast is zero at the estimate, so that the set is never empty where it crosses zero.
    at = int(np.searchsorted(log, np.log(best)))
    over = np.abs(value) - half
    if len(turns) and best not in TRIED:
        log = np.insert(log, at, np.log(best))
        over = np.insert(over, at, -half[min(at, len(half) - 1)])
    inside = over <= 0
    if not inside.any():
        return Exponent(estimate=best, low=nan, high=nan, identified=False)
    first, last = np.flatnonzero(inside)[[0, -1]]

    def edge(out: int, within: int) -> float:
        share = over[within] / (over[within] - over[out])
        return float(np.exp(log[within] + share * (log[out] - log[within])))

    open_low, open_high = first == 0, last == len(log) - 1
    return Exponent(
        estimate=best,
        low=float(TRIED[0]) if open_low else edge(int(first) - 1, int(first)),
        high=float(TRIED[-1]) if open_high else edge(int(last) + 1, int(last)),
        identified=not (open_low or open_high),
    )


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
