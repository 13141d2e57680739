"""Names can be found without reading source: by kind, by a part, and one in full."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from scaling.catalogue import TASKS
from scaling.catalogue.hardware import GPUS
from scaling.catalogue.languages import LANGUAGES
from scaling.catalogue.metrics import METRIC_KINDS
from scaling.catalogue.models import MODELS
from scaling.catalogue.readers import READER_KINDS
from scaling.cli import app
from scaling.cli.ls import Things
from scaling.study.recipes import Recipe
from scaling.study.study import STUDIES
from tests.helpers.command import scaling

EVERY = {
    "studies": [path.stem for path in STUDIES.glob("*.yaml")],
    "models": MODELS,
    "tasks": TASKS,
    "languages": LANGUAGES,
    "gpus": GPUS,
    "readers": READER_KINDS,
    "metrics": METRIC_KINDS,
    "recipe": Recipe.model_fields,
}


@pytest.mark.parametrize("things", [one.value for one in Things if one is not Things.steps])
def test_every_name_is_listed(tmp_path: Path, things: str) -> None:
    listed = json.loads(scaling("ls", things, "--json", cwd=tmp_path).stdout)
    assert sorted(row["name"] for row in listed) == sorted(EVERY[things])


def test_the_steps_of_a_study_are_listed_without_a_store(tmp_path: Path) -> None:
    done = scaling(
        "ls", "steps", "e5-depth-2.message_halves", "--study", "demo", "--json", cwd=tmp_path
    )
    listed = json.loads(done.stdout)
    assert {row["model"] for row in listed} == {"e5-depth-2"}
    assert {row["state"] for row in listed} == {"to do"}
    assert not (tmp_path / "runs").exists()


def test_a_filter_looks_into_every_column_and_says_if_nothing_is_there(tmp_path: Path) -> None:
    listed = json.loads(scaling("ls", "languages", "swahili", "--json", cwd=tmp_path).stdout)
    assert [row["name"] for row in listed] == ["sw"]
    refused = scaling("ls", "tasks", "no such text", cwd=tmp_path)
    assert refused.returncode == 2
    assert "no row of the tasks has 'no such text' in it" in refused.stderr
    assert scaling("ls", "steps", cwd=tmp_path).returncode == 2


def test_languages_have_the_text_of_a_family() -> None:
    def listed(*words: str) -> dict[str, Any]:
        done = CliRunner().invoke(app, ["ls", "languages", *words, "--json"])
        return {row["name"]: row for row in json.loads(done.stdout)}

    xlmr, mt5, mmbert = listed(), listed("--family", "mt5"), listed("--family", "mmbert")
    # Croatian is in CC-100 and not in mC4, Hausa in both, and has no row of mmBERT's.
    assert (xlmr["hr"]["cc100_gib"], xlmr["hr"]["tier"]) == (20.5, "mid")
    assert (mt5["hr"]["mc4_billion_tokens"], mt5["hr"]["tier"]) == (0.0, "unseen")
    assert (mt5["ha"]["mc4_billion_tokens"], mt5["ha"]["tier"]) == (0.2, "low")
    assert (mmbert["ha"]["mmbert_billion_tokens"], mmbert["ha"]["tier"]) == (None, "unknown")

    def refusal(*words: str) -> str:
        return str(CliRunner().invoke(app, ["ls", *words]).exception)

    assert "119 languages, no sizes published" in refusal("languages", "--family", "qwen3")
    assert "Did you mean 'mt5'?" in refusal("languages", "--family", "mt6")
    assert "goes with languages alone" in refusal("tasks", "--family", "mt5")


@pytest.mark.parametrize(
    ("name", "kind", "field", "value"),
    [
        ("xnli", "task", "metric", "accuracy"),
        ("xlm-r-xl", "model", "num_layers", 36),
        ("sw", "language", "iso639_3", "swh"),
        ("h100-80", "GPU", "devices_per_node", 8),
        ("demo", "study", "name", "demo"),
    ],
)
def test_one_name_shows_its_facts(
    tmp_path: Path, name: str, kind: str, field: str, value: object
) -> None:
    (found,) = json.loads(scaling("show", name, "--json", cwd=tmp_path).stdout)
    assert found["is"] == kind and found[field] == value
    for_people = scaling("show", name, cwd=tmp_path)
    assert str(value) in for_people.stdout


def test_a_wrong_name_is_told_the_nearest(tmp_path: Path) -> None:
    refused = scaling("show", "xnlo", cwd=tmp_path)
    assert refused.returncode == 2 and "Did you mean 'xnli'" in refused.stderr


def test_a_folder_of_the_name_of_a_shipped_study_does_not_hide_it(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    done = scaling("ls", "steps", "--study", "demo", "--json", cwd=tmp_path)
    assert len(json.loads(done.stdout)) == 152
