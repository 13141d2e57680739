"""What saving takes is measured where it is dear, before anything depends on it."""

from __future__ import annotations

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
from scaling.training.resume import measured_rate, resume_point
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
            point = resume_point(STEP, store, ALONE, Placement(), cache, params, 0)
            assert [point.save_seconds() for _ in range(3)] == [pytest.approx(seconds)] * 3
            assert len(seen) == probes
