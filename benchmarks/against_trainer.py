"""Scores of whole trainings beside Hugging Face's Trainer: tags of three treebanks, at 400 and
1,600 sentences.

Tagging averages over tokens, so it is where an order by length changes what is learnt, and its
scores vary least with the seed.

Both sides start from the same converted weights (the first layers of multilingual-e5-small, their
vocabulary trimmed to the text) and share nothing else: Trainer has transformers' tokenizer call,
classes, sampling and optimizer, and is scored by seqeval and a mean. As a control the old order,
pools of 50 updates sorted by length, is trained by our engine, on the first treebank.

Every training of a line runs in this process, one after the other; what is compared are means over
seeds.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from seqeval.metrics import f1_score

from scaling.catalogue import TASKS
from scaling.catalogue.hardware import Placement
from scaling.catalogue.models import MODELS
from scaling.catalogue.task import Key, TaskSpec
from scaling.data.features import Features, as_features
from scaling.data.order import training_order
from scaling.data.rows import read_rows, sample, to_table
from scaling.data.tokens import load_tokenizer
from scaling.encoders.encoder import Weights, row_lookup
from scaling.encoders.engine import start_training
from scaling.encoders.weights import stage_model, tokenizer_file
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.store.store import Store
from scaling.study.mixture import num_updates
from scaling.study.recipes import Recipe
from scaling.training.evaluation import predict, score_languages
from scaling.training.inputs import Stream
from scaling.training.loop import TrainingRun, run_updates
from tests.helpers.reading import SHARED

MODEL = MODELS["e5-depth-2"]
TREEBANKS = {
    "EWT": "English-EWT/en_ewt",
    "LinES": "English-LinES/en_lines",
    "ParTUT": "English-ParTUT/en_partut",
}
CONTROLLED = "EWT"
SIZES = {400: 3.0, 1600: 1.0}
"""Training examples → epochs: 75 and 100 updates."""
TESTED = 400


@dataclass(frozen=True, kw_only=True)
class Line:
    """One task at one size, with everything that both sides start from."""

    task: TaskSpec
    recipe: Recipe
    train: list[Any]
    test: list[Any]
    weights: Weights
    tokenizer: Path


def lines(folder: Path) -> list[Line]:
    tokenizer = tokenizer_file(MODEL, None)
    found = []
    for name, code in TREEBANKS.items():
        (ref,) = TASKS["udpos_files"].data
        task = TASKS["udpos_files"].model_copy(
            update={"name": name, "data": (ref.model_copy(update={"codes": {"en": code}}),)}
        )
        root = SHARED / ref.source.removeprefix("dir:")
        rows = {
            split: list(
                read_rows(
                    task,
                    split,
                    "en",
                    roots={ref.origin: root},
                    accept=(),
                    defects=[],
                    counts=Counter(),
                )
            )
            for split in ("train", "test")
        }
        test = sample(rows["test"], TESTED, task)
        for size, epochs in SIZES.items():
            train = sample(rows["train"], size, task)
            recipe = Recipe(
                epochs=epochs, batch=16, learning_rate=4e-4, max_length=96, precision="fp32"
            )
            tables = [to_table(part, task, name) for part in (train, test)]
            encoded = [
                KINDS[task.kind].encode(table, task, load_tokenizer(tokenizer), recipe)
                for table in tables
            ]
            used = np.unique(
                np.concatenate([np.concatenate(one["input_ids"].to_pylist()) for one in encoded])
            )
            store = folder / f"{name}-{size}"
            trimmed = MODEL.model_copy(update={"trim_vocabulary": True})
            stage_model(
                trimmed, Store.open(str(store)), None, used, name="own", tokenizer=tokenizer
            )
            staged = store / "models" / "own"
            weights = Weights(
                folder=staged,
                architecture=MODEL.architecture,
                kept_rows=staged / "kept_rows.npy",
            )
            found.append(
                Line(
                    task=task,
                    recipe=recipe,
                    train=train,
                    test=test,
                    weights=weights,
                    tokenizer=tokenizer,
                )
            )
    return found


def by_length(features: Features, recipe: Recipe, seed: int) -> list[np.ndarray]:
    """The order that is no longer drawn: pools of 50 updates, sorted by length and cut."""
    rng = np.random.default_rng([seed, 1])
    order: list[np.ndarray] = []
    while len(order) < num_updates(features.num_units, recipe):
        epoch = rng.permutation(features.num_units)
        for start in range(0, len(epoch), 50 * recipe.batch):
            pool = epoch[start : start + 50 * recipe.batch]
            pool = pool[: len(pool) // recipe.batch * recipe.batch]
            pool = pool[np.argsort(features.lengths[pool], kind="stable")]
            batches = pool.reshape(-1, recipe.batch)
            order += list(batches[rng.permutation(len(batches))])
    return order[: num_updates(features.num_units, recipe)]


def ours(line: Line, seed: int, world: World, *, ordered: bool = False) -> float:
    """Main score, 0..100, of a training by the engine; `ordered`: by length, as the control."""
    kind, recipe = KINDS[line.task.kind], line.recipe
    tokenizer, lookup = load_tokenizer(line.tokenizer), row_lookup(line.weights)
    tables = [to_table(rows, line.task, line.task.name) for rows in (line.train, line.test)]
    encoded = [kind.encode(table, line.task, tokenizer, recipe) for table in tables]
    train, test = (as_features(one, lookup) for one in encoded)
    placement = Placement(zero_stage=0, packed=True)
    engine = start_training(
        line.weights,
        lambda hidden: kind.head(hidden, line.task, recipe),
        recipe,
        placement,
        world,
        seed,
    )
    order = (
        by_length(train, recipe, seed) if ordered else training_order(train.num_units, recipe, seed)
    )
    run_updates(
        TrainingRun(
            engine=engine,
            streams=[Stream(features=train, kind=kind, recipe=recipe, order=order)],
            turns=[0] * len(order),
            recipe=recipe,
            placement=placement,
            seed=seed,
        )
    )
    predictions = predict(engine.core, test, kind, recipe, world)
    engine.close()
    scores, _ = score_languages(
        {Key("test", "en"): (tables[1], encoded[1])}, predictions, kind, line.task
    )
    return 100 * scores[0].value


def trainers(line: Line, seed: int) -> float:
    """The same training by Trainer with its default sampling, scored by itself."""
    tagging = line.task.kind == "tagging"
    labels = list(line.task.labels)
    config = transformers.XLMRobertaConfig(
        **{
            **json.loads((line.weights.folder / "config.json").read_text()),
            "num_labels": len(labels),
            "hidden_dropout_prob": line.recipe.dropout,
            "attention_probs_dropout_prob": line.recipe.dropout,
        }
    )
    transformers.set_seed(seed)
    name = "TokenClassification" if tagging else "SequenceClassification"
    model = getattr(transformers, f"XLMRobertaFor{name}")(config)
    state: dict[str, torch.Tensor] = {}
    for file in sorted(line.weights.folder.glob("*.safetensors")):
        state |= load_file(file)
    missing = model.roberta.load_state_dict(state, strict=False)
    assert not missing.missing_keys, missing.missing_keys
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(line.tokenizer),
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )
    kept = np.load(line.weights.folder / "kept_rows.npy").tolist()
    row_of = {token: row for row, token in enumerate(kept)}

    def examples(rows: Sequence[Any]) -> list[dict[str, Any]]:
        found = []
        for row in rows:
            text = row["words"] if tagging else row["text_a"]
            encoded = tokenizer(
                text,
                is_split_into_words=tagging,
                truncation=True,
                max_length=line.recipe.max_length,
            )
            label: Any = labels.index(row["label"]) if not tagging else []
            if tagging:
                before = None
                for word in encoded.word_ids():
                    new = word is not None and word != before
                    label.append(labels.index(row["tags"][word]) if new else -100)
                    before = word
            ids = [row_of[token] for token in encoded["input_ids"]]
            found.append({"input_ids": ids, "labels": label})
        return found

    def collate(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)

        def padded(name: str, value: int) -> torch.Tensor:
            return torch.tensor([row[name] + [value] * (longest - len(row[name])) for row in rows])

        return {
            "input_ids": padded("input_ids", 1),
            "attention_mask": torch.tensor(
                [
                    [1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"]))
                    for row in rows
                ]
            ),
            "labels": padded("labels", -100)
            if tagging
            else torch.tensor([row["labels"] for row in rows]),
        }

    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            num_train_epochs=line.recipe.epochs,
            per_device_train_batch_size=line.recipe.batch,
            learning_rate=line.recipe.learning_rate,
            warmup_steps=round(0.1 * num_updates(len(line.train), line.recipe)),
            lr_scheduler_type="linear",
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            seed=seed,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        )
        trainer = transformers.Trainer(
            model=model, args=arguments, train_dataset=examples(line.train), data_collator=collate
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    model.eval()
    guessed, gold = [], []
    tested = examples(line.test)
    with torch.inference_mode():
        for start in range(0, len(tested), 32):
            batch = collate(tested[start : start + 32])
            labels_of = batch.pop("labels").tolist()
            found = model(**batch).logits.argmax(-1).tolist()
            guessed += found
            gold += labels_of
    if not tagging:
        return 100 * float(np.mean(np.array(guessed) == np.array(gold)))
    pairs = [
        [(labels[a], labels[b]) for a, b in zip(one, due, strict=False) if b != -100]
        for one, due in zip(guessed, gold, strict=True)
    ]
    return 100 * float(
        f1_score([[b for _, b in one] for one in pairs], [[a for a, _ in one] for one in pairs])
    )


def compare(
    seeds: int, world: World, tell: Callable[[str], None] = print, kept: Path | None = None
) -> dict[str, dict[str, list[float]]]:
    """Line → side → score of every seed.

    Args:
        seeds: How many.
        world: Of one rank.
        tell: Told the scores of a line and seed as JSON.
        kept: What an earlier run told, a JSON object a line: its trainings are not run again.
    """
    told = kept.read_text(encoding="utf-8").splitlines() if kept else []
    known = iter([json.loads(line) for line in told])
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        every = lines(Path(folder))
        for seed in range(seeds):
            for line in every:
                label = f"{line.task.name}, {len(line.train):,}"
                scores = found.setdefault(label, {"ours": [], "Trainer": [], "by length": []})
                if (earlier := next(known, None)) is not None:
                    for side, score in earlier[label].items():
                        scores[side].append(score)
                    continue
                scores["ours"].append(ours(line, seed, world))
                scores["Trainer"].append(trainers(line, 1000 + seed))
                if line.task.name == CONTROLLED:
                    scores["by length"].append(ours(line, seed, world, ordered=True))
                tell(json.dumps({label: {side: one[-1] for side, one in scores.items() if one}}))
    return found
