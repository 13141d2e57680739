"""From a scored step to single examples, with the texts of the staged rows."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scaling.catalogue import TASKS
from scaling.catalogue.task import Key
from scaling.cli.app import app, console
from scaling.data.rows import content_hash, data_name
from scaling.data.schema import SCHEMAS
from scaling.spec import UserError
from scaling.store.store import Store
from scaling.study.identity import Lock
from scaling.study.plan import make_plan
from scaling.study.study import load_study
from tests.helpers.command import ROOT
from tests.helpers.finished_study import finished

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Store, str]:
    """A study whose test rows in Swahili are staged, and the id of one of its scorings."""
    rows = pa.Table.from_pylist(
        [{"id": str(k), "words": [f"neno{k}"], "tags": ["O"]} for k in range(50)],
        schema=SCHEMAS["tagging"],
    )
    keys = ["train.en", "dev.en", *(f"test.{code}" for code in TASKS["panx"].languages)]
    hashes = dict.fromkeys(keys, "d" * 64) | {"test.sw": content_hash(rows)}
    lock = Lock(data={"panx": hashes})
    path, store = finished(tmp_path_factory.mktemp("done"), 1, lock)
    content = io.BytesIO()
    pq.write_table(rows, content)
    store.write(data_name("panx", Key("test", "sw")), content.getvalue())
    plan = make_plan(load_study(str(path)), store.read_lock())
    step = next(name for name, one in plan.steps.items() if one.action == "eval" and "none" in name)
    return str(path), store, step


def said(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    app(["predictions", *arguments], standalone_mode=False)
    return capfd.readouterr().out


def test_wrong_examples_stand_beside_their_texts(
    done: tuple[str, Store, str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, store, step = done
    asked = (path, step, "--language", "sw", "--store", store.uri)
    every = json.loads(said(capfd, *asked, "--limit", "50", "--json"))
    wrong = json.loads(said(capfd, *asked, "--wrong", "--limit", "3", "--json"))
    kept = json.loads((ROOT / "docs/json/predictions.json").read_text())
    for printed in (every, wrong):
        assert list(jsonschema.Draft202012Validator(kept).iter_errors(printed)) == []
    # A training that one step scores has that one's examples.
    training = make_plan(load_study(path), store.read_lock()).steps[step].parent
    asked_of_training = (path, str(training), "--language", "sw", "--store", store.uri)
    assert json.loads(said(capfd, *asked_of_training, "--limit", "50", "--json")) == every
    right = next(row for row in store.record(step).rows if row.language == "sw").value
    assert sum(one["outcome"] for one in every["examples"]) / 50 == pytest.approx(right)
    assert wrong["matching"] == sum(one["outcome"] < 1 for one in every["examples"])
    assert wrong["examples"] == [one for one in every["examples"] if one["outcome"] < 1][:3]
    for one in wrong["examples"]:
        assert one["row"] == {"words": [f"neno{one['id']}"], "tags": ["O"]}
    screen = io.StringIO()
    monkeypatch.setattr(console, "file", screen)
    said(capfd, *asked, "--wrong", "--limit", "1")
    text = screen.getvalue()
    assert f"neno{wrong['examples'][0]['id']}" in text and "the first 1" in text


def test_what_was_named_wrong_is_one_line(done: tuple[str, Store, str]) -> None:
    path, store, step = done
    at = ("--store", store.uri)
    for arguments, says in (
        ((step, "--language", "te"), "has the hash|is missing"),
        ((step, "--language", "swa"), "Did you mean .sw"),
        (("iii.", "--language", "sw"), "several steps"),
        (("ii.xlm-r-base.mnli", "--language", "sw"), "trains, and scores no test example"),
    ):
        with pytest.raises(UserError, match=says):
            app(["predictions", path, *arguments, *at], standalone_mode=False)
