"""`scaling power` before anything ran."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from scaling.study.study import Study, load_study
from tests.helpers.command import scaling


def test_power_of_a_study_before_it_runs_and_its_advice_can_be_followed(tmp_path: Path) -> None:
    done = scaling("power", "--studies", "0", "xtreme_r", "--effect", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "detect 1 points per tenfold with power 0.8" in done.stdout
    # Base and XXL are the ends of the axis; Base costs next to nothing.
    assert "one more seed at xlm-r-base" in done.stdout
    (line,) = re.findall(r"· all of these in a study file: (seeds: .*)", done.stdout)
    taken = re.findall(r"one more seed at (\S+)", done.stdout)
    before = load_study("xtreme_r")
    content = before.model_dump(mode="json", exclude_unset=True)
    after = Study.model_validate(content | yaml.safe_load(line))
    assert {
        name: len(after.seeds_of(name)) - len(before.seeds_of(name)) for name in before.models
    } == {name: taken.count(name) for name in before.models}
    for name in before.models:
        assert set(before.seeds_of(name)) <= set(after.seeds_of(name))
