"""A step is found by any part of its id that no other step has."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.store.store import Store
from scaling.study.steps import Plan
from tests.helpers.command import scaling


@pytest.mark.parametrize("command", ["explain", "logs"])
def test_a_part_of_an_id_is_enough(small: tuple[Path, Plan, Store], command: str) -> None:
    path, plan, store = small
    training, scoring = plan.steps
    whole = scaling(command, str(path), training, "--store", store.uri).stdout
    assert "CUDA out of memory" in whole
    for part in (training.rpartition(".")[2], training[:-1]):
        assert scaling(command, str(path), part, "--store", store.uri).stdout == whole
    both = scaling(command, str(path), "panx", "--store", store.uri)
    assert both.returncode == 2
    assert "'panx' is a part of several steps" in both.stderr
    assert training in both.stderr and scoring in both.stderr
