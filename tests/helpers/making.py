"""Own text in several scripts, a tokenizer trained on it, and parts as if a perfect model had
predicted them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from scaling.catalogue.task import Key, TaskSpec
from scaling.data.schema import SCHEMAS
from scaling.kinds import KINDS
from scaling.kinds.kind import IGNORED, Part
from scaling.kinds.text import XLMR_FORM, Form
from scaling.study.recipes import Recipe, recipe_for

SENTENCES = {
    "en": "The small station opened in 1907 , and its first master was Ada Brown of Leeds .",
    "de": (
        "Der kleine Bahnhof wurde 1907 eröffnet und sein erster Vorsteher war Karl Groß aus Köln ."
    ),
    "ru": "Маленький вокзал открылся в 1907 году , и его первым начальником был Иван Петров .",
    "ar": "افتتحت المحطة الصغيرة عام 1907 وكان أول مدير لها أحمد من القاهرة .",
    "th": "สถานีเล็ก เปิดใน ปี 1907 และ นายสถานี คนแรก คือ สมชาย จาก เชียงใหม่",
    "zh": "小 车站 于 1907 年 开放 ， 第一任 站长 是 来自 上海 的 王明 。",
    "hi": "छोटा स्टेशन 1907 में खुला और उसके पहले प्रमुख दिल्ली के राम थे ।",
    "sw": "Kituo kidogo kilifunguliwa mwaka 1907 na mkuu wake wa kwanza alikuwa Juma wa Mombasa .",
}


@cache
def tokenizer() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=260,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        unk_token="<unk>",
        show_progress=False,
    )
    made.train_from_iterator(
        [sentence for sentence in SENTENCES.values() for _ in range(20)], trainer
    )
    return made


def task(kind: str, metric: str, labels: Sequence[str] = (), **fields: Any) -> TaskSpec:
    return TaskSpec(
        name=f"own-{kind.replace('_', '-')}",
        kind=kind,
        metric=metric,
        labels=tuple(labels),
        **fields,
    )


def recipe(spec: TaskSpec, **fields: Any) -> Recipe:
    return recipe_for(spec, {"precision": "fp32", "dropout": 0.0, **fields}, {})


def table(kind: str, rows: Sequence[Any]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMAS[kind])


def perfect(features: pa.Table, kind: str) -> list[np.ndarray]:
    """What a model that has learnt the targets by heart predicts."""
    found = []
    for ids, target in zip(
        features["input_ids"].to_pylist(), features["target"].to_pylist(), strict=True
    ):
        if kind == "tagging":
            found.append(np.array([0 if label == IGNORED else label for label in target]))
        else:
            logits = np.zeros((len(ids), 2), dtype=np.float32)
            logits[target[0], 0] = logits[target[1], 1] = 9.0
            found.append(logits)
    return found


def round_trip(
    spec: TaskSpec,
    rows: pa.Table,
    language: str,
    tok: Tokenizer,
    form: Form = XLMR_FORM,
    **fields: Any,
) -> pa.Table:
    """Gold → features → decoded → outcomes."""
    features = KINDS[spec.kind].encode(rows, spec, tok, recipe(spec, **fields), form)
    part = Part(
        key=Key("test", language),
        rows=rows,
        features=features,
        predictions=perfect(features, spec.kind),
    )
    return KINDS[spec.kind].outcomes(part, spec)
