"""The short lists of public names: each is there, typed, described, and loaded when first used."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from tests.helpers.house import ROOT

PUBLIC = {
    "scaling": {"Plan", "Store", "Study", "UserError", "load_study", "make_plan"},
    "analysis": {"Answer", "BadInput", "answers", "load_tidy", "pair_gains", "write_report"},
}


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_name_is_there_and_described(package: str) -> None:
    module = import_module(package)
    assert set(module.__all__) == PUBLIC[package]
    for name in module.__all__:
        found = getattr(module, name)
        assert found.__name__ == name and inspect.getdoc(found)
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        module.frobnicate  # noqa: B018
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize("package", PUBLIC)
def test_a_type_checker_finds_each_name_where_it_is_loaded_from(package: str) -> None:
    source = (ROOT / package / "__init__.py").read_text(encoding="utf-8")
    imported = {
        name.name: node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if node.module not in ("importlib", "typing")
    }
    assert imported == import_module(package)._HOMES


@pytest.mark.parametrize("package", PUBLIC)
def test_a_package_alone_loads_nothing_else(package: str) -> None:
    code = f"import sys; had = set(sys.modules); import {package}; print(*set(sys.modules) - had)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert package in loaded and not loaded & {"pydantic", "polars", "numpy", "torch"}
