"""The margin of "no change" on every scale that a verdict looks at."""

from __future__ import annotations

import numpy as np
import polars as pl


def scale_margins(gains: pl.DataFrame, margin: float, span: float) -> dict[str, float]:
    """By scale: the slope per tenfold that moves a gain by `margin` points over `span` decades.

    On the scales of log odds, points are converted by the derivative at the mean score without
    phase ii: dλ = dp/(p(1 − p)), and dλ = dp/((m − c)·q(1 − q)) between chance c and ceiling m.
    """
    p = gains["baseline"].to_numpy()
    c = gains["chance_level"].to_numpy()
    m = gains["ceiling"].fill_null(1.0).to_numpy()
    q = np.clip((p - c) / (m - c), 0.02, 0.98).mean()
    p_mean = float(np.clip(p, 0.02, 0.98).mean())
    share = margin / 100
    by_scale = {
        "points": margin,
        "logit": share / (p_mean * (1 - p_mean)),
        "room": share / (float((m - c).mean()) * q * (1 - q)),
    }
    return {scale: float(value) / span for scale, value in by_scale.items()}
