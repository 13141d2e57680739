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

from scaling.catalogue.architecture_entries import ARCHITECTURES
from scaling.catalogue.hardware import Placement
from scaling.catalogue.models import ModelSpec
from scaling.catalogue.task import TaskSpec
from scaling.cli import app
from scaling.data.tokens import text_form
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import join_world, start_scoring, start_training
from scaling.encoders.handover import head_form, write_auto_model
from scaling.encoders.weights import stage_model
from scaling.kinds import KINDS
from scaling.spec import UserError
from scaling.store.store import Store
from scaling.study.recipes import Recipe
from tests.helpers.tiny import TEXT, make_model, tiny_content, write_study
from tests.helpers.tiny_families import make_family, reference_encoder
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


def furthest(weights: Weights, kind: str, tokenizer_file: Path, folder: Path) -> tuple[float, str]:
    """How far apart the outputs of a trained model are here and in what transformers opens, and its
    class.

    Args:
        weights: What is trained for an update, so that no layer has the values it starts with.
        kind: Of task.
        tokenizer_file: Its `tokenizer.json`.
        folder: Where its files go.
    """
    entry, task = ARCHITECTURES[weights.architecture], task_of(kind)
    recipe = Recipe(batch=2, precision="fp32", learning_rate=1e-3, pooling=entry.pooling)
    placement = Placement(workers=1, zero_stage=0, micro_batch=2)

    def head(hidden: int) -> Any:
        return KINDS[task.kind].head(hidden, task, recipe)

    def applied(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden, own = model(ids, mask, None, tuple(mask.sum(1).tolist())), model.head
        return own(hidden, mask) if kind in ("classification", "multiple_choice") else own(hidden)

    world = join_world()
    engine = start_training(weights, head, recipe, placement, world, seed=0, lora=None)
    ids = torch.tensor([[0, 10, 11, 2], [0, 12, 13, 2]])
    out = applied(engine.core.module, ids, torch.ones_like(ids))
    engine.backward(out.float().square().mean())
    engine.step(1e-3)
    engine.export(folder / "weights", weights.beside())
    engine.close()
    trained = Weights(folder=folder / "weights", architecture=entry.name, kept_rows=None)
    form = head_form(task, recipe, entry.name)
    name = write_auto_model(
        trained, form, task.labels, lambda: torch.empty(0), tokenizer_file, folder / "out"
    )
    tokenizer = AutoTokenizer.from_pretrained(folder / "out")
    given = tokenizer(TEXTS, padding=True, return_tensors="pt")
    ids, mask = given["input_ids"], given["attention_mask"]
    around = text_form(tokenizer_file, entry)
    assert len(TEXTS) >= 32
    for row, length in enumerate(mask.sum(1).tolist()):
        assert tuple(ids[row, : len(around.before)].tolist()) == around.before
        assert tuple(ids[row, length - len(around.after) : length].tolist()) == around.after
    theirs = getattr(transformers, name).from_pretrained(folder / "out").eval()
    scoring = start_scoring(trained, head, recipe, placement, world)
    real = mask == 1
    with torch.no_grad():
        if isinstance(form, str):
            ours = scoring.core(ids, mask, None, tuple(mask.sum(1).tolist()))[real]
            found = theirs(input_ids=ids, attention_mask=mask).last_hidden_state[real]
        else:
            opened = getattr(transformers, f"AutoModel{form.ending}").from_pretrained(
                folder / "out"
            )
            assert type(opened).__name__ == name
            ours = applied(scoring.core, ids, mask)
            if kind == "multiple_choice":
                found = theirs(input_ids=ids[None], attention_mask=mask[None]).logits[0]
                ours = ours[:, 0]
            elif kind == "span_qa":
                both = theirs(input_ids=ids, attention_mask=mask)
                found = torch.stack([both.start_logits, both.end_logits], -1)
            else:
                found = theirs(input_ids=ids, attention_mask=mask).logits
            if kind in ("span_qa", "tagging", "masked_lm"):
                ours, found = ours[real], found[real]
            if task.labels:
                assert theirs.config.id2label == {0: "a", 1: "b", 2: "c"}
    scoring.close()
    assert found.shape == ours.shape and float(ours.abs().max()) > 0
    return float((found - ours).abs().max()), name


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
    weights = Weights(folder=tmp_path / "m", architecture=architecture, kept_rows=None)
    apart, _ = furthest(weights, kind, tmp_path / "m" / "tokenizer.json", tmp_path)
    record_property("furthest", apart)
    assert apart <= 1e-5


OPENED = {
    ("bert", "classification"): "BertForSequenceClassification",
    ("bert", "multiple_choice"): "BertForMultipleChoice",
    ("mt5", "tagging"): "MT5ForTokenClassification",
    ("mt5", "classification"): "MT5EncoderModel",
    ("umt5", "tagging"): "UMT5ForTokenClassification",
    ("eurobert", "tagging"): "EuroBertForTokenClassification",
    ("qwen3", "tagging"): "Qwen3ForTokenClassification",
    ("qwen3", "span_qa"): "Qwen3ForQuestionAnswering",
    ("modernbert", "tagging"): "ModernBertModel",
    ("gemma3", "classification"): "Gemma3TextModel",
}


_QUICK = [("bert", "classification"), ("mt5", "tagging"), ("qwen3", "span_qa")]


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [pytest.param(*one, marks=[] if one in _QUICK else pytest.mark.slow) for one in OPENED],
)
def test_outputs_of_other_families_are_the_same(
    tmp_path: Path, architecture: str, kind: str
) -> None:
    """With their head where transformers has one of its form, else the encoder alone."""
    spec = ModelSpec(name="own", **make_family(tmp_path / "hub", architecture, 6))
    store, tokenizer = Store.open(tmp_path / "store"), tmp_path / "hub" / "tokenizer.json"
    stage_model(spec, store, None, None, name="own", tokenizer=tokenizer)
    folder = tmp_path / "store" / "models" / "own"
    weights = Weights(folder=folder, architecture=architecture, kept_rows=None)
    apart, name = furthest(weights, kind, tokenizer, tmp_path)
    assert name == OPENED[architecture, kind]
    assert apart <= 1e-5


def test_what_transformers_has_no_class_for_says_why(tmp_path: Path) -> None:
    mean = head_form(task_of("classification"), Recipe(pooling="mean"), "xlm-roberta")
    assert mean == "transformers' head reads <s>, this one the mean of all tokens"
    retrieval = TaskSpec(name="made-up", kind="retrieval", metric="accuracy")
    assert "has no head" in str(head_form(retrieval, Recipe(), "xlm-roberta"))
    other = head_form(task_of("tagging"), Recipe(), "modernbert")
    assert other == "transformers' classes of modernbert have another head for tagging"
    weights = Weights(folder=tmp_path, architecture="qwen3-bidirectional", kept_rows=None)
    form = head_form(task_of("tagging"), Recipe(), weights.architecture)
    with pytest.raises(UserError, match="no class of transformers attends as it does"):
        write_auto_model(weights, form, (), lambda: torch.empty(0), tmp_path, tmp_path / "out")


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "opens"), [("mt5", "MT5EncoderModel"), ("qwen3", "Qwen3Model")]
)
def test_a_trimmed_step_of_another_family_is_exported_whole(
    architecture: str, opens: str, tmp_path: Path
) -> None:
    """Special tokens have their own ids again, and untrained rows are the pretrained ones."""
    spec = {"name": "own", **make_family(tmp_path / "hub", architecture, 2)}
    content = tiny_content([{**spec, "trim_vocabulary": True}]) | {
        "targets": ["applications"],
        "languages": ["de"],
        "keep_weights": "intermediate",
    }
    plan, store = staged(content, tmp_path / "store")
    run_all(plan, store, join_world())
    out, study = tmp_path / "out", str(write_study(tmp_path, content))
    given = ["--store", str(tmp_path / "store"), "-o", str(out)]
    done = CliRunner().invoke(app, ["export", study, "ii.own", *given])
    assert done.exit_code == 0, done.output
    model = getattr(transformers, opens).from_pretrained(out)
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    rows = model.get_input_embeddings().weight
    assert len(rows) == spec["vocab_rows"]
    assert model.config.eos_token_id == config["eos_token_id"]
    whole = reference_encoder(tmp_path / "hub", architecture).get_input_embeddings().weight
    untrained = (rows == whole).all(1)
    assert 0 < int(untrained.sum()) < len(rows)
    texts = AutoTokenizer.from_pretrained(out)(TEXTS[:8], padding=True, return_tensors="pt")
    assert torch.isfinite(model(**texts).last_hidden_state).all()
