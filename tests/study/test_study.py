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


OTHERS = """\
name: mine
models: [{models}]
arms: [none, mnli]
targets: [xnli, panx]
seeds: [0]
"""


NEWS = """\
define:
  tasks:
    - name: news
      kind: masked_lm
      metric: tag_f1
      train_languages: [en]
      data:
        - source: dir:news
          reader: plain_text
          files: {train: ["news.txt"], dev: ["dev.txt"]}
"""


@pytest.mark.parametrize(
    ("models", "more", "message"),
    [
        ("mt5-small, mt5-base", "", ""),
        (
            "mmbert-base",
            "placement: {default: {packed: true}}\nrecipes: {default: {max_length: 64}}",
            "",
        ),
        (
            "mt5-small",
            "placement: {default: {packed: true}}",
            "mt5-small cannot pack .*: mt5 adds a bias of positions to its attention",
        ),
        (
            "mmbert-base",
            "placement: {mmbert-base: {packed: true}}",
            "cannot pack .*: layers of modernbert attend within a window.* 65 tokens .* is 128",
        ),
        ("mt5-small, umt5-base", "", r"one family of models, these are 2: \['mt5', 'umt5'\]"),
        (
            "qwen3-0_6b",
            "method: lora\nlora: {targets: [query]}",
            "'query' matches no module of qwen3. Valid: .*q_proj",
        ),
        (
            "mt5-small",
            "recipes: {default: {pooling: first}}",
            "first token of mt5 stands for no text: use mean",
        ),
        (
            "mmbert-base",
            "define: {models: [{name: own, family: mmbert, architecture: modernbrt,"
            " source: 'dir:x', num_layers: 2, hidden: 8, ffn: 8, num_heads: 2, vocab_rows: 9}]}",
            "Unknown architecture 'modernbrt'. Did you mean 'modernbert'",
        ),
        (
            "mmbert-base",
            "define: {models: [{name: own, family: mmbert, architecture: modernbert, positions: 99,"
            " source: 'dir:x', num_layers: 2, hidden: 8, ffn: 8, num_heads: 2, vocab_rows: 9}]}",
            "modernbert has computed positions: 99",
        ),
        (
            "e5-small",
            "recipes: {default: {max_length: 514}}",
            "e5-small has 512 positions, and the recipe of .* a max_length of 514",
        ),
    ],
)
def test_what_a_family_cannot_do_is_said_at_once(
    models: str, more: str, message: str, tmp_path: Path
) -> None:
    text = OTHERS.format(models=models) + more
    if not message:
        load(tmp_path, text)
        return
    with pytest.raises(BadFile, match=message):
        load(tmp_path, text)


@pytest.mark.parametrize("models", ["mt5-small", "qwen3-0_6b"])
@pytest.mark.parametrize(
    "arm",
    [
        "{name: both, train_on: [mnli], mlm: {task: news}}",
        "{name: both, train_on: [news]}",
        "{name: both, adapt: [{task: news, languages: [en]}], train_on: [mnli]}",
    ],
)
def test_a_family_that_was_no_masked_language_model_has_no_such_arm(
    models: str, arm: str, tmp_path: Path
) -> None:
    text = OTHERS.format(models=models).replace("[none, mnli]", f"[none, {arm}]") + NEWS
    name = models.partition("-")[0]
    with pytest.raises(BadFile, match=rf"arm 'both' trains a masked language model .* no {name} "):
        load(tmp_path, text)
    load(tmp_path, text.replace(models, "xlm-r-base"))


def test_two_architectures_that_read_text_differently_share_no_curve(tmp_path: Path) -> None:
    shape = "num_layers: 2, hidden: 8, ffn: 8, num_heads: 2, vocab_rows: 9"
    models = ", ".join(
        f"{{name: {name}, family: own, architecture: {name}, source: 'dir:x', {shape}}}"
        for name in ("mt5", "modernbert")
    )
    with pytest.raises(BadFile, match=r"modernbert is a modernbert and mt5 a mt5, which read text"):
        load(tmp_path, OTHERS.format(models="mt5, modernbert") + f"define: {{models: [{models}]}}")


def test_the_architecture_says_what_stands_for_a_text_and_where_adapters_go(
    tmp_path: Path,
) -> None:
    for models, pooling, targets in (
        ("xlm-r-base, xlm-r-xl", "first", ("query", "value")),
        ("mt5-small", "mean", ("SelfAttention.q", "SelfAttention.v")),
        ("qwen3-0_6b", "last", ("q_proj", "v_proj")),
        ("mmbert-base", "first", ("Wqkv",)),
    ):
        path = tmp_path / "mine.yaml"
        path.write_text(OTHERS.format(models=models) + "method: lora\n")
        study = load_study(path)
        assert study.recipe("xnli").pooling == pooling
        assert study.adapters is not None and study.adapters.targets == targets
        step = next(one for one in make_plan(study).steps.values() if one.action == "train")
        assert step.identity["lora"] == study.adapters.model_dump()
        source = study.recipe_sources("xnli")["pooling"]
        assert ("this project's choice" in source) == (pooling != "first")


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
