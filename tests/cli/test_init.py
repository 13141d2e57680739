"""A new study file is valid as it stands, and nothing is overwritten."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
import yaml

from scaling.study.study import STUDIES, load_study
from tests.helpers.command import scaling


def test_a_new_file_can_be_planned_at_once(tmp_path: Path) -> None:
    written = scaling("init", "mine.yaml", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    assert load_study(tmp_path / "mine.yaml").name == "mine"
    planned = json.loads(scaling("plan", "mine.yaml", "--json", cwd=tmp_path).stdout)
    assert [size["problem"] for size in planned["sizes"]] == ["", ""]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_the_editors_line_names_the_schema_and_every_comment_that_is_a_key_is_valid(
    tmp_path: Path,
) -> None:
    scaling("init", cwd=tmp_path)
    path = tmp_path / "my_study.yaml"
    text = path.read_text()
    first, _, rest = text.partition("\n")
    schema = url2pathname(urlparse(first.partition("$schema=")[2]).path)
    assert Path(schema) == STUDIES / "schema.json"
    lines = rest.splitlines()
    asked = [line.removeprefix("# ") if line.startswith("# ") else line for line in lines]
    keys = [line for line in asked if line[:1].islower() and ": " in line]
    kept = [line for line in lines if not line.startswith("#")]
    added = [line for line in keys if line not in kept]
    assert [line.partition(":")[0] for line in added] == ["languages", "limits", "budget_dollars"]
    path.write_text("\n".join([*added, *kept]))
    study = load_study(path)
    assert study.budget_dollars == 500 and study.limits["dev"] == 1000
    assert set(yaml.safe_load(text)) < set(json.loads(Path(schema).read_text())["properties"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("there.yaml", "there.yaml exists; name a new file"),
        ("demo.yaml", "'demo' is a shipped study"),
        ("a b.yaml", "'a b' can be none"),
        ("Mine.yaml", "'Mine' can be none"),
        ("mine", "a study file ends in .yaml, as in mine.yaml"),
        ("nowhere/mine.yaml", "nowhere/mine.yaml cannot be written: No such file or directory"),
    ],
)
def test_what_init_refuses(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "there.yaml").write_text("mine")
    refused = scaling("init", name, cwd=tmp_path)
    assert refused.returncode == 2 and message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there.yaml"]
    assert (tmp_path / "there.yaml").read_text() == "mine"
