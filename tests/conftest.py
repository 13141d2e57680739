"""Fixtures of all tests, and how Hypothesis and the libraries behave in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.helpers.hub_server import Hub, serving
from tests.helpers.tiny import make_model, tiny_content

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Threads that wait for each other by spinning make tiny models many times slower on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The longest files. Two processes share the tests by file: what begins last must be short.
LONGEST = ("test_ray.py", "test_here.py", "test_engine.py", "test_arms.py", "test_runner.py")

# How long an example takes is the machine's affair.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests fetch is not left on this machine."""
    os.environ["SCALING_CACHE"] = str(tmp_path_factory.mktemp("cache") / "shared")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub on this machine, which the hub's own client asks, with an empty cache."""
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with serving(Hub(tmp_path / "hub")) as served:
        # What HF_ENDPOINT sets when the client is imported.
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            served.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield served


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Two sizes of one family: one layer and two."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("models")
    return [
        {"name": f"tiny-{layers}", **make_model(folder / f"tiny-{layers}", "xlm-roberta", layers)}
        for layers in (1, 2)
    ]


@pytest.fixture
def tiny_study(tiny_models: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole study in seconds, of two sizes."""
    return tiny_content(tiny_models)


@pytest.fixture
def small(tmp_path: Path) -> tuple[Any, ...]:
    """A study file, its plan, and a store in which the training failed once and somebody tries
    again.
    """
    from tests.helpers.begun_study import begun

    return begun(tmp_path)
