"""No table of any command cuts a name, however wide the terminal is."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from rich.table import Table

import scaling.cli
from scaling.catalogue import TASKS
from scaling.catalogue.hardware import GPUS
from scaling.catalogue.languages import LANGUAGES
from scaling.catalogue.metrics import METRIC_KINDS
from scaling.catalogue.models import MODELS
from scaling.catalogue.readers import READER_KINDS
from scaling.cli.app import PlainConsole, app, console
from scaling.cli.gc import garbage_table
from scaling.cli.stage import look_table, staged_table
from scaling.cli.tables import FoldedTable, fitting
from scaling.data.layout import SourceLook
from scaling.data.manifest import StagedTask
from scaling.store.garbage import GROUPS, Garbage
from scaling.store.store import Store
from scaling.study.recipes import Recipe
from scaling.study.study import STUDIES, load_study
from tests.helpers.command import ROOT

DEMO = load_study("demo")
LONG = "xlm-roberta-of-a-very-long-name-that-no-narrow-terminal-has-room-for"
# Arguments → names that the first columns show.
COMMANDS: dict[str, Iterable[str]] = {
    "plan demo --gpu a100-80": DEMO.models,
    "status demo --store STORE": DEMO.models,
    "recipes demo": DEMO.used_tasks,
    "rates rates --store OTHER": load_study("rates").trained_tasks,
    "power demo --studies 0": (),
    "show xnli": ("kind", "metric", "languages"),
    "show xlm-r-xxl": ("family", "source"),
    "ls studies": [path.stem for path in STUDIES.glob("*.yaml")],
    "ls models": MODELS,
    "ls tasks": TASKS,
    "ls languages": LANGUAGES,
    "ls gpus": GPUS,
    "ls readers": READER_KINDS,
    "ls metrics": METRIC_KINDS,
    "ls recipe": Recipe.model_fields,
    "ls steps message_halves.s3 --study demo --store STORE": (),
}


def cut(printed: str) -> list[str]:
    """Lines of tables that a name or a number was cut in."""
    return [line for line in printed.splitlines() if line[:1] in "│┃|" and "…" in line]


def column(printed: str, at: int = 1) -> str:
    """The text of one column, its folded lines joined."""
    lines = [line.replace("┃", "│").split("│") for line in printed.splitlines()]
    return "".join(parts[at].strip() for parts in lines if len(parts) > at)


@pytest.fixture(params=[80, 120, None], ids=["80", "120", "no terminal"])
def shown(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], str]]:
    """What the commands' console prints at a width; None: into a file."""
    stream = io.StringIO()
    monkeypatch.delenv("COLUMNS", raising=False)
    before, stdout = console.width, console.file
    console.width = request.param or PlainConsole(stream).width
    console.file = stream
    yield stream.getvalue
    console.file, console.width = stdout, before


@pytest.mark.parametrize(("command", "names"), COMMANDS.items(), ids=list(COMMANDS))
def test_no_command_cuts_a_name(
    command: str, names: Iterable[str], shown: Callable[[], str], tmp_path: Path
) -> None:
    for folder, name in (("STORE", "demo"), ("OTHER", "rates")):
        Store.open(tmp_path / folder).check_study(name)
        command = command.replace(folder, str(tmp_path / folder))
    app(command.split(), standalone_mode=False)
    assert "│" in shown()
    assert cut(shown()) == []
    listed = column(shown())
    assert [name for name in names if name not in listed] == []
    assert max(map(len, (line for line in shown().splitlines() if line[:1] == "│"))) <= 200


@pytest.mark.parametrize("form", ["staged", "looks", "garbage"])
def test_tables_that_need_data_cut_nothing_either(form: str, shown: Callable[[], str]) -> None:
    task = StagedTask(
        task=LONG,
        rows={"train": 392_702, "dev": 2_490, "test": 75_150},
        languages=15,
        sources=((f"hub:{LONG}/xtreme", "0123456789abcdef"),),
        licence="CC BY-NC 4.0, evaluation alone",
        defects={},
    )
    look = SourceLook(
        what=f"task {LONG}",
        source=f"hub:{LONG}",
        revision="0123456789abcdef",
        files=3,
        ending="parquet",
        columns=("premise", LONG),
        labels=("entailment", "neutral", "contradiction"),
        rows={"train": 392_702},
    )
    item = Garbage(group="weights", name="x", step="", num_bytes=10**12)
    table, names = {
        "staged": (staged_table([task]), [LONG]),
        "looks": (look_table([look]), [f"task{LONG}"]),
        "garbage": (garbage_table([item], f"s3://{LONG}"), [GROUPS["weights"].replace(" ", "")]),
    }[form]
    console.print(table)
    assert cut(shown()) == []
    assert [name for name in names if name not in column(shown()).replace(" ", "")] == []


def test_the_check_finds_a_cut_name() -> None:
    stream = io.StringIO()
    narrow = PlainConsole(stream)
    narrow.width = 40
    table = Table("model", "a column", "another column")
    table.add_row(LONG, "1", "2")
    narrow.print(table)
    assert cut(stream.getvalue()) and LONG not in column(stream.getvalue())


def test_every_table_of_the_commands_is_one_that_folds() -> None:
    folder = Path(scaling.cli.__file__).parent
    plain = [
        path.name
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and node.module == "rich.table"
        and "Table" in {alias.name for alias in node.names}
    ]
    assert plain == ["tables.py"]


def test_sentences_give_way_before_names() -> None:
    stream = io.StringIO()
    narrow = PlainConsole(stream)
    narrow.width = 60
    table = FoldedTable(("model", "note"))
    table.add_row("a-name-of-thirty-letters-in-all", "words that have room in a second line too")
    narrow.print(table)
    assert "a-name-of-thirty-letters-in-all" in stream.getvalue()


@pytest.mark.parametrize(
    ("least", "most", "room", "widths"),
    [
        ([3, 4], [3, 10], 20, [3, 10]),
        ([3, 4], [12, 10], 14, [7, 7]),
        ([12, 4], [12, 10], 17, [12, 5]),
        ([12, 4], [12, 10], 10, [6, 4]),
        ([2, 2], [2, 2], 1, [1, 1]),
    ],
)
def test_widths(least: list[int], most: list[int], room: int, widths: list[int]) -> None:
    assert fitting(least, most, room) == widths


@pytest.mark.parametrize(("columns", "widest"), [(None, 200), ("80", 80), ("rubbish", 200)])
def test_a_file_has_200_columns_unless_told(
    columns: str | None, widest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    stream = io.StringIO()
    file = PlainConsole(stream)
    table = FoldedTable(("model", "note"))
    table.add_row("xlm-r-base", "word " * 100)
    file.print(table)
    assert max(map(len, stream.getvalue().splitlines())) == widest


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_a_terminal_that_is_not_utf_8_gets_letters_and_no_traceback(
    encoding: str, tmp_path: Path
) -> None:
    (tmp_path / "ü").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "scaling.cli", "plan", "demo", "--store", "ü/ж"],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding},
    )
    said, wrong = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert done.returncode == 0 and wrong == ""
    assert ("1 x ZeRO-1" if encoding == "ascii" else "1 × ZeRO-1") in said
    assert "\\u0436: 0 steps done" in said
