"""Prices and scales in words."""

from __future__ import annotations

from analysis.view_sentences import price_interval, price_text, scale_text


def test_prices_in_words() -> None:
    assert price_text(float("inf"), "$") == "no gain"
    assert price_text(None, "$") == price_text(float("nan"), "$") == "–"
    assert price_text(0.25, "device hours") == "0.25 h"
    assert price_interval(1.0, float("inf"), "$") == "$1.00 to without end"
    assert price_interval(float("inf"), float("inf"), "$") == "no gain"
    assert price_interval(float("nan"), 1.0, "$") == "no interval"
    assert [scale_text(v) for v in (85e6, 3.5e9, 4.1e20)] == [
        "85.00 million",
        "3.50 billion",
        "4.1 × 10^20",
    ]
