"""What saving takes is measured where it is dear, before anything depends on it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

import torch

from scaling.catalogue.hardware import Placement
from scaling.encoders.world import World
from scaling.store.cache import open_cache
from scaling.store.paths import StepFolder
from scaling.store.store import Store
from scaling.training import resume
from scaling.training.resume import ResumePoint, measured_rate, resume_point
from tests.helpers.far_store import far_store

STEP = "iii.x"
ALONE = World(0, 1, torch.device("cpu"))


@pytest.mark.parametrize("local", [True, False])
def test_the_rate_is_measured_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    monkeypatch.setattr(resume, "PROBE_BYTES", 1_000_000)
    monkeypatch.setenv("SCALING_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "store"
    folder.mkdir()
    store = Store.open(folder) if local else far_store(folder)
    name = StepFolder(STEP).resume
    monkeypatch.setattr(resume, "uuid4", lambda: SimpleNamespace(hex="0" * 32))
    with open_cache() as cache:
        assert measured_rate(store, name, ALONE, cache) > 1e6
        assert not [path for path in folder.rglob("*") if path.is_file()]
        # Small models are not made to wait for it, and large ones once.
        seen = []
        monkeypatch.setattr(resume, "measured_rate", lambda *_: seen.append(1) or 1e9)
        for params, probes, seconds in ((1_000, 0, 0.00028), (10**9, 1, 14.0)):
            point = resume_point(STEP, store, ALONE, Placement(), cache, params, 0, 1)
            assert [point.save_seconds() for _ in range(3)] == [pytest.approx(seconds)] * 3
            assert len(seen) == probes


def test_who_slept_while_another_took_over_writes_over_nothing_of_it(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    name = StepFolder(STEP).resume

    def fill(folder: Path) -> None:
        (folder / "state.pt").write_bytes(os.urandom(100))

    with open_cache() as cache:

        def point(token: int) -> ResumePoint:
            return resume_point(STEP, store, ALONE, Placement(), cache, 10, 0, token)

        slept, took_over = point(1), point(2)
        slept.save(fill, 10)
        took_over.save(fill, 20)
        assert store.names(name) == ["20.2/", "manifest.json"]
        whole = {entry.name: entry.tag for entry in store.entries(name)}
        slept.save(fill, 30)
        assert {entry.name: entry.tag for entry in store.entries(name)} == whole
        found = point(3).found
        assert found is not None and found.name == "20.2"
