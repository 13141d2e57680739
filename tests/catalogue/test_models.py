"""Sizes of models, counted from their configurations."""

from __future__ import annotations

import pytest

from scaling.catalogue.models import MODELS


@pytest.mark.parametrize(
    ("name", "total", "backbone"),
    # Counted from the hub's configurations; Base agrees with MTEB's 278,043,648 less its pooler of
    # 590,592.
    [
        ("xlm-r-base", 277_453_056, 85_054_464),
        ("xlm-r-large", 558_840_832, 302_309_376),
        ("xlm-r-xl", 3_475_929_600, 2_832_358_400),
        ("xlm-r-xxl", 10_695_954_432, 9_666_240_512),
    ],
)
def test_parameter_counts(name: str, total: int, backbone: int) -> None:
    assert (MODELS[name].total_params, MODELS[name].backbone_params) == (total, backbone)
