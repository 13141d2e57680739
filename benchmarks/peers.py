"""Made-up data of every kind of task, and the same training by Hugging Face's Trainer and by a bare
PyTorch loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers
from torch import nn

from scaling.catalogue.hardware import PASS_TOKENS, Placement
from scaling.catalogue.task import TaskSpec
from scaling.data.batching import collate, micro_batches, sequences_of
from scaling.data.features import Features
from scaling.data.order import training_order
from scaling.encoders.encoder import Encoder, Weights, config_of, empty_encoder
from scaling.encoders.engine import Engine, start_training
from scaling.encoders.loading import load_tensors
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.kinds.kind import IGNORED
from scaling.kinds.text import PAD
from scaling.study.recipes import Recipe
from scaling.training.inputs import Stream
from scaling.training.loop import TrainingRun, learning_rate, run_updates

Precision = Literal["fp32", "bf16"]
LABELS = tuple("abcdefg")
# Of an example; one where it is not named.
SEQUENCES = {"multiple_choice": 4, "retrieval": 2}
# HF's own class of each kind, for the same shape.
CLASSES = {
    "classification": "XLMRobertaForSequenceClassification",
    "multiple_choice": "XLMRobertaForMultipleChoice",
    "tagging": "XLMRobertaForTokenClassification",
    "span_qa": "XLMRobertaForQuestionAnswering",
    "masked_lm": "XLMRobertaForMaskedLM",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A task to train on: lengths are log-normal, as those of sentences are."""

    name: str
    kind: str
    median: int
    longest: int
    batch: int = 16
    precision: Precision = "bf16" if torch.cuda.is_available() else "fp32"

    @property
    def recipe(self) -> Recipe:
        return Recipe(
            batch=self.batch, max_length=self.longest, precision=self.precision, epochs=50
        )

    @property
    def task(self) -> TaskSpec:
        metric = {"tagging": "tag_f1", "span_qa": "squad"}.get(self.kind, "accuracy")
        return TaskSpec.model_construct(
            name="made-up", kind=self.kind, labels=LABELS, metric=metric
        )


def made(case: Case, number: int, vocab: int, spread: float = 0.7) -> Features:
    """`number` examples. Targets mean nothing: what is measured is speed.

    `spread`: of the logarithm of lengths.
    """
    rng = np.random.default_rng(case.median)
    sequences, targets, units = [], [], []
    for unit in range(number):
        for choice in range(SEQUENCES.get(case.kind, 1)):
            length = int(np.clip(rng.lognormal(np.log(case.median), spread), 6, case.longest))
            ids = np.concatenate([[0], rng.integers(5, vocab, length - 2), [2]]).astype(np.int64)
            target: Any = int(rng.integers(len(LABELS)))
            if case.kind == "multiple_choice":
                target = 2 * choice + int(choice == unit % 4)
            elif case.kind == "retrieval":
                target = unit if choice else -unit - 1
            elif case.kind == "tagging":
                target = [IGNORED, *rng.integers(len(LABELS), size=length - 2).tolist(), IGNORED]
            elif case.kind == "span_qa":
                target = sorted(rng.integers(1, length - 1, 2).tolist())
            elif case.kind == "masked_lm":
                # As the kind stores it: <mask> and spare tokens behind the text.
                target, ids = (
                    {"length": length, "key": unit},
                    np.concatenate([ids, rng.integers(5, vocab, 17)]),
                )
            sequences.append(ids)
            targets.append(target)
            units.append(unit)
    return Features(input_ids=sequences, targets=targets, units=np.array(units), cut=0)


def clock() -> float:
    """Of a GPU the wall, once it has done everything; of one CPU thread its own time, which other
    load hardly moves.
    """
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def ceiling(world: World) -> float:
    """FLOP/s of large matrix products: the best of several."""
    dtype = torch.bfloat16 if world.device.type == "cuda" else torch.float32
    size = 8192 if world.device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=world.device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(8):
        start = clock()
        for _ in range(4):
            a @ b
        best = max(best, 4 * 2 * size**3 / (clock() - start))
    return best


# A side makes so many updates and says (real tokens, seconds).
Side = Callable[[int], tuple[int, float]]


def real_tokens(case: Case, features: Features, units: Sequence[np.ndarray]) -> int:
    """Tokens of some updates; of a masked language model without what is stored behind the text."""
    spare = 17 if case.kind == "masked_lm" else 0
    return sum(
        len(features.input_ids[index]) - spare
        for update in units
        for index in sequences_of(update, features)
    )


def whole(case: Case, *, packed: bool = False) -> Placement:
    """One device that computes a batch of the longest texts at once."""
    return Placement(
        micro_batch=case.batch,
        zero_stage=0 if case.recipe.precision == "fp32" else 1,
        packed=packed,
    )


def timed(
    engine: Engine,
    case: Case,
    features: Features,
    placement: Placement,
    order: Sequence[np.ndarray],
) -> tuple[int, float]:
    """(real tokens, seconds) of the updates of `order`."""
    recipe = case.recipe
    stream = Stream(features=features, kind=KINDS[case.kind], recipe=recipe, order=order)
    start = clock()
    run_updates(
        TrainingRun(
            engine=engine,
            streams=[stream],
            turns=[0] * len(order),
            recipe=recipe,
            placement=placement,
            seed=0,
        )
    )
    return real_tokens(case, features, order), clock() - start


def started(
    case: Case,
    weights: Weights,
    world: World,
    placement: Placement,
    rows: np.ndarray | None = None,
) -> Engine:
    """An engine that trains the case's head.

    Args:
        case: What is trained.
        weights: What it starts from.
        world: Its ranks.
        placement: Its layout.
        rows: Of the word embedding those that the texts have, shape (R,): ids are numbers among
            them. None trains all rows.
    """
    kind, recipe = KINDS[case.kind], case.recipe
    return start_training(
        weights,
        lambda h: kind.head(h, case.task, recipe),
        recipe,
        placement,
        world,
        seed=0,
        rows=rows,
    )


def ours(
    case: Case,
    weights: Weights,
    features: Features,
    world: World,
    placement: Placement,
    *,
    in_use: bool = False,
) -> tuple[Side, Engine]:
    """Our loop and the engine that it trains.

    Args:
        case: What is trained.
        weights: What it starts from.
        features: The examples.
        world: Its ranks.
        placement: Its layout.
        in_use: Train the word embeddings of the rows in use alone, as a study does.
    """
    rows = None
    if in_use:
        rows = np.unique(np.concatenate([np.arange(4), *features.input_ids]))
        ids = [np.searchsorted(rows, one) for one in features.input_ids]
        features = Features(
            input_ids=ids, targets=features.targets, units=features.units, cut=features.cut
        )
    engine = started(case, weights, world, placement, rows)
    order, at = training_order(features.num_units, case.recipe, 0), [0]

    def run(updates: int) -> tuple[int, float]:
        part = order[at[0] : at[0] + updates]
        at[0] += updates
        return timed(engine, case, features, placement, part)

    return run, engine


def bare(case: Case, weights: Weights, features: Features, world: World) -> Side:
    """The same batches, model and optimizer without any engine: what the loop itself may not
    lose.
    """
    kind, recipe = KINDS[case.kind], case.recipe
    encoder = empty_encoder(weights.architecture, config_of(weights, recipe.dropout))
    load_tensors(dict(encoder.named_parameters()), weights.folder, 0, 1)
    head = kind.head(int(config_of(weights, 0.0).hidden_size), case.task, recipe)
    model = Encoder(encoder, head, weights.architecture).to(world.device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=0.0, fused=True
    )
    order, at = training_order(features.num_units, recipe, 0), [0]

    def run(updates: int) -> tuple[int, float]:
        part = order[at[0] : at[0] + updates]
        at[0] += updates
        start = clock()
        for number, update in enumerate(part):
            passes = micro_batches(
                update,
                features,
                case.batch * case.longest,
                case.longest,
                0,
                1,
                pass_tokens=PASS_TOKENS[world.device.type],
            )
            batches = [collate(features, kind, one, draw=number) for one in passes]
            for batch in batches:
                mask, targets = batch.mask.to(world.device), batch.targets.to(world.device)
                with torch.autocast(
                    world.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"
                ):
                    hidden = model(
                        batch.input_ids.to(world.device), mask, None, batch.lengths, batch.offsets
                    )
                    loss = kind.loss(model.head, hidden, mask, targets, batch.units)
                (loss / sum(one.weight for one in batches)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(number, updates, recipe)
            optimizer.step()
            optimizer.zero_grad()
        return real_tokens(case, features, part), clock() - start

    return run


class _Counting(transformers.Trainer):
    """Counts real tokens and times the steps after the first."""

    tokens = 0
    started = ended = 0.0
    steps = 0

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if self.steps == 1:
            self.started = clock()
        if self.steps >= 1:
            self.tokens += int(inputs["attention_mask"].sum())
        self.steps += 1
        loss = super().training_step(model, inputs, *args, **kwargs)
        return loss


class _End(transformers.TrainerCallback):
    def __init__(self) -> None:
        self.trainer: Any = None

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.trainer.ended = clock()


def trainer(case: Case, weights: Weights, features: Features, sampling: str, folder: Path) -> Side:
    """Hugging Face's Trainer, padding to the longest of a batch, with its fused optimizer."""
    model = peer_model(case, weights)
    data = examples_for_trainer(case, features)

    def run(updates: int) -> tuple[int, float]:
        arguments = transformers.TrainingArguments(
            output_dir=str(folder),
            max_steps=updates + 1,
            per_device_train_batch_size=case.batch,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            optim="adamw_torch_fused",
            train_sampling_strategy=sampling,
            bf16=torch.cuda.is_available(),
            use_cpu=not torch.cuda.is_available(),
            remove_unused_columns=False,
            disable_tqdm=True,
            seed=int(time.time()) % 1000,
            dataloader_pin_memory=torch.cuda.is_available(),
        )
        end = _End()
        run = _Counting(
            model=model,
            args=arguments,
            train_dataset=data,
            data_collator=lambda rows: collate_for_trainer(case, rows),
            callbacks=[end],
        )
        run.remove_callback(transformers.PrinterCallback)
        end.trainer = run
        run.train()
        return run.tokens, run.ended - run.started

    return run


def peer_model(case: Case, weights: Weights) -> Any:
    """Hugging Face's own class for the kind, in the same shape."""
    fields = {**config_of(weights, case.recipe.dropout).to_dict(), "attn_implementation": "sdpa"}
    fields["num_labels"] = {"multiple_choice": 1, "span_qa": 2}.get(case.kind, len(LABELS))
    for name in ("id2label", "label2id", "architectures"):
        fields.pop(name, None)
    return getattr(transformers, CLASSES[case.kind])(transformers.XLMRobertaConfig(**fields))


def examples_for_trainer(case: Case, features: Features) -> list[dict[str, Any]]:
    ids = [one.tolist() for one in features.input_ids]
    if case.kind == "masked_lm":
        return [
            {"input_ids": one[: target["length"]]}
            for one, target in zip(ids, features.targets, strict=True)
        ]
    if case.kind == "multiple_choice":
        return [
            {"input_ids": ids[at : at + 4], "labels": at // 4 % 4} for at in range(0, len(ids), 4)
        ]
    return [
        {"input_ids": one, "labels": target}
        for one, target in zip(ids, features.targets, strict=True)
    ]


def collate_for_trainer(case: Case, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    several = case.kind == "multiple_choice"
    sequences = [
        one for row in rows for one in (row["input_ids"] if several else [row["input_ids"]])
    ]
    length = max(map(len, sequences))
    ids = torch.tensor([one + [PAD] * (length - len(one)) for one in sequences])
    batch = {"input_ids": ids, "attention_mask": (ids != PAD).long()}
    labels = [row.get("labels") for row in rows]
    if several:
        batch = {name: tensor.view(len(rows), 4, length) for name, tensor in batch.items()}
    if case.kind == "tagging":
        labels = [one + [IGNORED] * (length - len(one)) for one in labels]
    if case.kind == "masked_lm":
        masked = (torch.rand(ids.shape) < 0.15) & (ids > 4)
        return {
            **batch,
            "input_ids": ids.masked_fill(masked, 4),
            "labels": ids.masked_fill(~masked, IGNORED),
        }
    if case.kind == "span_qa":
        spans = torch.tensor(labels)
        return {**batch, "start_positions": spans[:, 0], "end_positions": spans[:, 1]}
    return {**batch, "labels": torch.tensor(labels)}
