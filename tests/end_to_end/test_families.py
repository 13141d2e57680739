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
from tests.helpers.family_worker import run_families, staged_family
from tests.helpers.making import recipe, round_trip, table, task
from tests.helpers.tiny import TEXT
from tests.helpers.tiny_families import HEADS, make_family_tokenizer

pytestmark = pytest.mark.torch

Run = tuple[str, int, int, list[str]]


def apart(found: dict[str, Any], architecture: str, *, lora: bool) -> float:
    """The largest difference of any update's loss from that of the first layout."""
    losses = [
        one["losses"]
        for name, one in found.items()
        if name.startswith(f"{architecture}/") and ("lora" in name) == lora
    ]
    assert all(len(one) == 20 and one[-1] < one[0] for one in losses)
    return max(abs(a - b) for one in losses for a, b in zip(losses[0], one, strict=True))


def test_two_architectures_train_alike_on_one_worker(tmp_path: Path) -> None:
    runs: list[Run] = [
        ("mt5", 0, 8, []),
        ("mt5", 3, 4, ["checkpoint_activations"]),
        ("qwen3", 1, 8, []),
        ("qwen3", 3, 4, []),
        ("qwen3", 0, 2, ["packed"]),
    ]
    for architecture in ("mt5", "qwen3"):
        staged_family(tmp_path, architecture)
    found = run_families(tmp_path, 1, runs)
    for architecture in ("mt5", "qwen3"):
        assert apart(found, architecture, lora=False) <= 5e-6


@pytest.mark.slow
@pytest.mark.parametrize("architecture", sorted(HEADS))
def test_every_architecture_trains_alike_on_every_layout(architecture: str, tmp_path: Path) -> None:
    staged_family(tmp_path, architecture)
    one: list[Run] = [(architecture, stage, 8, []) for stage in (0, 1, 2, 3)]
    one += [(architecture, stage, 2, ["checkpoint_activations"]) for stage in (1, 3)]
    one += [(architecture, stage, 4, ["lora"]) for stage in (0, 3)]
    if ARCHITECTURES[architecture].packs:
        one += [(architecture, stage, 4, ["packed"]) for stage in (0, 3)]
    two: list[Run] = [(architecture, stage, 2, []) for stage in (0, 1, 2, 3)]
    two += [(architecture, 3, 2, ["lora"]), (architecture, 3, 2, ["checkpoint_activations"])]
    found = run_families(tmp_path, 1, one) | run_families(tmp_path, 2, two)
    assert apart(found, architecture, lora=False) <= 5e-6
    assert apart(found, architecture, lora=True) <= 5e-6


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["qwen3", "modernbert", "gemma3"])
def test_tables_are_scored_in_the_numbers_they_trained_in(
    architecture: str, tmp_path: Path
) -> None:
    staged_family(tmp_path, architecture)
    found = run_families(tmp_path, 1, [(architecture, stage, 8, ["bf16"]) for stage in (1, 2, 3)])
    for one in found.values():
        tables = {name: kind for name, kind in one["buffers"].items() if "inv_freq" in name}
        assert set(tables.values()) == {"torch.float32"}
        assert one["buffers"] == one["scoring_buffers"]


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
