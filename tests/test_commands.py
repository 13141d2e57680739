"""Every command that the documentation shows is one, and those of the tutorial and README run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from typer._click.exceptions import BadOptionUsage, MissingParameter

from scaling.cli import app
from scaling.cli.app import console
from tests.helpers.command import ROOT, scaling
from tests.helpers.documented import PAGES, TUTORIAL, block, commands, filled, parsed

README = ROOT / "README.md"
# What needs neither trained steps nor a cluster; the tutorial's are those before "Run it".
LOOKING = ("init", "ls", "show", "plan", "recipes", "cite", "power")
LONG_SECONDS = 7200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_one(page: Path) -> None:
    for command in commands(page):
        assert parsed(filled(command)) == command.split()[1], command
    text = page.read_text(encoding="utf-8")
    # In running text: its options exist, even where their arguments are left out.
    for command in re.findall(r"`(scaling [a-z]+[^`\n]*)`", text):
        with suppress(MissingParameter, BadOptionUsage):
            parsed(filled(command))


@pytest.mark.parametrize("wrong", [["frobnicate"], ["plan", "demo", "--frobnicate"], ["show"]])
def test_what_is_no_command_is_found(wrong: list[str]) -> None:
    with pytest.raises(Exception, match=r"No such|Missing parameter"):
        parsed(wrong)


def test_the_pages_lead_to_every_command() -> None:
    shown = {command.split()[1] for page in PAGES for command in commands(page)}
    inline = re.findall(r"`scaling ([a-z]+)", "".join(page.read_text() for page in PAGES))
    there = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert there - shown - set(inline) == set()


@pytest.mark.parametrize("page", [TUTORIAL, README], ids=lambda page: page.name)
def test_commands_that_only_look_run_as_shown(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = []
    with (tmp_path / "screen").open("w") as screen:
        monkeypatch.setattr(console, "file", screen)
        for command in commands(page):
            words = filled(command)
            # Rehearsals take minutes; the slow tests have them.
            words += ["--studies", "0"] if words[0] == "power" else []
            if words[0] in LOOKING:
                app(words, standalone_mode=False)
                run.append(words[0])
                if words[0] == "init" and page == TUTORIAL:
                    Path(words[1]).write_text(block(TUTORIAL, "yaml"))
    assert set(run) == set(LOOKING)


@pytest.mark.slow
@pytest.mark.torch
def test_the_tutorial_from_its_first_to_its_last_line(tmp_path: Path) -> None:
    for command in commands(TUTORIAL):
        words = filled(command)
        done = scaling(*words, cwd=tmp_path, seconds=LONG_SECONDS)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if words[0] == "init":
            (tmp_path / words[1]).write_text(block(TUTORIAL, "yaml"))
        if words[0] in ("status", "run"):
            assert "22 of 22 steps done" in done.stdout
        if words[0] in ("verdict", "report"):
            assert "low-resource" in done.stdout
    assert (tmp_path / "runs/first/report/index.html").is_file()
    python = subprocess.run(
        [sys.executable, "-c", block(TUTORIAL, "python")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert python.returncode == 0, python.stderr
    assert "24 cells, 22 steps" in python.stdout and "word" not in python.stderr


@pytest.mark.slow
@pytest.mark.torch
def test_readmes_commands_of_a_study_run_in_its_order(tmp_path: Path) -> None:
    small = yaml.safe_load(block(TUTORIAL, "yaml"))
    small |= {"targets": ["applications"], "languages": ["sw"], "seeds": [0]}
    small |= {"limits": {"train": 32, "dev": 20, "test": 10}, "keep_weights": "all"}
    run = set()
    for command in commands(README):
        words = filled(command)
        # A cluster and the example have tests of their own.
        if words[0] in ("submit", "cancel") or "--live" in words or "--example" in words:
            continue
        own = {
            "s3://bucket/prefix": "store",
            "...": "store",
            "model=xlm-r-base": "model=e5-depth-2",
            "iii": "iii.e5-depth-2.word_order",
        }
        words = [own.get(word, word) for word in words]
        words += ["--store", "store"] if "--here" in words else []
        words += ["--studies", "0"] if words[0] == "power" else []
        done = scaling(*words, cwd=tmp_path, seconds=LONG_SECONDS)
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
        run.add(words[0])
        if words[0] == "init":
            (tmp_path / words[1]).write_text(yaml.safe_dump(small | {"name": "my_study"}))
    assert len(run) >= 17


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.ray
@pytest.mark.parametrize("target", ["study", "study-real", "study-arms"])
def test_the_long_studies_run_as_make_runs_them(target: str, tmp_path: Path) -> None:
    data = ROOT.parent / "shared" / "data"
    if target != "study" and not data.is_dir():
        pytest.skip(f"needs the files of {data}")
    given = [f"STORE={tmp_path / 'store'}", f"DATA={data}", f"BIN={Path(sys.executable).parent}"]
    dry = subprocess.run(
        ["make", "-n", "-o", ".venv/.installed", "VENV=.venv", *given, target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    steps = [line for line in dry if " run " in line or " report " in line]
    assert len(steps) == 2
    for line in steps:
        words = line.split()[1:]
        done = subprocess.run(
            [sys.executable, "-m", "scaling.cli", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=LONG_SECONDS,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert "report: file://" in done.stdout or words[0] == "run"
