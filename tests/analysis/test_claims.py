"""Claims: each status from data with a known truth, and typos that say where they are."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import t

from analysis.claims import (
    PHANG2020,
    Checked,
    Expectation,
    check_claims,
    holm,
    judge,
    load_claims,
)
from analysis.gains import pair_gains, with_languages
from analysis.load import check_tidy
from analysis.panel import size_table
from analysis.slope import contrast
from scaling.spec import BadFile
from scaling.study.question import Question
from tests.helpers.synthetic import study

GAINS = {
    "squad1": 6.0,
    "mnli": 5.0,
    "squad2": 5.0,
    "hellaswag": 5.0,
    "qqp": 0.0,
    "multitask": 6.0,
    "mlm-mix": 0.0,
}
KINDS = {"tatoeba": "retrieval", "tydiqa": "span_qa"}


def _check(path: Path, frame: pl.DataFrame) -> dict[tuple[str, str], Checked]:
    frame = check_tidy(frame)
    gains = with_languages(pair_gains(frame), Question())
    found = check_claims(load_claims(path), gains, size_table(frame, "total_params"))
    return {(item.claim.name, item.label): item for item in found}


@pytest.fixture(scope="module")
def checked() -> dict[tuple[str, str], Checked]:
    languages = ("sw", "te", "de", "ru", "fi", "en")

    def gain(u: float, arm: str, target: str, language: str) -> float:
        extra = {"tatoeba": 8.0, "tydiqa": 3.0, "xnli": -5.0}[target]
        return GAINS[arm] + (extra if arm != "mlm-mix" else -1.0)

    frame = study(
        gain=gain,
        arms=tuple(GAINS),
        targets={t: languages for t in ("tatoeba", "tydiqa", "xnli")},
        run_sd=0.2,
        checkpoint_sd=0.1,
        language_sd=0.2,
        models=("xlm-r-base", "xlm-r-xxl"),
    )
    frame = frame.with_columns(
        pl.col("target").replace_strict(KINDS, default=pl.col("kind")).alias("kind")
    )
    # English dev sides with SQuAD everywhere.
    dev = pl.when(pl.col("arm") == "squad1").then(0.9).otherwise(0.8).alias("english_dev")
    return _check(PHANG2020, frame.with_columns(dev))


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("intermediate training helps", "supported"),
        ("mnli squad hellaswag help most", "supported"),
        ("retrieval gains most", "supported"),
        ("tydiqa gains with most", "supported"),
        ("xnli gains with none", "undecided"),
        ("mlm mix no better", "supported"),
        ("translated no better", "not run"),
        ("best per target", "contradicted"),
    ],
)
def test_phang2020(checked: dict[tuple[str, str], Checked], name: str, status: str) -> None:
    assert checked[name, "Base"].status == status


def test_the_best_arm_is_chosen_on_english_dev(checked: dict[tuple[str, str], Checked]) -> None:
    # SQuAD everywhere: 6 + (8 + 3 − 5)/3 points, though another arm may score more on a test
    # language.
    assert checked["best per target", "XXL"].estimate == pytest.approx(8.0, abs=0.5)


def test_an_arm_that_is_not_in_the_data_is_named(checked: dict[tuple[str, str], Checked]) -> None:
    assert checked["translated no better", "Base"].detail == "no gain of translated in the data"


@pytest.mark.parametrize(
    ("expect", "interval", "status"),
    [
        ({"direction": "positive"}, (0.1, 2), "supported"),
        ({"direction": "positive"}, (-2, -0.1), "contradicted"),
        ({"direction": "negative"}, (-2, 0.1), "undecided"),
        ({"at_least": 2.0}, (2.1, 3), "supported"),
        ({"at_least": 2.0}, (1, 1.9), "contradicted"),
        ({"about": 5.0, "within": 1.0}, (4.5, 5.5), "supported"),
        ({"about": 5.0, "within": 1.0}, (3.5, 5.5), "undecided"),
        ({"about": 0.0}, (1.5, 2.5), "contradicted"),
        ({"not_above": 0.5}, (-1, 0.4), "supported"),
        ({"not_above": 0.5}, (0.6, 1), "contradicted"),
    ],
)
def test_statuses(expect: dict[str, object], interval: tuple[float, float], status: str) -> None:
    low, high = interval
    # Five replicas at one of two sizes whose 95 % interval is the given one.
    half = (high - low) / 2
    spread = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    unit = t.ppf(0.975, 4) * spread.std(ddof=1) / np.sqrt(5)
    r = np.stack([(low + high) / 2 + spread * half / unit, spread])
    found, p = judge(
        Expectation.model_validate(expect), contrast(r, np.array([1.0, 0.0]), np.array([8.0, 9.0]))
    )
    assert found == status
    assert (p <= 0.05) == (status != "undecided")


def test_holm_takes_back_what_one_of_many_tests_shows(
    checked: dict[tuple[str, str], Checked],
) -> None:
    one = next(iter(checked.values()))
    rest = [replace(one, status="undecided", p=1.0)] * 9
    weak = [replace(one, status="supported", p=0.04), *rest]
    assert [c.status for c in holm(weak)] == ["undecided"] * 10
    assert holm([replace(one, status="supported", p=0.004), *weak[1:]])[0].status == "supported"


GOOD = "{name: a, says: A., source: me, of: {arms: [mnli]}, expect: {direction: positive}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("claims: [{name: a, syas: A.}]", "unknown key 'syas'. Did you mean 'says'"),
        (f"claims: [{GOOD.replace('positive', 'up')}]", "claims.0.expect.direction"),
        (f"claims: [{GOOD.replace('direction: positive', '')}]", "exactly one of"),
        (f"claims: [{GOOD}, {GOOD}]", "occur twice"),
        ("claims: [", "not YAML"),
        ("a: 1", "claims"),
    ],
)
def test_a_typo_says_where_it_is(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(BadFile, match=message) as caught:
        load_claims(path)
    assert "claims.yaml" in str(caught.value)


def test_a_missing_file() -> None:
    with pytest.raises(BadFile, match=r"nowhere\.yaml: no such file"):
        load_claims(Path("nowhere.yaml"))


def test_a_user_adds_a_claim_without_code(tmp_path: Path, falling: pl.DataFrame) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"claims: [{GOOD}]")
    assert _check(path, falling)["a", "Base"].status == "supported"


def test_claims_of_aliases_are_refused_before_they_grow(tmp_path: Path) -> None:
    names = "abcdefghi"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in pairwise(names)
    ]
    (tmp_path / "claims.yaml").write_text("\n".join(lines))
    start = time.process_time()
    with pytest.raises(BadFile, match=r"claims\.yaml:2: not YAML: an alias; write the value out"):
        load_claims(tmp_path / "claims.yaml")
    assert time.process_time() - start < 2
