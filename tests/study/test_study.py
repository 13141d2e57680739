"""What a user may get wrong in a study file, and what they are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaling.catalogue import TASKS
from scaling.catalogue.models import MODELS
from scaling.spec import BadFile
from scaling.study.plan import make_plan
from scaling.study.study import STUDIES, Study, load_study

GOOD = """\
name: mine
models: [xlm-r-base, xlm-r-large]
arms: [none, mnli]
targets: [xnli, panx]
seeds: [0, 1]
"""


def load(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    load_study(path)


def test_good_study_loads(tmp_path: Path) -> None:
    load(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("change", "to", "message"),
    [
        ("[xnli, panx]", "[xnil, panx]", "Unknown target task 'xnil'. Did you mean 'xnli'"),
        ("xlm-r-large", "xlm-r-larg", "Unknown model 'xlm-r-larg'. Did you mean 'xlm-r-large'"),
        ("xlm-r-large", "xlm-r-base", "models: 'xlm-r-base' is there twice"),
        ("[none, mnli]", "[none, mnil]", "Unknown intermediate task 'mnil'. Did you mean 'mnli'"),
        ("[none, mnli]", "[mnli]", "arms need 'none'"),
        ("[0, 1]", "[]", "mine.yaml:5: seeds:"),
        ("[0, 1]", "[1, 1]", "seeds: 1 is there twice"),
        ("[0, 1]", "{default: [1, 1]}", "seeds.default: 1 is there twice"),
        ("[0, 1]", "{default: []}", "mine.yaml:5: seeds.default: Tuple should have at least 1"),
        ("[0, 1]", "{xlm-r-base: [0]}", "mine.yaml:5: seeds: has no list for xlm-r-large;"),
        (
            "[0, 1]",
            "{default: [0], xlm-r-bsae: [0, 1]}",
            "seeds.xlm-r-bsae: Unknown model 'xlm-r-bsae'. Did you mean 'xlm-r-base'",
        ),
        (
            "[0, 1]",
            "{default: [0], xlm-r-xl: [0, 1]}",
            "seeds.xlm-r-xl: Unknown model 'xlm-r-xl'. Did you mean 'xlm-r-large' or 'xlm-r-base'?"
            " Valid: xlm-r-large, xlm-r-base, default.",
        ),
        (
            "[0, 1]",
            "{default: [0], xlm-r-base: [0, 1]}\nlearning_rates: [1.0e-5]",
            "learning rates are compared with equal seeds",
        ),
        ("seeds:", "sedes:", "mine.yaml:5: sedes: unknown key 'sedes'. Did you mean 'seeds'"),
        ("seeds: [0, 1]", "seeds: [0, 1]\nlanguages: [sw, xx]", "Unknown language 'xx'"),
        ("seeds: [0, 1]", "seeds: [0, 1]\nlanguages: [sw, wo]", "no target has the language 'wo'"),
        (
            "seeds: [0, 1]",
            "seeds: [0]\nquestion: {x_axes: total}",
            "unknown key 'x_axes'. Did you mean 'x_axis'",
        ),
        (
            "seeds: [0, 1]",
            "seeds: [0]\nseeds: [1]",
            "mine.yaml:6: 'seeds' is there twice, first in line 5",
        ),
        (
            "seeds: [0, 1]",
            "seeds: [0]\nplacement: {default: {workers: 3}}",
            "batch of 32 does not divide over 3",
        ),
        (
            "targets: [xnli, panx]",
            "targets: [lareqa]\nrecipes: {squad1_pairs: {batch: 20}}",
            "squad1_pairs has a batch of 20 pairs: give a multiple of 8",
        ),
        (
            "seeds: [0, 1]",
            "seeds: [0]\nplacement: {default: {zero_stage: 0}}",
            "has ZeRO stage 0, which under bf16",
        ),
        ("seeds: [0, 1]", "seeds: [0]\nrecipes: {default: {lerning_rate: 1}}", "lerning_rate"),
        ("seeds: [0, 1]", "seeds: [0", "not YAML"),
        ("xlm-r-large", "e5-depth-2", "one curve holds one family"),
    ],
)
def test_bad_study_is_refused_with_place_and_hint(
    tmp_path: Path, change: str, to: str, message: str
) -> None:
    with pytest.raises(BadFile) as caught:
        load(tmp_path, GOOD.replace(change, to))
    assert message in str(caught.value)
    assert "mine.yaml:" in str(caught.value)


def test_missing_file_names_the_studies_that_exist() -> None:
    with pytest.raises(BadFile, match="demo"):
        load_study("dmeo")


ROOT = Path(__file__).parents[2]


def test_the_schema_that_editors_use_is_current() -> None:
    shipped = json.loads((ROOT / "scaling" / "catalogue" / "studies" / "schema.json").read_text())
    assert shipped == Study.model_json_schema(), "run `make schema`"


OWN_MODEL = """\
define:
  models:
    - name: {name}
      family: {family}
      architecture: xlm-roberta
      source: hub:some/encoder
      num_layers: 2
      hidden: 32
      ffn: 64
      num_heads: 4
      vocab_rows: 100
"""
OWN_TASK = """\
define:
  tasks:
    - name: {name}
      kind: classification
      labels: [a, b]
      metric: accuracy
"""
NO_NAMES = ["../../x", "/x", "a/b", "a//b", "..", '""', r'"a\\b"', r'"a\nb"', "a.b", "Big"]


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize(
    ("change", "to", "line", "field"),
    [
        ("seeds: [0, 1]", OWN_MODEL.format(name="{name}", family="f"), 7, "define.models.0.name"),
        ("seeds: [0, 1]", OWN_MODEL.format(name="m", family="{name}"), 8, "define.models.0.family"),
        ("seeds: [0, 1]", OWN_TASK, 7, "define.tasks.0.name"),
        ("[none, mnli]", "[none, {{name: {name}, train_on: [mnli]}}]", 3, "arms.1.name"),
        ("name: mine", "name: {name}", 1, "name"),
    ],
)
def test_a_name_that_could_lead_out_of_the_store_is_refused_at_its_line(
    tmp_path: Path, name: str, change: str, to: str, line: int, field: str
) -> None:
    with pytest.raises(BadFile) as caught:
        load(tmp_path, GOOD.replace(change, to.format(name=name)))
    assert f"mine.yaml:{line}: {field}: " in str(caught.value)
    assert "(got " in str(caught.value)


def test_names_of_the_catalogue_are_names() -> None:
    for spec in (*MODELS.values(), *TASKS.values()):
        type(spec).model_validate(spec.model_dump())


@pytest.mark.parametrize("name", sorted(file.stem for file in STUDIES.glob("*.yaml")))
def test_every_shipped_study_is_valid_and_has_a_plan(name: str) -> None:
    assert make_plan(load_study(name)).steps


def test_a_ceiling_is_that_of_the_whole_test_set() -> None:
    """The best of a sample of 40 may be 40 of 40, whatever people reach on the whole."""
    asked = {
        "name": "t",
        "models": ["xlm-r-base"],
        "targets": ["xnli"],
        "seeds": [0],
        "arms": ["none"],
    }
    assert Study(**asked).ceiling("xnli") == 0.928
    assert Study(**asked, limits={"train": 100}).ceiling("xnli") == 0.928
    assert Study(**asked, limits={"test": 40}).ceiling("xnli") is None


def test_seeds_by_size_are_what_each_size_runs() -> None:
    content = {"name": "s", "arms": ["none", "mnli"], "targets": ["xnli"]}
    content["models"] = ["xlm-r-base", "xlm-r-large"]
    by_size = Study(**content, seeds={"default": [0, 1], "xlm-r-base": [0, 1, 2, 5]})  # type: ignore[arg-type]
    assert by_size.all_seeds == (0, 1, 2, 5)
    ran = {(cell.model, cell.seed) for cell in make_plan(by_size).cells}
    assert ran == {("xlm-r-base", seed) for seed in (0, 1, 2, 5)} | {
        ("xlm-r-large", seed) for seed in (0, 1)
    }
    # Seeds that a size shares with others have the same steps as in a study of equal seeds.
    equal = make_plan(Study(**content, seeds=[0, 1]))  # type: ignore[arg-type]
    assert equal.steps.items() <= make_plan(by_size).steps.items()
    assert list(equal.steps) == [step for step in make_plan(by_size).steps if step in equal.steps]
    for study in (by_size, equal.study):
        assert Study.model_validate_json(study.model_dump_json(exclude_unset=True)) == study
