"""What a user may get wrong in a study file, and what they are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaling.study import Study, load_study
from scaling.yamlfile import BadFile

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
        ("xlm-r-large", "xlm-r-base", "model 'xlm-r-base' is there twice"),
        ("[none, mnli]", "[none, mnil]", "Unknown intermediate task 'mnil'. Did you mean 'mnli'"),
        ("[none, mnli]", "[mnli]", "arms need 'none'"),
        ("[0, 1]", "[]", "mine.yaml:5: seeds:"),
        ("[0, 1]", "[1, 1]", "seed 1 is there twice"),
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
            "targets: [lareqa]\nplacement: {default: {workers: 4}}",
            (
                "squad1_pairs has a batch of 16 pairs, which are 2 groups of 8 that are each"
                " other's negatives"
            ),
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
    shipped = json.loads((ROOT / "scaling" / "studies" / "schema.json").read_text())
    assert shipped == Study.model_json_schema(), "run `make schema`"
