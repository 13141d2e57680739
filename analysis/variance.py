"""The variance ledger: how much noise of a gain is shared, and by what (statistics §2.1)."""

from __future__ import annotations

import numpy as np

from analysis.panel import Array, Panel
from analysis.power import Ledger


def estimate_ledger(panel: Panel) -> tuple[Ledger, float]:
    """Moment estimates of the ledger, and the intra-run correlation of languages.

    Residuals of gains around their (size, series) mean over seeds; the mean product of two
    residuals of one replica, by what the two series share, times S/(S − 1): nothing → replica; only
    the arm → + checkpoint; only the target → + baseline; both → + run; the same series → +
    language. Negative components count as 0, and what the design cannot separate (one arm, one
    target) stays in the component above it.
    """
    y = panel.y
    present = np.isfinite(y)
    count = present.sum(axis=1, keepdims=True)
    mean = np.where(present, y, 0.0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
    usable = present & (count > 1)
    residual = np.where(usable, (y - mean) * np.sqrt(count / np.maximum(count - 1, 1)), 0.0)
    arm = _codes(panel.series["arm"].to_list())
    target = _codes(panel.series["target"].to_list())
    both = arm * (target.max(initial=0) + 1) + target
    flat, here = residual.reshape(-1, len(arm)), usable.reshape(-1, len(arm)).astype(float)
    sums = {
        "all": _pairs(flat, here, np.zeros_like(arm)),
        "arm": _pairs(flat, here, arm),
        "target": _pairs(flat, here, target),
        "both": _pairs(flat, here, both),
        "self": ((flat**2).sum(), here.sum()),
    }

    def mean_product(*, plus: str, minus: tuple[str, ...] = (), back: str | None = None) -> float:
        total = [
            sums[plus][i] - sum(sums[m][i] for m in minus) + (sums[back][i] if back else 0.0)
            for i in (0, 1)
        ]
        return float(total[0] / total[1]) if total[1] > 0.5 else float("nan")

    own = mean_product(plus="self")
    run = mean_product(plus="both", minus=("self",))
    only_arm = mean_product(plus="arm", minus=("both",))
    only_target = mean_product(plus="target", minus=("both",))
    nothing = mean_product(plus="all", minus=("arm", "target"), back="both")
    replica = max(_or(nothing, 0.0), 0.0)
    checkpoint = max(_or(only_arm, replica) - replica, 0.0)
    baseline = max(_or(only_target, replica) - replica, 0.0)
    shared = _or(run, 0.0)
    ledger = Ledger(
        replica=replica,
        checkpoint=checkpoint,
        baseline=baseline,
        run=max(shared - replica - checkpoint - baseline, 0.0),
        language=max(_or(own, 0.0) - max(shared, 0.0), 0.0),
    )
    return ledger, float(shared / own) if own > 0 and np.isfinite(run) else float("nan")


def _codes(names: list[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    order = {name: index for index, name in enumerate(sorted(set(names)))}
    return np.array([order[name] for name in names], dtype=np.int64)


def _pairs(
    flat: Array, here: Array, code: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> tuple[float, float]:
    """Sum over replicas of products of residuals of ordered pairs with one code (self included),
    and their number.
    """
    one_hot = np.eye(int(code.max(initial=0)) + 1)[code]
    return float(((flat @ one_hot) ** 2).sum()), float(((here @ one_hot) ** 2).sum())


def _or(value: float, other: float) -> float:
    return value if np.isfinite(value) else other
