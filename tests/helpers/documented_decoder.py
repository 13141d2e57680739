"""The decoder of answers beside a second one, after the documentation of transformers' example for
question answering: the best of 20 starts and 20 ends, at most 30 tokens, text by the tokenizer's
own offsets. The same logits for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from scaling.catalogue import TASKS
from scaling.catalogue.models import MODELS
from scaling.catalogue.task import Key
from scaling.data.tokens import load_tokenizer
from scaling.encoders.weights import tokenizer_file
from scaling.kinds import KINDS
from scaling.kinds.kind import Part
from scaling.kinds.span_qa import STRIDE
from tests.helpers.making import recipe, table
from tests.helpers.reading import read_task

MOST_TOKENS, BEST = 30, 20
# Why two answers may differ; white space around an answer, which a word's first token takes with
# it, is no difference.
EXPLAINED = {
    "marks": "the same characters but for marks without width at the ends",
    "beyond 20": "the best pair is not among the 20 best starts and 20 best ends",
    "white space": "the documented decoder begins or ends on a token of nothing but white space",
}


def logits_of(length: int, gold: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """length x 2: noise, with the gold ends above it, as of a model that is often right."""
    made = rng.normal(size=(length, 2)).astype(np.float32)
    made[gold[0], 0] += 4
    made[gold[1], 1] += 4
    return made


def documented(
    context: str, windows: Sequence[tuple[np.ndarray, int, Sequence[tuple[int, int]]]]
) -> tuple[str, bool]:
    """(answer, whether it begins or ends on white space alone). windows: logits, first token of the
    document, offsets of its tokens.
    """
    found: tuple[float, str, bool] = (-np.inf, "", False)
    for logits, first, offsets in windows:
        starts = np.argsort(logits[:, 0])[-1 : -BEST - 1 : -1].tolist()
        ends = np.argsort(logits[:, 1])[-1 : -BEST - 1 : -1].tolist()
        for start in starts:
            for end in ends:
                inside = first <= start <= end < first + len(offsets)
                if not inside or end - start + 1 > MOST_TOKENS:
                    continue
                score = float(logits[start, 0]) + float(logits[end, 1])
                if score > found[0]:
                    a, b = offsets[start - first], offsets[end - first]
                    blank = any(not context[x:y].strip() for x, y in (a, b))
                    found = (score, context[a[0] : b[1]], blank)
    return found[1], found[2]


def bare(text: str) -> str:
    """Without what has no width at the ends."""
    return text.strip().strip("".join(chr(c) for c in (*range(0x200B, 0x2010), 0xFEFF))).strip()


def reason(ours: str, theirs: str, blank: bool) -> str:
    """Which entry of EXPLAINED a difference belongs to, as far as the two texts tell."""
    if bare(ours) == bare(theirs):
        return "marks"
    return "white space" if blank else "other"


def differences(
    rows: Sequence[Any], tokenizer: Tokenizer, language: str, seed: int
) -> Iterator[tuple[str, str, str]]:
    """(reason or '', ours, theirs) of every question."""
    task, rng = TASKS["xquad_files"], np.random.default_rng(seed)
    kind, content = KINDS["span_qa"], table("span_qa", rows)
    features = kind.encode(content, task, tokenizer, recipe(task))
    columns = features.select(["row", "input_ids", "target", "first", "starts"]).to_pylist()
    predictions = [logits_of(len(one["input_ids"]), one["target"], rng) for one in columns]
    key = Key("test", language)
    part = Part(key=key, rows=content, features=features, predictions=predictions)
    ours = kind.outcomes(part, task)["prediction"].to_pylist()
    windows: list[list[Any]] = [[] for _ in rows]
    offsets: dict[str, list[tuple[int, int]]] = {}
    for one, logits in zip(columns, predictions, strict=True):
        context = rows[one["row"]]["context"]
        if context not in offsets:
            offsets[context] = tokenizer.encode(context, add_special_tokens=False).offsets
        begin = STRIDE * len(windows[one["row"]])
        own = offsets[context][begin : begin + len(one["starts"])]
        windows[one["row"]].append((logits, one["first"], own))
    for row, own, answer in zip(rows, windows, ours, strict=True):
        theirs, blank = documented(row["context"], own)
        if answer == theirs.strip():
            yield "", answer, theirs
            continue
        why = reason(answer, theirs, blank)
        if why == "other" and exhaustive(row["context"], own) == bare(answer):
            why = "beyond 20"
        yield why, answer, theirs


def exhaustive(context: str, windows: Sequence[Any]) -> str:
    """The best of all pairs whose ends are no white space: what ours says it gives."""
    best, text = -np.inf, ""
    for logits, first, offsets in windows:
        for start, (a, x) in enumerate(offsets):
            if not bare(context[a:x]):
                continue
            for end in range(start, min(start + MOST_TOKENS, len(offsets))):
                y, b = offsets[end]
                score = float(logits[first + start, 0]) + float(logits[first + end, 1])
                if score > best and bare(context[y:b]):
                    best, text = score, context[a:b]
    return bare(text)


def compare(most: int | None = None) -> dict[str, dict[str, int]]:
    """Language of XQuAD, or `SQuAD` → how many questions by reason; '' where both are equal."""
    tokenizer = load_tokenizer(tokenizer_file(MODELS["e5-depth-12"], None))
    found: dict[str, dict[str, int]] = {}
    xquad, squad = TASKS["xquad_files"], TASKS["squad1_small"]
    parts = [(code, xquad, code, "test") for code in xquad.languages]
    parts += [("SQuAD", squad, "en", "dev"), ("SQuAD", squad, "en", "train")]
    for number, (name, task, language, split) in enumerate(parts):
        rows = [
            row
            for row in read_task(task, task.data[0], language, split, [])[:most]
            if row["answers"]
        ]
        counts = found.setdefault(name, {})
        for why, ours, theirs in differences(rows, tokenizer, language, number):
            counts[why] = counts.get(why, 0) + 1
            if why == "other":
                print(f"{name}: {ours!r} {theirs!r}")
    return found
