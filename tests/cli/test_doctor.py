"""Each line of `scaling doctor`, with the failure that it is there for."""

from __future__ import annotations

import shutil
from collections import namedtuple
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from scaling.cli.app import app, console
from scaling.cli.doctor import (
    look_at_cluster,
    look_at_device,
    look_at_hub,
    look_at_shared_memory,
    look_at_store,
    look_at_token,
    look_at_versions,
)
from scaling.store.files import StoreError
from scaling.store.store import Store
from scaling.study.study import load_study

DEMO = load_study("demo")
Usage = namedtuple("Usage", "total used free")


def test_a_missing_package_fails_and_another_version_is_told() -> None:
    def installed(name: str) -> str:
        if name == "ray":
            raise PackageNotFoundError(name)
        return {"torch": "2.13.0+cpu", "numpy": "2.4.1"}.get(name, "1.0")

    wanted = [
        "numpy>=2.4",
        'torch==2.13.0; extra == "run"',
        'ray[train]==2.60.0; extra == "run"',
        'peft==0.21.2; extra == "run"',
        'ruff==9; extra == "dev"',
    ]
    whole, *odd = look_at_versions(wanted, installed)
    assert whole.said.endswith("2 of 4 packages as tested") and not whole.fails
    assert [(one.what, one.fails) for one in odd] == [("ray", True), ("peft", False)]
    assert "pip install 'ray==2.60.0'" in odd[0].said and "tested with ==0.21.2" in odd[1].said


def test_no_list_of_packages_is_no_installation() -> None:
    assert look_at_versions([])[0].fails


@pytest.mark.torch
def test_the_device_has_memory() -> None:
    pytest.importorskip("torch")
    assert all("GiB" in one.said and not one.fails for one in look_at_device())


def test_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "slowly" in look_at_shared_memory(tmp_path / "none").said
    for free, says in ((2**29, True), (2**31, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(free, 0, free))
        assert ("Ray uses the disk" in look_at_shared_memory(tmp_path).said) == says


def test_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = look_at_store(DEMO, str(tmp_path / "a" / "b"))
    assert "would be made" in new.said and not new.fails and not (tmp_path / "a").exists()
    store = Store.open(tmp_path / "store")
    store.check_study("demo")
    assert "written and deleted in" in look_at_store(DEMO, store.uri).said
    (tmp_path / "file").write_text("")
    assert look_at_store(DEMO, str(tmp_path / "file" / "store")).fails
    other = Store.open(tmp_path / "other")
    other.check_study("other")
    with pytest.raises(StoreError, match="is the store of the study 'other'"):
        look_at_store(DEMO, other.uri)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 2**29))
    assert look_at_store(DEMO, store.uri).fails


@pytest.mark.torch
def test_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "offline, as HF_HUB_OFFLINE asks; not needed" in look_at_hub(DEMO).said
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert not look_at_hub(DEMO).fails
    needs = look_at_hub(load_study("xtreme_r"))
    assert needs.fails and "http://127.0.0.1:9 does not answer" in needs.said


def test_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "none yet" in look_at_token().said and list(tmp_path.iterdir()) == []
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert look_at_token().fails
    (tmp_path / "token").write_text("secret")
    assert not look_at_token().fails and "secret" not in look_at_token().said


@pytest.mark.ray
def test_a_cluster_that_does_not_answer_or_is_no_address() -> None:
    pytest.importorskip("ray")
    for address, says in (
        ("http://127.0.0.1:9", "no Ray dashboard answers at http://127.0.0.1:9"),
        ("head:8265", "is no URL of a Ray dashboard"),
    ):
        found = look_at_cluster(address)
        assert found.fails and says in found.said


@pytest.mark.torch
def test_one_failure_is_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "x")
    # Long paths must not fold the words that are looked for.
    monkeypatch.setattr(console, "width", 400)
    with console.capture() as shown:
        assert app(["doctor"], standalone_mode=False) in (None, 0)
    assert "would fail" not in shown.get()
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    with console.capture() as shown:
        assert app(["doctor"], standalone_mode=False) == 1
    assert shown.get().count("would fail") == 1
    assert list(tmp_path.iterdir()) == []
