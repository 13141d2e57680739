"""Extractive question answering: a start and an end for each window of the document; <s> stands for
no answer.

As run_squad (Devlin et al. 2019) and XTREME's scripts: questions of at most 64 tokens, windows 128
tokens apart. The document is never cut, and the best span of all windows is the answer. Offsets
count code points, as SQuAD's do.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor, nn

from scaling.catalogue.task import TaskSpec
from scaling.kinds.heads import TokenHead
from scaling.kinds.kind import BOS, EOS, Kind, Part, feature_table, outcome_table
from scaling.kinds.metrics import METRICS, aggregate
from scaling.study.recipes import Recipe

MAX_ANSWER = 64
"""Tokens of an answer. run_squad allows 30, for English word pieces; Thai and Greek take more
tokens for the same.
"""


@dataclass(frozen=True)
class Spans:
    """The best answer so far: characters start..end of the document, its score, and the score of no
    answer.
    """

    start: int = 0
    end: int = 0
    score: float = -np.inf
    null: float = np.inf

    def better(self, other: Spans) -> Spans:
        """Over windows: the best span; no answer counts for as much as in the window that likes it
        least.
        """
        winner = self if self.score >= other.score else other
        return Spans(winner.start, winner.end, winner.score, min(self.null, other.null))


def token_offsets(encoding: Encoding, text: str) -> tuple[list[int], list[int]]:
    """Code-point starts and ends of the tokens, without the white space that a word's first token
    takes with it.

    A token of white space alone is empty. Several tokens may cover one character (a ligature),
    which all of them get.
    """
    starts, ends = [], []
    for start, end in encoding.offsets:
        while start < end and _is_blank(text[start]):
            start += 1
        while end > start and _is_blank(text[end - 1]):
            end -= 1
        starts.append(start)
        ends.append(end)
    return starts, ends


def _is_blank(character: str) -> bool:
    # A byte order mark in the middle of upstream files, and the zero-width space of Thai and Khmer.
    return character.isspace() or character in "\ufeff\u200b"


def tokens_of(
    begin: int, end: int, starts: Sequence[int], ends: Sequence[int]
) -> tuple[int, int] | None:
    """First and last token that share a character with begin..end; None if none does.

    The word mark may claim the character that the next token has too ('▁' and '北京' both from 0):
    it is left out.
    """
    # Token ends never fall, but for such marks; a plain scan is quick enough, once per question.
    found = [
        at
        for at, (a, b) in enumerate(zip(starts, ends, strict=True))
        if a < end and b > begin and a < b
    ]
    if not found:
        return None
    first = found[0]
    if len(found) > 1 and starts[found[1]] == starts[first] and ends[found[1]] > ends[first]:
        first = found[1]
    return first, found[-1]


def answer_fits(row: Mapping[str, Any], tokenizer: Tokenizer) -> bool:
    """Whether the first answer begins and ends where tokens do, so that a reader of tokens can give
    exactly it.

    Thai and Chinese have pieces across the ends of about one answer in a hundred; upstream data
    have half words.
    """
    starts, ends = token_offsets(
        tokenizer.encode(row["context"], add_special_tokens=False), row["context"]
    )
    begin = row["answers"][0]["start"]
    end = begin + len(row["answers"][0]["text"])
    found = tokens_of(begin, end, starts, ends)
    if found is None:
        return False
    # Punctuation at the ends is nothing to the scorers.
    ignored = string.punctuation + string.whitespace
    given = row["context"][starts[found[0]] : ends[found[1]]]
    return given.strip(ignored) == row["context"][begin:end].strip(ignored)


def best_span(logits: np.ndarray, first: int, starts: Sequence[int], ends: Sequence[int]) -> Spans:
    """The best span of a window. logits: L x 2, of which the document's tokens begin at `first`."""
    null = float(logits[0].sum())
    count = len(starts)
    if count == 0:
        return Spans(null=null)
    begin, end = (
        logits[first : first + count, 0].astype(np.float64),
        logits[first : first + count, 1],
    )
    # Tokens of nothing but white space are no end of an answer.
    empty = np.asarray(starts) >= np.asarray(ends)
    begin, end = np.where(empty, -np.inf, begin), np.where(empty, -np.inf, end.astype(np.float64))
    # Row k: the score of every span that begins at a token and has k tokens more.
    reach = min(MAX_ANSWER, count)
    table = np.full((reach, count), -np.inf)
    for more in range(reach):
        table[more, : count - more] = begin[: count - more] + end[more:]
    more, at = divmod(int(table.argmax()), count)
    if table[more, at] == -np.inf:
        return Spans(null=null)
    return Spans(starts[at], ends[at + more], float(table[more, at]), null)


MAX_QUESTION = 64


STRIDE = 128


def windows(num_tokens: int, room: int) -> Iterator[tuple[int, int]]:
    """(start, end) of overlapping windows that cover all tokens, at most STRIDE apart."""
    start = 0
    while True:
        end = min(num_tokens, start + room)
        yield start, end
        if end == num_tokens:
            return
        # Half a window at most, so that no answer of half a window falls between two.
        start += min(STRIDE, max(1, room // 2))


def encode(rows: pa.Table, task: TaskSpec, tokenizer: Tokenizer, recipe: Recipe) -> pa.Table:
    """<s> question </s></s> window </s>; the first answer trains. A question that has none trains
    <s>.

    An answer that is not in its document (start -1) is scored but not trained on.
    """
    contexts = rows["context"].to_pylist()
    # A paragraph has several questions, and SQuAD's rows keep them together: each is tokenised
    # once.
    distinct = {context: at for at, context in enumerate(dict.fromkeys(contexts))}
    documents = tokenizer.encode_batch(list(distinct), add_special_tokens=False)
    offsets = {context: token_offsets(documents[at], context) for context, at in distinct.items()}
    questions = tokenizer.encode_batch(rows["question"].to_pylist(), add_special_tokens=False)
    most = min(MAX_QUESTION, (recipe.max_length - 4) // 2)
    features: list[dict[str, Any]] = []
    for index, answers in enumerate(rows["answers"].to_pylist()):
        context = contexts[index]
        starts, ends = offsets[context]
        gold: tuple[int, int] | None = None
        if answers:
            gold = tokens_of(
                answers[0]["start"], answers[0]["start"] + len(answers[0]["text"]), starts, ends
            )
        trained = not answers or (answers[0]["start"] >= 0 and gold is not None)
        for window in _windowed(
            questions[index], documents[distinct[context]], most, recipe.max_length
        ):
            begin, end, first = window.pop("window")
            inside = trained and gold is not None and begin <= gold[0] and gold[1] < end
            shift = first - begin
            features.append(
                window
                | {
                    "row": index,
                    "unit": len(features) if trained else -1,
                    "first": first,
                    "starts": starts[begin:end],
                    "ends": ends[begin:end],
                    "target": [gold[0] + shift, gold[1] + shift] if inside and gold else [0, 0],
                }
            )
    # Units count from 0 without gaps, whatever was left out.
    units = iter(range(len(features)))
    features = [
        feature | {"unit": next(units) if feature["unit"] >= 0 else -1} for feature in features
    ]
    numbers = pa.list_(pa.int32())
    return feature_table(
        features, numbers, {"first": pa.int32(), "starts": numbers, "ends": numbers}
    )


def _windowed(
    question: Encoding, document: Encoding, most: int, max_length: int
) -> Iterator[dict[str, Any]]:
    asked = [BOS, *question.ids[:most], EOS, EOS]
    for begin, end in windows(len(document.ids), max_length - len(asked) - 1):
        yield {
            "input_ids": [*asked, *document.ids[begin:end], EOS],
            "cut": len(question.ids) > most,
            "window": (begin, end, len(asked)),
        }


def _loss(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor, units: Tensor) -> Tensor:
    logits = head(hidden).float().masked_fill(mask.unsqueeze(-1) == 0, -torch.inf)
    ends = [
        nn.functional.cross_entropy(logits[..., at], targets[:, at], reduction="sum")
        for at in (0, 1)
    ]
    return (ends[0] + ends[1]) / 2


def _predict(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
    return head(hidden)  # type: ignore[no-any-return]


def decode(part: Part, may_be_empty: bool) -> list[str]:
    """The text of each row's best span over all its windows; '' if <s> beats it in every window."""
    best = [Spans()] * part.rows.num_rows
    columns = [part.features[name].to_pylist() for name in ("row", "first", "starts", "ends")]
    for logits, row, first, starts, ends in zip(part.predictions, *columns, strict=True):
        best[row] = best[row].better(best_span(logits, first, starts, ends))
    contexts = part.rows["context"].to_pylist()
    return [
        "" if may_be_empty and found.null > found.score else context[found.start : found.end]
        for found, context in zip(best, contexts, strict=True)
    ]


def _answers(part: Part) -> list[list[str]]:
    return [[answer["text"] for answer in answers] for answers in part.rows["answers"].to_pylist()]


def _outcomes(part: Part, task: TaskSpec) -> pa.Table:
    guessed = decode(part, may_be_empty=task.metric == "squad2")
    outcomes = METRICS[task.metric](guessed, _answers(part), part.language)
    return outcome_table(part.rows["id"].to_pylist(), guessed, outcomes)


def _chance(part: Part, task: TaskSpec) -> float:
    """Of never answering."""
    answers = _answers(part)
    return next(
        iter(aggregate(METRICS[task.metric]([""] * len(answers), answers, part.language)).values())
    )


def _targets(targets: Sequence[Any], length: int) -> Tensor:
    return torch.tensor(targets, dtype=torch.long)


SPAN_QA = Kind(
    encode=encode,
    head=lambda hidden, task, recipe: TokenHead(hidden, 2, recipe),
    targets=_targets,
    loss=_loss,
    loss_weight=lambda targets: float(len(targets)),
    predict=_predict,
    per_token=True,
    outcomes=_outcomes,
    chance=_chance,
)
