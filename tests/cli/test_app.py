"""What a user gives wrong is exit code 2 and one message."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from rich.console import Group
from rich.table import Table
from rich.text import Text

from scaling.cli import main
from scaling.cli.app import PlainConsole, working
from scaling.spec import UserError
from scaling.store.files import StoreAway
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.study import Study
from tests.helpers.command import ROOT, scaling
from tests.helpers.tiny import write_study


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["plan", "demoo"], "no named study"),
        (["plan", "xtreme_r", "--gpu", "h100"], "Unknown GPU 'h100'. Did you mean 'h100-80'"),
        (["report", "demo"], "no scored cell"),
        (["gc", "demo"], "is not staged"),
        (["explain", "demo", "ii.nope"], "Unknown step 'ii.nope'"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_message(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = scaling(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "demo", "--gpus", "100000000000"], "gpus"),
        (["plan", "demo", "--gpus", "-1"], "gpus"),
        (["power", "demo", "--effect", "0"], "a slope to be detected is larger than 0"),
        (["power", "demo", "--effect", "-1"], "a slope to be detected is larger than 0"),
        (["power", "demo", "--effect", "nan"], "a slope to be detected is larger than 0"),
        (["power", "demo", "--effect", "inf"], "a slope to be detected is larger than 0"),
        (["power", "demo", "--wanted", "nan"], "wanted"),
        (["status", "demo", "--store", "nowhere"], "is no store of the study 'demo'"),
        (["logs", "demo", "--store", "nowhere"], "is no store of the study 'demo'"),
        (["cancel", "demo"], "is no store of the study 'demo'"),
        (["cancel", "demo", "--store", "nowhere"], "is no store of the study 'demo'"),
        (["cancel", "demo", "--store", "nowhere", "--now"], "is no store of the study 'demo'"),
        (["cancel", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["status", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["report", "demo", "--store", "nowhere"], "no scored cell"),
        (["gc", "demo", "--store", "nowhere"], "is not staged"),
        (["cancel", "demo", "--address", "http://127.0.0.1:9"], "no Ray dashboard answers"),
    ],
)
def test_absurd_values_are_one_message(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["scaling", *arguments])
    start = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert time.monotonic() - start < 30
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    said = scaling("--version", cwd=tmp_path)
    assert said.stdout == f"scaling {version('stilts-scaling')}\n"
    assert said.returncode == 0


def test_a_shell_completes_commands_and_shipped_studies(tmp_path: Path) -> None:
    def offered(words: str) -> list[str]:
        asked = subprocess.run(
            [sys.executable, "-c", "from scaling.cli import app; app(prog_name='scaling')"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "_SCALING_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split(" ")) - 1),
            },
        )
        return asked.stdout.split()

    assert offered("scaling st") == ["stage", "status"]
    assert offered("scaling plan xtreme") == ["xtreme_r"]


def test_nobody_at_the_address(tmp_path: Path) -> None:
    from scaling.cluster.driver import join_cluster

    for address in ("127.0.0.1:9", "ray://127.0.0.1:9", "nowhere.invalid:6379", "127.0.0.1:x"):
        with pytest.raises(UserError, match=f"nobody answers at {address}"):
            join_cluster(address, tmp_path)


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("scaling.cli.plan.open_study", broken)
    monkeypatch.setattr(sys, "argv", ["scaling", "plan", "demo"])
    with pytest.raises(ValueError, match="a bug"):
        main()


def test_a_bad_study_file_starts_nothing(tmp_path: Path) -> None:
    path = write_study(
        tmp_path,
        {
            "name": "x",
            "models": ["xlm-r-base"],
            "arms": ["none"],
            "targets": ["xnil"],
            "seeds": [0],
        },
    )
    done = scaling("run", str(path), "--store", str(tmp_path / "store"))
    assert done.returncode == 2
    assert "Did you mean 'xnli'" in " ".join(done.stderr.split())
    assert not (tmp_path / "store").exists()


SMALL = {
    "name": "small",
    "models": ["xlm-r-base"],
    "arms": ["none"],
    "targets": ["panx"],
    "seeds": [0],
}


def test_a_corrupt_record_is_exit_code_2_and_names_its_file(tmp_path: Path) -> None:
    path, store = write_study(tmp_path, SMALL), Store.open(tmp_path / "store")
    store.check_study("small")
    step = next(iter(make_plan(Study(**SMALL)).steps))
    store.write(f"records/{step}.json", "{")
    for command in ("status", "run", "report"):
        done = scaling(command, str(path), "--store", store.uri)
        assert done.returncode == 2, done.stderr
        assert f"{step}.json is not a record" in " ".join(done.stderr.split())


def test_another_studys_store_is_exit_code_2(tmp_path: Path) -> None:
    path, store = write_study(tmp_path, SMALL), Store.open(tmp_path / "store")
    store.check_study("other")
    for command in ("plan", "run"):
        done = scaling(command, str(path), "--store", store.uri)
        assert done.returncode == 2, done.stderr
        assert "is the store of the study 'other', not of 'small'" in " ".join(done.stderr.split())


@pytest.mark.torch
def test_a_model_directory_without_weights_is_refused(
    tmp_path: Path, tiny_study: dict[str, Any]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "tokenizer.json").write_bytes(
        (
            Path(tiny_study["define"]["models"][0]["source"].removeprefix("dir:"))
            / "tokenizer.json"
        ).read_bytes()
    )
    models = [{**model, "source": f"dir:{empty}"} for model in tiny_study["define"]["models"]]
    path = write_study(tmp_path, {**tiny_study, "define": {"models": models}})
    done = scaling("run", str(path), "--store", str(tmp_path / "store"))
    assert done.returncode == 2, done.stderr
    assert "has no *.safetensors" in " ".join(done.stderr.split())


@pytest.mark.torch
def test_a_missing_language_file_names_those_that_exist(
    tmp_path: Path, tiny_study: dict[str, Any]
) -> None:
    task = {
        "name": "mine",
        "kind": "classification",
        "labels": ["a", "b"],
        "languages": ["sw", "yo"],
        "metric": "accuracy",
        "data": [{"reader": "django_messages", "source": "package:django"}],
    }
    content = {**tiny_study, "targets": ["mine"], "languages": None}
    content["define"] = {**tiny_study["define"], "tasks": [task]}
    path = write_study(tmp_path, content)
    done = scaling("stage", str(path), "--store", str(tmp_path / "store"))
    assert done.returncode == 2, done.stderr
    assert "no such catalogue" in " ".join(done.stderr.split()) or "label" in done.stderr


@pytest.mark.parametrize(
    ("what", "code", "traceback"),
    [
        ("int('seven')", 1, True),
        ("raise ValueError('a library says so')", 1, True),
        ("raise UserError('seven is no number')", 2, False),
        ("raise StoreError('no such store')", 2, False),
    ],
)
def test_a_bug_keeps_its_traceback_and_what_was_given_wrong_is_one_line(
    what: str, code: int, traceback: bool
) -> None:
    script = f"""
import sys
from scaling.cli import app, main
from scaling.spec import UserError
from scaling.cli import main
from scaling.spec import UserError
from scaling.store.files import StoreError

@app.command()
def planted() -> None:
    {what}

sys.argv = ["scaling", "planted"]
main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == code
    assert ("Traceback" in ended.stderr) == traceback
    assert len(ended.stderr.splitlines()) == 1 or traceback


def test_a_store_that_cannot_be_used_now_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise StoreAway(28, "/mnt/x/rows.parquet: No space left on device")

    monkeypatch.setattr("scaling.cli.app", fails)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "/mnt/x/rows.parquet: No space left on device. What is done stays done" in said
    assert "Traceback" not in said


EVIL = "\x1b]0;title\x07\x1b[2J\x9b2J\u202e [/x] [bold] :x: [link=http://x]y"
# Rich leaves the bell out of some forms.
SHOWN = "\\x1b]0;title\\x1b[2J\\x9b2J\\u202e [/x] [bold] :x: [link=http://x]y"


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize("form", ["text", "Text", "table", "title", "group"])
def test_what_is_printed_is_text_and_steers_nothing(
    form: str, is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(EVIL)
    table.add_row(EVIL)
    title = Table("a", title=EVIL)
    title.add_row("b" * 90)
    shown = {
        "text": EVIL,
        "Text": Text.assemble(("failed", "red"), f" {EVIL}"),
        "table": table,
        "title": title,
        "group": Group(EVIL, Text(EVIL)),
    }[form]
    if is_terminal:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    console = PlainConsole(stream)
    console.width = 200
    console.print(shown, soft_wrap=form in ("text", "Text"))
    said = stream.getvalue()
    # Rich's own, for colours and lines of tables, are what is left of control sequences.
    ours = re.sub(r"\x1b\[[\d;]*m", "", said).replace("\\x07", "")
    assert SHOWN in ours
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", ours)
    assert is_terminal or "\x1b" not in said


def test_what_goes_on_is_text_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    shown = PlainConsole(stream)
    shown.width = 200
    monkeypatch.setattr(sys.modules["scaling.cli.app"], "console", shown)
    with working(EVIL) as say:
        say(f"staging {EVIL}")
        time.sleep(0.3)
    assert "staging " + SHOWN in stream.getvalue().replace("\\x07", "")
    assert "\x1b]0;" not in stream.getvalue()


def test_an_error_is_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise UserError(EVIL)

    monkeypatch.setattr("scaling.cli.plan.open_study", broken)
    monkeypatch.setattr(sys, "argv", ["scaling", "plan", "demo"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.replace("\\x07", "") == f"error {SHOWN}\n"
