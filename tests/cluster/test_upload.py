"""What is sent to a cluster: a checkout, or what is installed, with the study's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.cluster.check import ClusterError, pinned_versions
from scaling.cluster.upload import upload_for, upload_of
from tests.helpers.house import ROOT

pytest.importorskip("ray")


def test_outside_a_checkout_the_running_code_and_the_study_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    study = tmp_path / "runs" / "mine.yaml"
    study.write_text("name: mine\n")
    with upload_for("runs/mine.yaml", None) as upload:
        files = upload_of(upload.folder)
        folder = upload.folder
        assert upload.study == "mine.yaml" and files["mine.yaml"] == len("name: mine\n")
    assert not folder.exists()
    assert sum(files.values()) == upload.num_bytes
    assert upload.wanted["ray"] == "2.60.0"
    for package in ("scaling", "analysis", "jobs"):
        ours = [path for path in (ROOT / package).rglob("*") if path.suffix in (".py", ".tsv")]
        assert ours and {path.relative_to(ROOT).as_posix() for path in ours} <= files.keys()
    assert not any("__pycache__" in name for name in files)


def test_a_shipped_study_is_sent_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with upload_for("demo", None) as upload:
        assert upload.study == "demo"
        assert "scaling/catalogue/studies/demo.yaml" in upload_of(upload.folder)


def test_a_folder_that_is_given_must_be_a_checkout(tmp_path: Path) -> None:
    with (
        pytest.raises(ClusterError, match=r"has no jobs/run_study\.py"),
        upload_for("demo", tmp_path),
    ):
        pass


def test_a_checkout_is_sent_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with upload_for("demo", None) as upload:
        assert upload.folder == ROOT
        assert not any(name.startswith("tests/") for name in upload_of(upload.folder))


def test_a_file_of_a_shipped_name_is_sent_as_the_file_that_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_text("name: mine\n")
    with upload_for("demo", None) as upload:
        assert (upload.folder / upload.study).read_text() == "name: mine\n"


def test_pins_are_those_of_running_and_exact() -> None:
    lines = [
        "numpy>=2",
        "torch==2.13.0; extra == 'run'",
        "ray[tune]==2.60.0",
        "ruff==1; extra == 'dev'",
    ]
    assert pinned_versions(lines) == {"torch": "2.13.0", "ray": "2.60.0"}
