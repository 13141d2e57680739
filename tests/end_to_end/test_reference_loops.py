"""Every kind trains as a plain loop over transformers' own classes does, on the same batches.

The loop knows nothing of `scaling`: it pads, masks, pools, divides, clips and steps by itself. What
differs on purpose is listed in EXEMPT_WEIGHTS and PADDING_LEFT_OUT, and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("deepspeed")

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn

from scaling.catalogue.hardware import Placement
from scaling.catalogue.task import TaskSpec
from scaling.data.features import Features
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import Engine, join_world, start_training
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.study.recipes import Recipe
from scaling.training.inputs import Stream
from scaling.training.loop import TrainingRun, run_updates

# A shift common to all choices or positions has no gradient but rounding noise, which Adam blows up
# to whole steps: the bias of the last layer, and for spans of the norm before it.
EXEMPT_WEIGHTS = {
    ("multiple_choice", "head.out.bias"),
    ("span_qa", "head.out.bias"),
    ("span_qa", "encoder.encoder.layer.2.output.LayerNorm.bias"),
    ("span_qa", "encoder.encoder.LayerNorm.bias"),
}
# transformers' classes (and XTREME and jiant, which always pad) let padding compete for the start
# and the end of an answer; then a loss hangs on what an example is batched with.
PADDING_LEFT_OUT = {"span_qa"}

ARCHITECTURES = {"xlm-roberta": "XLMRoberta", "xlm-roberta-xl": "XLMRobertaXL"}
CLASSES = {
    "classification": "ForSequenceClassification",
    "multiple_choice": "ForMultipleChoice",
    "tagging": "ForTokenClassification",
    "span_qa": "ForQuestionAnswering",
    "retrieval": "Model",
    "masked_lm": "ForMaskedLM",
}
# Our name of a head's parameter → transformers'.
HEADS = {
    "classification": {"head.dense": "classifier.dense", "head.out": "classifier.out_proj"},
    "multiple_choice": {"head.dense": "roberta.pooler.dense", "head.out": "classifier"},
    "tagging": {"head.out": "classifier"},
    "span_qa": {"head.out": "qa_outputs"},
    "retrieval": {},
    "masked_lm": {
        "head.dense": "lm_head.dense",
        "head.norm": "lm_head.layer_norm",
        "head.bias": "lm_head.bias",
    },
}
LABELS = ("a", "b", "c")
VOCAB, CHOICES, GROUP, BATCH, EXAMPLES, UPDATES = 120, 3, 8, 16, 80, 24
MASK = 4
RECIPE = Recipe(
    batch=BATCH,
    learning_rate=1e-3,
    weight_decay=0.05,
    grad_clip=1.0,
    warmup=0.25,
    dropout=0.0,
    precision="fp32",
    max_length=24,
    pool_depth=1.0,
)
FIELDS = {
    "vocab_size": VOCAB,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 40,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def examples(kind: str) -> list[dict[str, Any]]:
    """`ids`, a list of token sequences, and what each kind of loss needs, in no form of ours."""
    rng = np.random.default_rng(7)
    found = []
    for number in range(EXAMPLES):
        count = {"multiple_choice": CHOICES, "retrieval": 2}.get(kind, 1)
        ids = [[0, *rng.integers(5, VOCAB, rng.integers(4, 21)).tolist(), 2] for _ in range(count)]
        inner = len(ids[0]) - 2
        start = int(rng.integers(1, inner))
        masked = sorted(1 + rng.choice(inner, max(1, round(0.15 * inner)), replace=False))
        found.append(
            {
                "ids": ids,
                "label": int(rng.integers(len(LABELS))),
                "right": number % CHOICES,
                "tags": [-100, *rng.integers(-1, len(LABELS), inner).tolist(), -100],
                "span": [start, int(rng.integers(start, inner + 1))],
                "masked": [int(at) for at in masked],
            }
        )
        found[-1]["tags"] = [-100 if tag < 0 else tag for tag in found[-1]["tags"]]
    return found


def features_of(kind: str, rows: list[dict[str, Any]]) -> Features:
    """The examples as the kind stores them."""
    ids, targets, units = [], [], []
    for unit, row in enumerate(rows):
        for part, one in enumerate(row["ids"]):
            target: Any = row["label"]
            if kind == "multiple_choice":
                target = 2 * part + int(part == row["right"])
            elif kind == "tagging":
                target = row["tags"]
            elif kind == "span_qa":
                target = row["span"]
            elif kind == "retrieval":
                # A query names its candidate's row as a negative number.
                target = 2 * unit + 1 if part else -(2 * unit + 1) - 1
            elif kind == "masked_lm":
                target = {"length": len(one), "key": unit}
                one = [*one, MASK, *range(5, 21)]
            ids.append(np.array(one))
            targets.append(target)
            units.append(unit)
    return Features(input_ids=ids, targets=targets, units=np.array(units), cut=0)


def reference(kind: str, architecture: str) -> Any:
    """transformers' class, norms and biases not at their defaults."""
    name = ARCHITECTURES[architecture]
    config = getattr(transformers, f"{name}Config")(
        **FIELDS, num_labels={"span_qa": 2}.get(kind, len(LABELS))
    )
    torch.manual_seed(1)
    model = getattr(transformers, name + CLASSES[kind])(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.train()


def encoder_of(model: Any) -> Any:
    return getattr(model, "roberta", model)


def folder_of(model: Any, kind: str, folder: Path) -> Path:
    """The encoder as a staged directory, with the masked-LM head if that is what is trained."""
    folder.mkdir()
    tensors = {
        name: tensor
        for name, tensor in encoder_of(model).state_dict().items()
        if not name.startswith("pooler.")
    }
    if kind == "masked_lm":
        for own in ("dense.weight", "dense.bias", "layer_norm.weight", "layer_norm.bias", "bias"):
            tensors[f"lm_head.{own}"] = model.lm_head.state_dict()[own]
    tensors = {name: one.clone().contiguous() for name, one in tensors.items()}
    save_file(tensors, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps(FIELDS))
    return folder


def pairs_of(kind: str, ours: nn.Module, theirs: Any) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(our name, our parameter, theirs)."""
    named = dict(theirs.named_parameters(remove_duplicate=False))
    for name, parameter in ours.named_parameters():
        if name.startswith("encoder."):
            inner = name.removeprefix("encoder.")
            yield name, parameter, named.get(f"roberta.{inner}", named.get(inner))
        else:
            stem = next(one for one in HEADS[kind] if name.startswith(one))
            yield name, parameter, named[HEADS[kind][stem] + name.removeprefix(stem)]


def padded(rows: list[list[int]], value: int = 1) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])


def loss_of(kind: str, model: Any, rows: list[dict[str, Any]], masked: list[Any]) -> Tensor:
    """Mean loss of one update, as anyone would write it with transformers."""
    flat = [one for row in rows for one in row["ids"]]
    ids, mask = padded(flat), padded([[1] * len(one) for one in flat], 0)
    if kind == "classification":
        labels = torch.tensor([row["label"] for row in rows])
        return model(input_ids=ids, attention_mask=mask, labels=labels).loss
    if kind == "multiple_choice":
        shape = (len(rows), CHOICES, -1)
        labels = torch.tensor([row["right"] for row in rows])
        return model(input_ids=ids.view(shape), attention_mask=mask.view(shape), labels=labels).loss
    if kind == "tagging":
        labels = padded([row["tags"] for row in rows], -100)
        return model(input_ids=ids, attention_mask=mask, labels=labels).loss
    if kind == "span_qa":
        starts, ends = torch.tensor([row["span"] for row in rows]).T
        out = model(input_ids=ids, attention_mask=mask)
        away = mask == 0
        terms = [
            nn.functional.cross_entropy(logits.masked_fill(away, -torch.inf), gold)
            for logits, gold in ((out.start_logits, starts), (out.end_logits, ends))
        ]
        return (terms[0] + terms[1]) / 2
    if kind == "masked_lm":
        changed = padded([ids for ids, _ in masked])
        labels = padded([labels for _, labels in masked], -100)
        return model(input_ids=changed, attention_mask=mask, labels=labels).loss
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    means = torch.stack(
        [state[: len(one)].mean(0) for state, one in zip(states, flat, strict=True)]
    )
    unit = means / means.norm(dim=1, keepdim=True)
    groups = [
        nn.functional.cross_entropy(
            20.0 * unit[at : at + 2 * GROUP : 2] @ unit[at + 1 : at + 2 * GROUP : 2].T,
            torch.arange(GROUP),
        )
        for at in range(0, len(unit), 2 * GROUP)
    ]
    return torch.stack(groups).mean()


class Loop:
    """AdamW with Trainer's groups (no decay of biases and norms), clipping, linear warm-up and
    decay.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        decayed = [p for p in model.parameters() if p.dim() > 1]
        plain = [p for p in model.parameters() if p.dim() < 2]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": RECIPE.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=RECIPE.learning_rate,
        )

    def update(self, loss: Tensor, number: int) -> float:
        warm = round(RECIPE.warmup * UPDATES)
        share = (number + 1) / warm if number < warm else (UPDATES - number) / (UPDATES - warm)
        for group in self.optimizer.param_groups:
            group["lr"] = RECIPE.learning_rate * share
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), RECIPE.grad_clip)
        self.optimizer.step()
        return float(loss)


@pytest.fixture(scope="module")
def world() -> World:
    return join_world()


PLACEMENTS = {
    "whole": Placement(zero_stage=0, micro_batch=BATCH * CHOICES),
    "passes": Placement(zero_stage=1, micro_batch=4),
    "packed": Placement(zero_stage=0, micro_batch=BATCH, packed=True),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", CLASSES)
def test_the_training_is_that_of_a_plain_loop(
    kind: str, architecture: str, world: World, tmp_path: Path
) -> None:
    rows = examples(kind)
    features, entry = features_of(kind, rows), KINDS[kind]
    theirs = reference(kind, architecture)
    weights = Weights(
        folder=folder_of(theirs, kind, tmp_path / "encoder"),
        architecture=architecture,
        kept_rows=None,
    )
    task = TaskSpec.model_construct(name="own", kind=kind, labels=LABELS, metric="")
    rng = np.random.default_rng(3)
    order = [rng.choice(EXAMPLES, BATCH, replace=False) for _ in range(UPDATES)]
    stream = Stream(features=features, kind=entry, recipe=RECIPE, order=order, new_draws=True)

    def start(placement: Placement) -> Engine:
        return start_training(
            weights,
            lambda hidden: entry.head(hidden, task, RECIPE),
            RECIPE,
            placement,
            world,
            seed=0,
        )

    def run(engine: Engine, placement: Placement, updates: int) -> tuple[float, ...]:
        return run_updates(
            TrainingRun(
                engine=engine,
                streams=[stream],
                turns=[0] * updates,
                recipe=RECIPE,
                placement=placement,
                seed=0,
            )
        ).per_update

    engine = start(PLACEMENTS["whole"])
    before = {}
    with torch.no_grad():
        for name, own, other in pairs_of(kind, engine.model, theirs):
            # New layers are drawn by us and copied; what was loaded is equal already.
            if name.startswith("head.") and kind != "masked_lm":
                other.copy_(own)
            assert torch.equal(own, other), name
            before[name] = own.detach().clone()

    def masked(number: int) -> list[Any]:
        """The masked sequences and labels of an update: a draw, which both sides are given."""
        if entry.corrupt is None:
            return []
        draws = [
            entry.corrupt(features.input_ids[unit], features.targets[unit], number)
            for unit in order[number]
        ]
        return [(ids.tolist(), labels.tolist()) for ids, labels in draws]

    loop = Loop(theirs)
    losses, gradients = [], {}
    for number, update in enumerate(order):
        loss = loss_of(kind, theirs, [rows[unit] for unit in update], masked(number))
        losses.append(loop.update(loss, number))
        if number == 0:
            # What the optimizer was given, clipped: a tenth of it is the first moment.
            state = loop.optimizer.state
            gradients = {p: 10 * state[p]["exp_avg"].clone() for p in state}

    first = run(engine, PLACEMENTS["whole"], 1)
    assert abs(first[0] - losses[0]) <= 1e-6
    for name, own, other in pairs_of(kind, engine.model, theirs):
        given = 10 * engine.core.optimizer.state[own]["exp_avg"]
        assert (given - gradients[other]).abs().max() <= 1e-6, name
    engine.close()

    for label, placement in PLACEMENTS.items():
        engine = start(placement)
        found = run(engine, placement, UPDATES)
        assert np.abs(np.array(found) - np.array(losses)).max() <= 3e-4, label
        apart = moved = 0.0
        for name, own, other in pairs_of(kind, engine.model, theirs):
            if (kind, name) not in EXEMPT_WEIGHTS:
                apart += float((own.detach() - other.detach()).square().sum())
                moved += float((other.detach() - before[name]).square().sum())
        assert (apart / moved) ** 0.5 <= 3e-4, label
        engine.close()
    assert np.mean(losses[-8:]) < np.mean(losses[:8])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_padding_span_qa_is_transformers_own_loss(architecture: str) -> None:
    assert "span_qa" in PADDING_LEFT_OUT
    rows = [row for row in examples("span_qa") if len(row["ids"][0]) == 14]
    assert len(rows) > 1
    model = reference("span_qa", architecture)
    ids = torch.tensor([row["ids"][0] for row in rows])
    starts, ends = torch.tensor([row["span"] for row in rows]).T
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    theirs = model(**given, start_positions=starts, end_positions=ends).loss
    assert abs(float(theirs - loss_of("span_qa", model, rows, []))) < 1e-6
    # One padded position is a rival there, and the loss another.
    longer = {
        "input_ids": nn.functional.pad(ids, (0, 6), value=1),
        "attention_mask": nn.functional.pad(torch.ones_like(ids), (0, 6)),
    }
    assert float(model(**longer, start_positions=starts, end_positions=ends).loss - theirs) > 1e-2
