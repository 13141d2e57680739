"""Architectures train alike on every layout, and gold comes back in the form of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from scaling.catalogue.architecture_entries import ARCHITECTURES
from scaling.catalogue.task import TaskSpec
from scaling.data.tokens import load_tokenizer, text_form
from scaling.kinds import KINDS
from scaling.kinds.heads import pool
from scaling.kinds.kind import IGNORED, scores
from scaling.spec import UserError
from tests.helpers.family_worker import Run, apart, layouts, run_families, staged_family
from tests.helpers.making import recipe, round_trip, table, task
from tests.helpers.tiny import TEXT
from tests.helpers.tiny_families import HEADS, make_family_tokenizer

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What some trainings came to, by name, all in one process."""
    folder = tmp_path_factory.mktemp("one-worker")
    runs: list[Run] = [
        ("mt5", 0, 8, []),
        ("mt5", 3, 4, ["checkpoint_activations"]),
        ("qwen3", 1, 8, []),
        ("qwen3", 3, 4, []),
        ("qwen3", 0, 2, ["packed"]),
        # Its embeddings are scaled by a buffer, beside those of its rotations.
        ("gemma3", 3, 8, ["bf16"]),
    ]
    for architecture in ("mt5", "qwen3", "gemma3"):
        staged_family(folder, architecture)
    return run_families(folder, 1, runs)


@pytest.mark.parametrize("architecture", ["mt5", "qwen3"])
def test_an_architecture_trains_alike_on_one_worker(
    architecture: str, one_worker: dict[str, Any]
) -> None:
    assert apart(one_worker, architecture, lora=False) <= 5e-6


def assert_alike(passes: list[dict[str, str]]) -> None:
    """Every pass found the same types of numbers, and exact tables of rotations."""
    assert all(one == passes[0] for one in passes)
    tables = [kind for name, kind in passes[0].items() if "inv_freq" in name]
    assert all(kind.startswith("torch.float32 ") for kind in tables)


def test_training_and_scoring_compute_with_the_same_types_of_numbers(
    one_worker: dict[str, Any],
) -> None:
    passes = {**one_worker["gemma3/1/3/8/bf16"]}
    del passes["losses"]
    assert passes.keys() == {"training", "dev", "test, stage 0", "test, stage 3"}
    assert_alike(list(passes.values()))
    assert passes["dev"]["embed_tokens.embed_scale"].startswith("torch.float32 ")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", sorted(HEADS))
def test_every_architecture_trains_alike_on_every_layout(architecture: str, tmp_path: Path) -> None:
    staged_family(tmp_path, architecture)
    found = {
        name: one
        for size in (1, 2)
        for name, one in run_families(tmp_path, size, layouts(architecture, size)).items()
    }
    # Sums of four passes are rounded otherwise than those of one. This training makes more of it
    # than others: one unit in the last place of its weights moves its losses by 1e-5.
    bound = 1e-5 if architecture == "qwen3-bidirectional" else 5e-6
    assert apart(found, architecture, lora=False) <= bound
    assert apart(found, architecture, lora=True) <= 5e-6


@pytest.mark.slow
@pytest.mark.parametrize("architecture", sorted(HEADS))
def test_every_pass_computes_with_the_same_types_of_numbers(
    architecture: str, tmp_path: Path
) -> None:
    staged_family(tmp_path, architecture)
    found = run_families(tmp_path, 1, [(architecture, stage, 8, ["bf16"]) for stage in (1, 2, 3)])
    passes = [one for run in found.values() for name, one in run.items() if name != "losses"]
    assert len(passes) == 12
    assert_alike(passes)


KINDS_OF_TOKENIZER = ("mt5", "bert", "mbert", "qwen3", "eurobert", "modernbert", "gemma3")


def form_and_tokenizer(architecture: str, folder: Path) -> tuple[Any, Any]:
    path = folder / f"{architecture}.json"
    make_family_tokenizer(path, architecture)
    entry = ARCHITECTURES["bert" if architecture == "mbert" else architecture]
    return text_form(path, entry), load_tokenizer(path)


@pytest.mark.parametrize("architecture", KINDS_OF_TOKENIZER)
def test_tags_come_back(architecture: str, tmp_path: Path) -> None:
    form, tokenizer = form_and_tokenizer(architecture, tmp_path)
    spec = task("tagging", "span_f1", ("O", "B-PER", "I-PER"))
    words, rng = [*TEXT.split(), "北京", "\u200b", "𝒜𝓁"], np.random.default_rng(0)
    rows = [
        {
            "id": str(at),
            "words": [str(one) for one in rng.permutation(words)[:12]],
            "tags": [spec.labels[one] for one in rng.integers(0, 3, 12)],
        }
        for at in range(20)
    ]
    content = table("tagging", rows)
    found = round_trip(spec, content, "en", tokenizer, form=form, max_length=32)
    assert scores(found, 0.0)[0].value == 1.0
    features = KINDS["tagging"].encode(content, spec, tokenizer, recipe(spec), form)
    for ids, target in zip(
        features["input_ids"].to_pylist(), features["target"].to_pylist(), strict=True
    ):
        assert len(ids) == len(target)
        assert tuple(ids[: len(form.before)]) == form.before
        assert ids[len(ids) - len(form.after) :] == list(form.after)
    # The whole word stands before its last piece, and its first piece before the rest.
    one = table("tagging", [{"id": "a", "words": ["historyhistory"], "tags": ["B-PER"]}])
    (target,) = (
        KINDS["tagging"].encode(one, spec, tokenizer, recipe(spec), form)["target"].to_pylist()
    )
    at = [place for place, label in enumerate(target) if label != IGNORED]
    pieces = len(target) - form.around
    edge = 0 if form.label_on == "first" else pieces - 1
    assert at == [len(form.before) + edge] and pieces > 1


@pytest.mark.parametrize("architecture", KINDS_OF_TOKENIZER)
def test_answers_and_their_absence_come_back(architecture: str, tmp_path: Path) -> None:
    form, tokenizer = form_and_tokenizer(architecture, tmp_path)
    spec = task("span_qa", "squad2")
    context = " ".join(TEXT.split()[:30])
    starts = [at for at, char in enumerate(context) if char == " "][2:20:3]
    rows: list[dict[str, Any]] = [
        {
            "id": str(start),
            "context": context,
            "question": "which?",
            "answers": [
                {"text": context[start + 1 :].split(" ")[0], "start": start + 1},
            ],
        }
        for start in starts
    ]
    rows.append({"id": "no", "context": context, "question": "which?", "answers": []})
    found = round_trip(spec, table("span_qa", rows), "en", tokenizer, form=form, max_length=96)
    assert [one.value for one in scores(found, 0.0)][:2] == [1.0, 1.0]
    assert found["prediction"].to_pylist()[-1] == ""


def test_a_text_is_its_first_or_last_token_or_their_mean() -> None:
    hidden = torch.arange(24.0).reshape(2, 4, 3)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    assert torch.equal(pool(hidden, mask, "first"), hidden[:, 0])
    assert torch.equal(pool(hidden, mask, "last"), torch.stack([hidden[0, 2], hidden[1, 3]]))
    assert torch.equal(pool(hidden, mask, "mean")[0], hidden[0, :3].mean(0))


def test_masked_language_modelling_needs_a_token_on_both_sides(tmp_path: Path) -> None:
    form, tokenizer = form_and_tokenizer("mt5", tmp_path)
    spec = TaskSpec(name="own", kind="masked_lm", metric="tag_f1")
    rows = table("masked_lm", [{"id": "a", "text": TEXT}])
    with pytest.raises(UserError, match="puts 0 before and 1 behind"):
        KINDS["masked_lm"].encode(rows, spec, tokenizer, recipe(spec), form)
    form, tokenizer = form_and_tokenizer("modernbert", tmp_path)
    made = KINDS["masked_lm"].encode(rows, spec, tokenizer, recipe(spec), form).to_pylist()
    assert all(one["input_ids"][one["target"]["length"]] == 4 for one in made)
