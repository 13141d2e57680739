"""What users meet first: typos, tables, JSON, exports, shown commands, the wheel, planted failures.

`PARTS` and `LONG` are what benchmarks/users.py adds to its own, by name.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from scaling.cli import doctor
from scaling.cli.doctor import Finding
from scaling.cli.outputs import OUTPUTS
from scaling.cluster import check
from scaling.planning import eta
from tests.helpers.wheel import build_wheel, outside

ROOT = Path(__file__).resolve().parents[1]
LIMIT_SECONDS = 3000
# A wheel's environment: from the index, with nothing of this one.
INSTALL_SECONDS = 900
PYTHONS = ("3.11", "3.12", "3.13")


@dataclass(kw_only=True)
class Outcome:
    """What became of a test and its parameters."""

    passed: int = 0
    other: list[str] = field(default_factory=list)
    """Names of those that failed or were left out."""
    properties: list[tuple[str, str]] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """How many passed, and which did not."""
        whole = f"{self.passed} of {self.passed + len(self.other)} tests pass"
        return "; ".join([whole, *self.other])


def outcome(*words: str) -> Outcome:
    """Run tests by pytest's arguments."""
    found = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += [f"--junit-xml={report}", *words]
        subprocess.run(command, cwd=ROOT, timeout=LIMIT_SECONDS, check=False)
        for case in ElementTree.parse(report).iter("testcase"):
            if {child.tag for child in case} & {"failure", "error", "skipped"}:
                found.other.append(str(case.get("name")))
            else:
                found.passed += 1
            for one in case.iter("property"):
                found.properties.append((str(one.get("name")), str(one.get("value"))))
    return found


def row(figure: str, target: str, found: Outcome, value: str = "") -> dict[str, Any]:
    """The row of tests that all have to pass."""
    met = found.passed > 0 and not found.other
    said = "; ".join(part for part in (value, found.sentence) if part)
    return {"figure": figure, "target": target, "value": said, "met": met}


def typos() -> list[dict[str, Any]]:
    """Misspelt keys and names of study files."""
    found = outcome("tests/test_typos.py")
    counts = " keys, ".join(value for _, value in found.properties)
    figure = "typos, one per key and per name of a study file: true line and a valid name of there"
    many = outcome("tests/test_typos.py", "-k", "all_typos_are_told_in_one_run")
    return [
        row(figure, "all", found, f"{counts} names"),
        row("three typos, and more, told in one run", "all", many),
    ]


def tables() -> list[dict[str, Any]]:
    """Names that a table cuts."""
    found = outcome("tests/cli/test_tables.py")
    figure = "widths 80, 120, no terminal: tests in which a table of a command cuts a name"
    return [row(figure, "0", found, str(len(found.other)))]


def outputs() -> list[dict[str, Any]]:
    """JSON against the schemas that the repository keeps."""
    found = outcome("tests/cli/test_outputs.py", "-m", "slow or not slow")
    figure = "JSON outputs valid against the schemas in docs/json"
    return [row(figure, "all", found, f"{len(OUTPUTS)} outputs")]


def exports() -> list[dict[str, Any]]:
    """Exported steps in Transformers against ours."""
    found = outcome("tests/end_to_end/test_export.py")
    furthest = max(float(value) for name, value in found.properties if name == "furthest")
    heads = sum(name == "furthest" for name, _ in found.properties)
    figure = "exported steps, every head and both architectures: outputs in Transformers and ours"
    said = f"{furthest:.1e} at most over {heads}; no class there for retrieval and mean pooling"
    one = row(figure, "≤ 1e-5; kinds without such a class named", found, said)
    return [one | {"met": one["met"] and furthest <= 1e-5}]


def shown() -> list[dict[str, Any]]:
    """The commands of the documentation."""
    long = "long_studies"
    quick = outcome("tests/test_commands.py", "-m", "slow or not slow", "-k", f"not {long}")
    figure = "tutorial and README commands, run by the tests"
    return [row(figure, "all", quick)]


def long_studies() -> list[dict[str, Any]]:
    """The three studies of the Makefile: hours."""
    found = outcome("tests/test_commands.py", "-m", "slow", "-k", "long_studies")
    return [row("README's three long studies, as make runs them", "all", found)]


def wheels() -> list[dict[str, Any]]:
    """The wheel where nothing of this checkout is."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        for version in PYTHONS:
            python = shutil.which(f"python{version}")
            works = python and subprocess.run([python, "-V"], capture_output=True).returncode == 0
            said = _in_empty(str(python), wheel, Path(folder) / version) if works else ""
            if said or version == PYTHONS[0]:
                figure = f"wheel in an empty environment, Python {version}: plan, report --example"
                met = said.startswith("both")
                rows.append({"figure": figure, "target": "both", "value": said, "met": met})
    submitted = outcome("tests/end_to_end/test_wheel.py", "-m", "slow")
    rows.append(
        row("wheel: `submit` to a local head from it, and all files in it", "all", submitted)
    )
    return rows


def _in_empty(python: str, wheel: Path, folder: Path) -> str:
    subprocess.run([python, "-m", "venv", str(folder)], check=True, timeout=120)
    programs, env = folder / "bin", outside(folder / "bin")
    install = [str(programs / "python"), "-m", "pip", "install", "--quiet", str(wheel)]
    done = subprocess.run(install, env=env, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if done.returncode != 0:
        return f"not installed: {done.stderr.strip().splitlines()[-1][:200]}"
    for words in (["plan", "demo"], ["report", "--example", "--out", "page"]):
        done = subprocess.run(
            [str(programs / "scaling"), *words],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
        if done.returncode != 0:
            return f"{words[0]}: {done.stderr.strip().splitlines()[-1][:200]}"
    return "both" if (folder / "page" / "index.html").is_file() else "no page"


def _silent(module: Any, name: str, value: Any) -> Callable[[], None]:
    """Deletes a check: it finds nothing from now on."""
    return lambda: setattr(module, name, lambda *args, **named: value)


def _emptied(name: str) -> Callable[[], None]:
    """Deletes a JSON schema: anything is valid by it."""

    def plant() -> None:
        read = Path.read_text

        def reading(path: Path, *args: Any, **named: Any) -> str:
            return "{}" if path.name == f"{name}.json" else read(path, *args, **named)

        setattr(Path, "read_text", reading)  # noqa: B010

    return plant


def plants() -> dict[str, tuple[Callable[[], None], Sequence[str]]]:
    """What is deleted → how, and the tests that must miss it."""
    fine = Finding(what="deleted", said="ok")
    lines = ("device", "shared_memory", "store", "hub", "token", "versions", "cluster")
    listed = {"device": [fine], "versions": [fine]}
    complained = ("version", "store", "driver", "gang")
    parts = {
        "the pace of the last steps": ("_pace_of", 1.0),
        "groups between two steps": ("_between_steps", 0),
        "expected re-runs": ("_expected_reruns", {}),
        "starts of sessions": ("_start_share", 0.0),
        "what finished steps took": ("_fits", lambda step: 60.0),
    }
    return {
        **{
            f"doctor's {line}": (
                _silent(doctor, f"look_at_{line}", listed.get(line, fine)),
                ["tests/cli/test_doctor.py"],
            )
            for line in lines
        },
        **{
            f"submit's check of {what}": (
                _silent(check, f"_{what}_complaints", []),
                ["tests/cluster/test_check.py"],
            )
            for what in complained
        },
        **{
            f"the schema of {name}": (_emptied(name), ["tests/cli/test_outputs.py", "-k", "kept"])
            for name in OUTPUTS
        },
        **{
            f"ETA: {what}": (_silent(eta, name, value), ["tests/planning/test_eta.py"])
            for what, (name, value) in parts.items()
        },
    }


def _child(plant: Callable[[], None] | None, words: Sequence[str]) -> None:
    os.chdir(ROOT)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    if plant is not None:
        plant()
    os._exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *words]))


def _exit_code(plant: Callable[[], None] | None, words: Sequence[str]) -> int | None:
    """Pytest's exit code in a process of its own with a check deleted; 1: tests failed."""
    process = multiprocessing.get_context("fork").Process(target=_child, args=(plant, words))
    process.start()
    process.join(LIMIT_SECONDS)
    return process.exitcode


def planted() -> list[dict[str, Any]]:
    """Whether a deleted check is missed by a test."""
    for heavy in ("torch", "huggingface_hub", "jsonschema"):
        # Once, and not in every process that is forked.
        import_module(heavy)
    there = plants()
    whole = {tuple(words): _exit_code(None, words) for _, words in there.values()}
    unnoticed = [name for name, (how, words) in there.items() if _exit_code(how, words) != 1]
    broken = [words[0] for words, code in whole.items() if code != 0]
    said = f"{len(there) - len(unnoticed)} of {len(there)} missed when deleted"
    return [
        {
            "figure": "doctor's lines, submit's checks, JSON schemas, parts of the ETA: a planted"
            " failure misses each deleted one",
            "target": "all",
            "value": "; ".join([said, *unnoticed, *(f"{name} fails as it is" for name in broken)]),
            "met": not unnoticed and not broken,
        }
    ]


PARTS: Mapping[str, Callable[[], list[dict[str, Any]]]] = {
    "typos": typos,
    "tables": tables,
    "json": outputs,
    "exports": exports,
    "commands": shown,
    "wheel": wheels,
    "planted": planted,
}


LONG: Mapping[str, Callable[[], list[dict[str, Any]]]] = {"long-studies": long_studies}
"""What takes hours and is run by its name alone."""
