"""An exported step opens in transformers and gives the outputs that it gave here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

import torch
import transformers
from transformers import AutoTokenizer

from scaling.catalogue.hardware import Placement
from scaling.catalogue.task import TaskSpec
from scaling.cli import app
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import join_world, start_scoring, start_training
from scaling.encoders.handover import head_form, write_auto_model
from scaling.kinds import KINDS
from scaling.study.recipes import Recipe
from tests.helpers.tiny import TEXT, make_model, write_study
from tests.helpers.whole_study import run_all, staged

pytestmark = pytest.mark.torch

METRICS = {
    "classification": "accuracy",
    "multiple_choice": "accuracy",
    "tagging": "tag_f1",
    "span_qa": "squad1",
    "masked_lm": "tag_f1",
}
# Eight scripts; a tiny tokenizer has pieces of one alone, but cuts and numbers them all.
TEXTS = [
    *(TEXT[at : at + 30] for at in range(0, 120, 30)),
    *("neno la siri", "das Passwort", "wurde geändert", "ingiza la zamani"),
    *("пароль этого пользователя", "введите старый", "був змінений", "нова парола"),
    *("تم تغيير كلمة المرور", "أدخل القديمة", "نئی زبان", "گذرواژه تازه"),
    *("इस उपयोगकर्ता का पासवर्ड", "पुराना और नया", "नवीन शब्द", "भाषा"),
    *("この利用者の暗証番号", "古い番号", "新しい番号を", "言語"),
    *("이 사용자의 비밀번호", "이전 비밀번호", "새 비밀번호를", "언어"),
    *("ο κωδικός του χρήστη", "εισάγετε τον παλιό", "νέος κωδικός", "γλώσσα"),
    *("ამ მომხმარებლის პაროლი", "ძველი და ახალი", "შეიყვანეთ", "ენა"),
]


def task_of(kind: str) -> TaskSpec:
    labels = ("a", "b", "c") if kind in ("classification", "tagging") else ()
    return TaskSpec(name="made-up", kind=kind, labels=labels, metric=METRICS[kind])


@pytest.mark.parametrize("architecture", ["xlm-roberta", "xlm-roberta-xl"])
@pytest.mark.parametrize("kind", sorted(METRICS))
def test_outputs_are_the_same(
    tmp_path: Path,
    architecture: str,
    kind: str,
    record_property: Callable[[str, object], None],
) -> None:
    make_model(tmp_path / "m", architecture, 2)
    # A new head's norm has XLM-R's epsilon: the model has it too, as XLM-R has.
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-5}))
    task, recipe = task_of(kind), Recipe(batch=2, precision="fp32", learning_rate=1e-3)
    placement = Placement(workers=1, zero_stage=0, micro_batch=2)
    pretrained = Weights(folder=tmp_path / "m", architecture=architecture, kept_rows=None)

    def head(hidden: int) -> Any:
        return KINDS[task.kind].head(hidden, task, recipe)

    # An update, so that no layer has the values that it starts with.
    world = join_world()
    engine = start_training(pretrained, head, recipe, placement, world, seed=0, lora=None)
    ids = torch.tensor([[0, 10, 11, 2], [0, 12, 13, 2]])
    hidden = engine.core(ids, torch.ones_like(ids))
    if kind == "masked_lm":
        out = engine.model.head(hidden.flatten(0, 1))
    elif kind in ("classification", "multiple_choice"):
        out = engine.model.head(hidden, torch.ones_like(ids))
    else:
        out = engine.model.head(hidden)
    engine.backward(out.float().square().mean())
    engine.step(1e-3)
    engine.export(tmp_path / "weights", pretrained.beside())
    engine.close()

    weights = Weights(folder=tmp_path / "weights", architecture=architecture, kept_rows=None)
    form = head_form(task, recipe)
    assert not isinstance(form, str)
    name = write_auto_model(
        weights,
        form,
        task.labels,
        lambda: torch.empty(0),
        tmp_path / "m" / "tokenizer.json",
        tmp_path / "out",
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    given = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert given["input_ids"][:, 0].tolist() == [0] * len(TEXTS)
    ids, mask = given["input_ids"], given["attention_mask"]
    scoring = start_scoring(weights, head, recipe, placement, world)
    with torch.no_grad():
        hidden = scoring.core(ids, mask)
        own = scoring.model.head
        ours = own(hidden, mask) if kind in ("classification", "multiple_choice") else own(hidden)
    scoring.close()
    theirs_class = getattr(transformers, f"AutoModel{form.ending}")
    theirs = theirs_class.from_pretrained(tmp_path / "out").eval()
    assert type(theirs).__name__ == name
    if task.labels:
        assert theirs.config.id2label == {0: "a", 1: "b", 2: "c"}
    with torch.no_grad():
        if kind == "multiple_choice":
            found = theirs(input_ids=ids[None], attention_mask=mask[None]).logits[0]
            ours = ours[:, 0]
        elif kind == "span_qa":
            both = theirs(input_ids=ids, attention_mask=mask)
            found = torch.stack([both.start_logits, both.end_logits], -1)
        else:
            found = theirs(input_ids=ids, attention_mask=mask).logits
    assert found.shape == ours.shape and len(TEXTS) >= 32
    furthest = float((found - ours).abs().max())
    record_property("furthest", furthest)
    assert furthest <= 1e-5


def test_what_transformers_has_no_class_for_says_why() -> None:
    mean = head_form(task_of("classification"), Recipe(pooling="mean"))
    assert mean == "transformers' head reads <s>, this one the mean of all tokens"
    retrieval = TaskSpec(name="made-up", kind="retrieval", metric="accuracy")
    assert "has no head" in str(head_form(retrieval, Recipe()))


def test_a_step_of_a_study_is_exported_whole(tiny_study: dict[str, Any], tmp_path: Path) -> None:
    """A trimmed vocabulary is whole again, and what cannot be exported says what to do."""
    models = [{**one, "trim_vocabulary": True} for one in tiny_study["define"]["models"]]
    content = {
        **tiny_study,
        "models": ["tiny-1"],
        "arms": ["none", "word_order"],
        "targets": ["applications"],
        "languages": ["de"],
        "keep_weights": "intermediate",
        "define": {"models": models},
    }
    plan, store = staged(content, tmp_path / "store")
    run_all(plan, store, join_world())
    study = str(write_study(tmp_path, content))
    runner, out = CliRunner(), tmp_path / "out"
    given = ["--store", str(tmp_path / "store"), "-o", str(out)]
    done = runner.invoke(app, ["export", study, "ii.tiny-1", *given])
    assert done.exit_code == 0, done.output
    model = transformers.AutoModelForSequenceClassification.from_pretrained(out)
    assert type(model).__name__ == "XLMRobertaForSequenceClassification"
    assert model.config.id2label == {0: "real", 1: "shuffled"}
    rows = model.get_input_embeddings().weight
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert len(tokenizer) == len(rows) == models[0]["vocab_rows"]
    (trained,) = (step for step in plan.steps if step.startswith("ii."))
    assert trained in (out / "README.md").read_text(encoding="utf-8")

    def refusal(*arguments: str) -> str:
        return str(runner.invoke(app, ["export", study, *arguments]).exception)

    assert "exists; name a new folder" in refusal("ii.tiny-1", *given)
    elsewhere = [*given[:3], str(tmp_path / "new")]
    assert "is a part of several steps" in refusal("tiny-1", *elsewhere)
    assert "scores and trains nothing" in refusal("eval.tiny-1.word", *elsewhere)
    assert "`keep_weights: all`" in refusal("iii.tiny-1.word", *elsewhere)
    assert "Unknown step 'ii.tiny-9'" in refusal("ii.tiny-9", *elsewhere)
    assert not (tmp_path / "new").exists()
