"""Shared studies: small, seeded, made once."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from scaling.study.question import Question
from tests.helpers.synthetic import study

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def falling() -> pl.DataFrame:
    """Gains fall from 4 points by 2 per decade."""
    return study(gain=lambda u, arm, target, language: 4 - 2 * u)


@pytest.fixture
def question() -> Question:
    return Question(resamples=200)


@pytest.fixture
def shared() -> Path:
    """The folder of facts that the project was built from; tests that compare with it skip without
    it.
    """
    place = Path(os.environ.get("SCALING_SHARED", ROOT.parent / "shared"))
    if not place.is_dir():
        pytest.skip("no ../shared and no SCALING_SHARED: nothing to compare the shipped facts with")
    return place
