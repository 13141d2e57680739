"""Which languages gain together."""

from __future__ import annotations

import numpy as np

from analysis.cogain import co_gains
from analysis.panel import Panel
from scaling.catalogue.languages import get_language
from tests.helpers.panels import panel_of


def grouped(noise: float, spread: float, seed: int = 5) -> Panel:
    """Gains that two groups of languages share inside, over noise that all share in a run."""
    rng = np.random.default_rng(seed)
    arms, targets = [f"a{i}" for i in range(5)], ["t0", "t1"]
    groups = {"sw": 0, "yo": 0, "te": 1, "ta": 1}
    series = [(arm, target, code) for arm in arms for target in targets for code in groups]
    true = spread * rng.standard_normal((4, 5, 2, 2))
    run = noise * rng.standard_normal((4, 4, 5, 2))
    y = np.empty((4, 4, len(series)))
    for k, (arm, target, code) in enumerate(series):
        a, t = arms.index(arm), targets.index(target)
        y[:, :, k] = (true[:, a, t, groups[code]][:, None] + run[:, :, a, t]) + 10 * t
    return panel_of(y, series)


def test_languages_gain_together_where_their_true_gains_do() -> None:
    found = co_gains(grouped(noise=0.5, spread=1.0))
    assert found is not None
    assert [get_language(code).family for code in found.languages["language"]] == found.languages[
        "family"
    ].to_list()
    assert found.mean(same_family=True) > 0.9
    assert abs(found.mean(same_family=False)) < 0.35
    table = found.table()
    assert len(table) == 6
    assert table["cells"].max() == 40


def test_noise_of_a_run_is_no_co_gain() -> None:
    """Nothing but noise that all languages of a run share: on one seed they correlate perfectly."""
    plain = np.corrcoef(grouped(noise=1.0, spread=0.0).y[:, 0, :4].T)
    assert plain.min() > 0.99
    shown = [co_gains(grouped(noise=1.0, spread=0.0, seed=seed)) for seed in range(60)]
    assert sum(found is not None for found in shown) <= 5
