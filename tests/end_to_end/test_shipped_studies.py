"""The shipped studies of families: one family each, comparable designs, costs as documented."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scaling.study.plan import make_plan
from scaling.study.study import Study, load_study
from tests.helpers.command import scaling

FAMILIES = {
    "mt5": "mt5",
    "qwen3_lora": "qwen3",
    "xlm_r_large_depths": "xlm-r-large-ladder",
    "xlm_r_xl_depths": "xlm-r-xl-ladder",
}
DOCS = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.fixture(scope="module")
def studies() -> dict[str, Study]:
    return {name: load_study(name) for name in FAMILIES}


def test_each_is_of_one_family_and_all_ask_alike(studies: dict[str, Study]) -> None:
    whole = load_study("xtreme_r")
    for name, study in studies.items():
        assert {study.model(model).family for model in study.models} == {FAMILIES[name]}
        assert study.targets == whole.targets
        assert [arm.name for arm in study.arms] == [arm.name for arm in whole.arms]
        assert study.question.x_axis == "backbone_params"
    assert len(studies["mt5"].models) == 5
    assert (studies["qwen3_lora"].method_label, studies["mt5"].method_label) == ("lora-r16", "full")
    assert studies["qwen3_lora"].recipe("mnli").pooling == "last"


def test_a_depth_ladder_needs_the_weights_of_one_checkpoint(studies: dict[str, Study]) -> None:
    for name in ("xlm_r_large_depths", "xlm_r_xl_depths"):
        models = [studies[name].model(model) for model in studies[name].models]
        assert len({(model.source, model.revision) for model in models}) == 1
        assert models[-1].depth == models[-1].num_layers
    assert make_plan(studies["xlm_r_large_depths"]).cells


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_the_documented_cost_is_that_of_the_plan(name: str, tmp_path: Path) -> None:
    row = re.search(rf"\| `{name}` \| [^|]+ \| ([\d,]+) \| ([\d,]+) \|", DOCS.read_text("utf-8"))
    assert row is not None
    hours, dollars = (int(number.replace(",", "")) for number in row.groups())
    planned = scaling("plan", name, "--json", "--store", str(tmp_path))
    found = json.loads(planned.stdout)
    assert round(found["device_hours"]) == hours and round(found["dollars"]) == dollars
