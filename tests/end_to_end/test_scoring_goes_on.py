"""A scoring that dies keeps what it finished, and the next try gives the same bits as one alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from scaling.encoders.engine import join_world
from scaling.encoders.world import World
from scaling.planning.placement import placements
from scaling.store.cache import open_cache
from scaling.store.leases import new_owner
from scaling.store.paths import StepFolder
from scaling.store.store import Store
from scaling.study.identity import canonical_json
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.training.actions import score
from scaling.training.inputs import Context
from tests.helpers.dying_score import Alive, Died, die_by_signal
from tests.helpers.forgetting import forget
from tests.helpers.tiny import write_study
from tests.helpers.whole_study import run_all, science, staged

pytestmark = pytest.mark.torch
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    yield join_world()


@pytest.fixture(autouse=True)
def _a_language_is_a_portion(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny study would be one portion."""
    monkeypatch.setattr("scaling.training.portions.LEAST_BATCHES", 0)


def scorings(plan: Plan) -> list[str]:
    """A classifier that was trained, and a retrieval whose English is shared by languages."""
    return [step.id for step in plan.steps.values() if step.action == "eval"]


def left_of(store: Store, step: str) -> int:
    """Portions that lie there."""
    return sum(name.endswith(".json") for name in store.names(f"resume/{step}"))


def run_until(plan: Plan, store: Store, world: World, step: str, alive: Alive) -> None:
    with open_cache() as cache:
        context = Context(
            plan=plan,
            store=store,
            world=world,
            placement=placements(plan, None)[step],
            cache=cache,
            owner=new_owner(),
            alive=alive,
        )
        score(plan.steps[step], context, None)


def small(content: dict[str, Any]) -> dict[str, Any]:
    """One size, one arm, and weights that stay: the scorings can be done again."""
    limits = {"train": 16, "dev": 12, "test": 12}
    one = {"models": ["tiny-1"], "arms": ["none"], "keep_weights": "all", "limits": limits}
    return {**content, **one}


def begun(content: dict[str, Any], folder: Path, world: World) -> tuple[Plan, Store, Any]:
    """(plan, store without its scorings, what they stated): every training is done."""
    plan, store = staged(small(content), folder / "alone")
    run_all(plan, store, world)
    alone = science(plan, store)
    shutil.copytree(folder / "alone", folder / "cut")
    cut = Store.open(folder / "cut")
    for step in scorings(plan):
        assert left_of(store, step) == 0
        forget(cut, step)
    return plan, cut, alone


def test_a_scoring_goes_on_with_the_languages_that_are_not_done(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    plan, store, alone = begun(tiny_study, tmp_path, world)
    for step in scorings(plan):
        languages = len(plan.study.test_languages(plan.steps[step].task))
        half = languages // 2
        dying = Alive(store=store, step=step, portions=half)
        with pytest.raises(Died):
            run_until(plan, store, world, step, dying)
        assert left_of(store, step) == half
        whole = Alive(store=store, step=step, portions=languages + 1)
        run_until(plan, store, world, step, whole)
        # The first half of the languages is not computed again.
        assert 0 < whole.calls <= dying.calls / half * (languages - half) + 1
    assert set(run_all(plan, store, world).values()) == {"done"}
    assert science(plan, store) == alone
    assert [left_of(store, step) for step in scorings(plan)] == [0, 0]


def test_a_damaged_portion_is_computed_again(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    plan, store, alone = begun({**tiny_study, "targets": ["messages"]}, tmp_path, world)
    (step,) = scorings(plan)
    with pytest.raises(Died):
        run_until(plan, store, world, step, Alive(store=store, step=step, portions=2))
    kept = list((tmp_path / "cut" / StepFolder(step).resume).rglob("*.parquet"))
    assert kept
    for path in kept:
        path.write_bytes(b"PAR1" + bytes(100))
    assert set(run_all(plan, store, world).values()) == {"done"}
    assert canonical_json(science(plan, store)) == canonical_json(alone)


@pytest.mark.slow
def test_a_scoring_that_is_killed_goes_on(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    plan, store, alone = begun(tiny_study, tmp_path, world)
    study = write_study(tmp_path, small(tiny_study))
    assert [*make_plan(plan.study, store.read_lock()).steps] == [*plan.steps]
    for step in scorings(plan):
        languages = len(plan.study.test_languages(plan.steps[step].task))
        arguments = [str(study), str(tmp_path / "cut"), step, str(languages // 2)]
        killed = subprocess.run(
            [sys.executable, "-m", "tests.helpers.dying_score", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert killed.returncode == die_by_signal, killed.stderr[-2000:]
        assert left_of(store, step) == languages // 2
    assert set(run_all(plan, store, world).values()) == {"done"}
    assert science(plan, store) == alone
