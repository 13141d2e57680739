"""Arms: every one runs, resumes in the middle with the same numbers, and does exactly what it
states.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.numpy import load_file

import scaling.training.actions as work
from scaling.catalogue.hardware import Placement
from scaling.catalogue.task import TaskSpec
from scaling.data.order import training_order
from scaling.data.schema import BadData
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import join_world, start_training
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.planning.memory import rows_in_use, touches_few
from scaling.planning.placement import placements
from scaling.store.cache import open_cache
from scaling.store.paths import StepFolder
from scaling.store.pending import pending_steps
from scaling.store.store import Store
from scaling.store.tidy import tidy_rows
from scaling.study.lora import Lora
from scaling.study.mixture import schedule
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study
from scaling.training.inputs import Context, Stream, in_use, materials_of
from scaling.training.loop import Losses, TrainingRun, run_updates
from scaling.training.resume import ResumePoint
from scaling.training.runner import run_steps
from scaling.training.stage import stage
from tests.helpers import layout_worker as layouts
from tests.helpers.every_arm import ARMS, arms_study
from tests.helpers.tiny import make_model

pytestmark = pytest.mark.torch

WORDS = (
    "the password of this user was changed please enter old and new one add delete history object"
    " page".split()
)
SWAHILI = "neno la siri la mtumiaji huyu limebadilishwa tafadhali ingiza la zamani na jipya".split()


def _lines(words: list[str], num: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    return "\n".join(" ".join(rng.choice(words, 8)) for _ in range(num)) + "\n"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text in two languages of 30 and 6 lines, and a task of two labels with its German
    translation.
    """
    folder = tmp_path_factory.mktemp("raw")
    (folder / "text").mkdir()
    for split, num in (("train", 30), ("dev", 8)):
        (folder / f"text/{split}.en.txt").write_text(_lines(WORDS, num, 0))
    (folder / "text/train.sw.txt").write_text(_lines(SWAHILI, 6, 1))
    (folder / "nli").mkdir()
    for split, code, num in (("train", "en", 20), ("dev", "en", 12), ("train", "de", 15)):
        rows = [
            f"{i}\tyes\tthe page {i} was changed" if i % 2 else f"{i}\tno\tadd the object {i}"
            for i in range(num)
        ]
        (folder / f"nli/{split}.{code}.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    yield join_world()


@pytest.fixture
def content(tiny_study: dict[str, Any]) -> dict[str, Any]:
    return arms_study(tiny_study)


def staged(content: dict[str, Any], store: Path, raw: Path) -> tuple[Plan, Store]:
    study, opened = Study(**content), Store.open(store)
    return make_plan(study, stage(study, opened, raw, lambda what: None)), opened


def run_all(plan: Plan, store: Store, world: World) -> None:
    run_steps(plan, store, pending_steps(plan, store.scan()), world, placements(plan, None))


def cell(plan: Plan, arm: str, target: str = "applications") -> Any:
    return next(cell for cell in plan.cells if (cell.arm, cell.target) == (arm, target))


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, raw: Path, world: World, request: Any
) -> dict[str, Any]:
    return {"folder": tmp_path_factory.mktemp("finished"), "done": None}


@pytest.fixture
def study(
    content: dict[str, Any], finished: dict[str, Any], raw: Path, world: World
) -> tuple[Plan, Store]:
    """The study with every arm, run once for all tests here."""
    if finished["done"] is None:
        plan, store = staged({**content, "keep_weights": "all"}, finished["folder"], raw)
        run_all(plan, store, world)
        finished["done"] = plan, store
    return finished["done"]  # type: ignore[no-any-return]


def test_every_arm_has_all_its_rows(study: tuple[Plan, Store]) -> None:
    plan, store = study
    roles = {row.arm: row.role for row in tidy_rows(plan, store)}
    assert roles == {
        "none": "none",
        "word_order": "single",
        "multitask": "multitask",
        "mlm-mix": "mlm-mix",
        "mlm": "mlm",
        "translated": "translated",
        "translated-alone": "translated",
        "pairwise": "pairwise",
        "longer": "control",
        "shuffled": "control",
        "random": "control",
        "adapted": "adapted",
        "pieces": "adapted",
        "latin": "adapted",
    }


QUICK = ("multitask", "mlm-mix", "pieces")


@pytest.mark.parametrize(
    "arms",
    [
        QUICK,
        pytest.param(
            [a["name"] for a in ARMS[2:] if a["name"] not in QUICK], marks=pytest.mark.slow
        ),
    ],
)
def test_a_killed_arm_resumes_with_the_same_record(
    study: tuple[Plan, Store],
    content: dict[str, Any],
    raw: Path,
    tmp_path: Path,
    world: World,
    arms: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed at a resume point in the middle of the first training of each arm."""
    plan, store = staged(content, tmp_path, raw)
    original = work.run_updates

    class Killed(Exception):
        pass

    def dies(run: TrainingRun, *, resume: ResumePoint, **others: Any) -> Losses:
        def save(fill: Any, update: int) -> None:
            resume.save(fill, update)
            raise Killed

        fatal = replace(resume, save=save if resume.found is None else resume.save)
        return original(run, resume=fatal, **others)

    monkeypatch.setattr(work, "run_updates", dies)
    found = [cell(plan, arm) for arm in arms]
    for step in dict.fromkeys((*one.intermediate, *one.trained)[0] for one in found):
        with pytest.raises(Killed):
            run_steps(plan, store, [step], world, placements(plan, None))
        assert store.exists(f"resume/{step}/manifest.json")
        assert run_steps(plan, store, [step], world, placements(plan, None)) == {step: "done"}
        assert store.record(step).science() == study[1].record(step).science(), step


def test_a_mixture_is_drawn_exactly(study: tuple[Plan, Store]) -> None:
    plan, store = study
    training = store.record(cell(plan, "multitask").intermediate[0]).training
    assert training is not None
    # 24, 20 and 24 examples, capped at 22: 64 × 4 epochs / 8 = 32 updates, in the ratio of √22, √20
    # and √22: 10.83, 10.33, 10.83 by largest remainder.
    assert training.updates == 32
    assert training.drawn == {"word_order.en": 11 * 8, "nli.en": 10 * 8, "name_types.en": 11 * 8}
    assert set(training.dev_scores) == {"word_order", "nli", "name_types"}
    mix = store.record(cell(plan, "mlm-mix").intermediate[0]).training
    assert mix is not None
    # 20 × 4 / 8 = 10 updates of the task as ever, and half as many of masked language modelling.
    assert mix.updates == 15
    assert mix.drawn["nli.en"] == 80
    # 40 examples in the ratio of their numbers to the power of 0.3.
    assert mix.drawn["text.en"] + mix.drawn["text.sw"] == 40
    units = [store.read_sizes()["text"][f"train.{code}"][0] ** 0.3 for code in ("en", "sw")]
    assert abs(mix.drawn["text.sw"] - 40 * units[1] / sum(units)) < 1


def test_no_training_touches_more_rows_than_are_planned(
    content: dict[str, Any], raw: Path, world: World, tmp_path: Path
) -> None:
    """Several tasks and languages, another script, pieces of its own: staged, and nothing run."""
    plan, store = staged(content, tmp_path / "store", raw)
    sizes, few = store.read_sizes(), 0
    with open_cache() as cache:
        for step in plan.steps.values():
            planned = rows_in_use(plan.study, step, sizes)
            if step.action == "eval" or not touches_few(plan.study, step):
                assert planned == 0
                continue
            context = Context(
                plan=plan,
                store=store,
                world=world,
                placement=Placement(zero_stage=0),
                cache=cache,
                owner="nobody",
            )
            needed, _ = in_use(materials_of(step, context, None), None)
            # Splits share most pieces, which count once for each: six splits here at most.
            assert len(needed.rows) <= planned <= 4 * len(needed.rows)
            few += 1
    assert few > 5


def test_languages_are_sampled_by_exponent(study: tuple[Plan, Store]) -> None:
    plan, store = study
    training = store.record(cell(plan, "mlm").intermediate[0]).training
    assert training is not None
    units = [store.read_sizes()["text"][f"train.{code}"][0] for code in ("en", "sw")]
    total, shares = sum(training.drawn.values()), np.array(units) ** 0.3
    assert training.updates * 8 == total
    expected = total * shares[1] / shares.sum()
    assert abs(training.drawn["text.sw"] - expected) < 1


def test_translations_are_the_rows_of_the_english_sample(
    study: tuple[Plan, Store], content: dict[str, Any], raw: Path, tmp_path: Path
) -> None:
    plan, store = study
    training = store.record(cell(plan, "translated").intermediate[0]).training
    assert training is not None
    assert sum(training.drawn.values()) == training.updates * 8
    assert abs(training.drawn["nli.de"] - sum(training.drawn.values()) * 15 / 35) < 1
    alone = {**content, "arms": ["none", ARMS[6]]}
    other = tmp_path / "raw"
    (other / "nli").mkdir(parents=True)
    for path in (raw / "nli").iterdir():
        (other / "nli" / path.name).write_text(path.read_text())
    (other / "nli/train.de.tsv").write_text("3\tyes\teine Seite\n77\tno\tkein Zwilling\n")
    with pytest.raises(
        BadData, match=r"task nli, train.de: 1 of 2 rows have no English twin, .* the id '77'"
    ):
        staged(alone, tmp_path / "store", other)


def test_compute_matched_takes_equally_many_updates(study: tuple[Plan, Store]) -> None:
    plan, store = study
    extra, like = (
        store.record(cell(plan, arm).intermediate[0]).training for arm in ("longer", "word_order")
    )
    assert extra is not None and like is not None
    assert extra.updates == like.updates
    assert plan.steps[cell(plan, "longer").intermediate[0]].task == "applications"
    # Nothing is trained for this target, so there is nothing to train longer.
    assert cell(plan, "longer", "messages").scored == cell(plan, "none", "messages").scored


def test_shuffled_labels_keep_their_counts(
    study: tuple[Plan, Store], content: dict[str, Any]
) -> None:
    rng = np.random.default_rng(0)
    targets = {
        "classification": [0, 0, 0, 1, 2, 2, 1, 0],
        "multiple_choice": [0, 3, 1, 2, 0, 2, 5, 0, 3, 1, 2],
        "tagging": [[-100, 1, 2], [3, 3, -100, 3], [1]],
    }
    for kind, before in targets.items():
        shuffled = KINDS[kind].shuffled
        assert shuffled is not None
        after = [shuffled(before, rng) for _ in range(20)]
        assert any(one != before for one in after)
        for one in after:
            flat = [sorted(np.hstack(x).tolist()) for x in (before, one)]
            assert flat[0] == flat[1]
    plan, store = study
    record = store.record(cell(plan, "shuffled").intermediate[0])
    assert record.training is not None and not record.training.collapsed
    assert record.identity["shuffled_labels"] is True


def test_random_weights_are_no_pretrained_ones(study: tuple[Plan, Store]) -> None:
    plan, store = study
    found = cell(plan, "random", "messages")
    step = plan.steps[found.scored]
    assert (step.parent, step.random_init, step.seed) == (None, 3, 3)
    assert step.fingerprint != plan.steps[cell(plan, "none", "messages").scored].fingerprint
    trained = _weights(store, cell(plan, "random").trained[0])
    usual = _weights(store, cell(plan, "none").trained[0])
    assert trained.keys() == usual.keys()
    name = "encoder.layer.0.attention.self.query.weight"
    assert np.corrcoef(trained[name].ravel(), usual[name].ravel())[0, 1] < 0.2


def _weights(store: Store, step: str) -> dict[str, np.ndarray]:
    assert store.local is not None
    record = store.record(step)
    return _tensors(store.local / StepFolder(step).weights(record.provenance.attempt))


def _tensors(folder: Path) -> dict[str, np.ndarray]:
    return {
        name: array
        for path in sorted(folder.glob("*.safetensors"))
        for name, array in load_file(path).items()
    }


def test_new_pieces_learn_and_old_ids_stay(study: tuple[Plan, Store]) -> None:
    from tokenizers import Tokenizer

    plan, store = study
    assert store.local is not None
    base = store.local / "models"
    old, new = (
        Tokenizer.from_file(str(base / name / "tokenizer.json"))
        for name in ("tiny-1", "tiny-1+pieces")
    )
    vocabulary = old.get_vocab()
    assert {piece: new.token_to_id(piece) for piece in vocabulary} == vocabulary
    assert new.get_vocab_size() == old.get_vocab_size() + 3
    before = _tensors(base / "tiny-1")["embeddings.word_embeddings.weight"]
    start = _tensors(base / "tiny-1+pieces")["embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(start[: len(before)], before)
    word = next(piece for piece, at in new.get_vocab().items() if at == len(before))
    replaced = [token.id for token in old.model.tokenize(word)]
    np.testing.assert_allclose(start[len(before)], before[replaced].mean(axis=0), atol=1e-6)
    assert len(new.encode(word.replace("▁", " ").strip()).ids) < len(
        old.encode(word.replace("▁", " ").strip()).ids
    )
    adapted = _weights(store, cell(plan, "pieces").intermediate[0])[
        "embeddings.word_embeddings.weight"
    ]
    assert (np.abs(adapted[len(before) :] - start[len(before) :]).max(axis=1) > 1e-6).all()


def test_transliteration_is_part_of_what_is_read(study: tuple[Plan, Store]) -> None:
    plan, _ = study
    steps = [plan.steps[cell(plan, arm).scored] for arm in ("latin", "word_order")]
    assert steps[0].parent == steps[1].parent
    assert "transliterated" in steps[0].identity and "transliterated" not in steps[1].identity
    assert Counter(steps[0].identity["transliterated"].keys()) == Counter(["uk"])


def test_lora_trains_its_targets_and_the_head_alone(
    content: dict[str, Any], raw: Path, tmp_path: Path, world: World
) -> None:
    lora = {"method": "lora", "lora": {"rank": 2, "targets": ["value", "intermediate.dense"]}}
    arms = ["none", "word_order"]
    plan, store = staged({**content, **lora, "arms": arms, "keep_weights": "all"}, tmp_path, raw)
    plain = make_plan(Study(**{**content, "arms": arms}), plan.lock)
    train = [step.fingerprint for step in plain.steps.values() if step.action == "train"]
    assert not set(train) & {step.fingerprint for step in plan.steps.values()}
    run_all(plan, store, world)
    assert {row.method for row in tidy_rows(plan, store)} == {"lora-r2"}
    assert store.local is not None
    before = _tensors(store.local / "models/tiny-1")
    after = _weights(store, cell(plan, "word_order").trained[0])
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert after.keys() - before.keys() == {
        f"head.{x}.{y}" for x in ("dense", "out") for y in ("weight", "bias")
    }
    assert changed == {
        f"encoder.layer.0.{x}.weight" for x in ("attention.self.value", "intermediate.dense")
    }


@pytest.mark.parametrize("lora", [None, Lora(rank=2)])
def test_a_mixture_trains_alike_under_every_stage(
    tmp_path: Path, world: World, lora: Lora | None
) -> None:
    """A head that an update leaves out has no gradient, which stage 3 would take for its last
    one.
    """
    make_model(tmp_path / "model", "xlm-roberta", 1)
    weights = Weights(folder=tmp_path / "model", architecture="xlm-roberta", kept_rows=None)
    classes, tags = KINDS["classification"], KINDS["tagging"]
    words = TaskSpec(name="words", kind="tagging", labels=("x", "y"), metric="tag_f1")
    one = layouts.features()
    other = replace(one, targets=[[-100, *(ids[1:-1] % 2).tolist(), -100] for ids in one.input_ids])
    streams = [
        Stream(
            features=part,
            kind=kind,
            recipe=layouts.RECIPE,
            order=training_order(part.num_units, layouts.RECIPE, 0, 6),
        )
        for part, kind in ((one, classes), (other, tags))
    ]
    losses = {}
    for zero in (1, 3):
        placement = Placement(workers=1, zero_stage=zero, micro_batch=8)
        engine = start_training(
            weights,
            lambda hidden: torch.nn.ModuleList(
                [
                    classes.head(hidden, layouts.TASK, layouts.RECIPE),
                    tags.head(hidden, words, layouts.RECIPE),
                ]
            ),
            layouts.RECIPE,
            placement,
            world,
            0,
            lora,
        )
        turns = schedule([6, 6], 0, None)
        found = run_updates(
            TrainingRun(
                engine=engine,
                streams=streams,
                turns=turns,
                recipe=layouts.RECIPE,
                placement=placement,
                seed=0,
            )
        )
        losses[zero] = found.per_update
        engine.close()
    assert losses[3] == pytest.approx(losses[1], abs=1e-5)
