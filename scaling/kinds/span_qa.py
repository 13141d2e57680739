"""Extractive question answering: a start and an end for each window.

One token stands for no answer: XLM-R's <s>, or the form's anchor.

As run_squad (Devlin et al. 2019) and XTREME's scripts: questions of at most 64 tokens, windows 128
tokens apart. The document is never cut, and the best span of all windows is the answer. Offsets
count code points, as SQuAD's do.
"""

from __future__ import annotations

import string
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor, nn

from scaling.catalogue.task import TaskSpec
from scaling.kinds.heads import TokenHead
from scaling.kinds.kind import Kind, Part, feature_table, outcome_table, rows_that, targets_in_order
from scaling.kinds.metrics import METRICS, aggregate
from scaling.kinds.text import XLMR_FORM, Form
from scaling.study.recipes import Recipe

MAX_ANSWER = 30
"""Tokens of an answer, as in every published script (docs/recipes.md).

Of gold answers at most 0.8 % in a language are longer.
"""


@dataclass(frozen=True)
class Spans:
    """The best answer so far: characters start..end of the document, and scores."""

    start: int = 0
    end: int = 0
    score: float = -np.inf
    """Of the answer."""
    null: float = np.inf
    """Of no answer."""

    def better(self, other: Spans) -> Spans:
        """The best over two sets of windows.

        No answer counts for as much as in the window that likes it least.
        """
        winner = self if self.score >= other.score else other
        return Spans(winner.start, winner.end, winner.score, min(self.null, other.null))


def token_offsets(encoding: Encoding, text: str) -> tuple[list[int], list[int]]:
    """Code-point starts and ends of the tokens, without the white space that tokens begin with.

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


# At the ends of an answer nothing to the scorers.
_IGNORED = string.punctuation + string.whitespace
# Format characters that are read: signs in front of Arabic, Syriac and Kaithi numbers.
_READ = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"


@cache
def _is_blank(character: str) -> bool:
    """White space, and what has no width: direction marks, joiners, control characters.

    Tokenizers make white space of them, or leave them with a token's first character. No scorer
    takes them from an answer.
    """
    unseen = unicodedata.category(character) in ("Cc", "Cf") and character not in _READ
    return character.isspace() or unseen


def tokens_of(
    begin: int, end: int, starts: Sequence[int], ends: Sequence[int]
) -> tuple[int, int] | None:
    """First and last token that share a character with begin..end; None if none does.

    The word mark may claim the character that the next token has too (▁ and 北京 both from 0): it
    is left out then.

    Args:
        begin: First character.
        end: One past the last character.
        starts: First character of each token.
        ends: One past the last character of each token.
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
    """Whether the first answer begins and ends where tokens do, so that tokens can give it.

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
    given = row["context"][starts[found[0]] : ends[found[1]]]
    return given.strip(_IGNORED) == row["context"][begin:end].strip(_IGNORED)


def best_span(
    logits: np.ndarray, first: int, starts: Sequence[int], ends: Sequence[int], anchor: int = 0
) -> Spans:
    """The best span of a window.

    Args:
        logits: Scores of being a start and an end, L x 2.
        first: Where in the window the document's tokens begin.
        starts: First character of each of the document's tokens.
        ends: One past the last character of each.
        anchor: Where in the window the token is that stands for no answer.
    """
    null = float(logits[anchor].sum())
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


def document_windows(num_tokens: int, room: int) -> Iterator[tuple[int, int]]:
    """(start, end) of overlapping windows that cover all tokens, at most STRIDE apart."""
    start = 0
    while True:
        end = min(num_tokens, start + room)
        yield start, end
        if end == num_tokens:
            return
        # Half a window at most, so that no answer of half a window falls between two.
        start += min(STRIDE, max(1, room // 2))


def _encode(
    rows: pa.Table,
    task: TaskSpec,
    tokenizer: Tokenizer,
    recipe: Recipe,
    form: Form = XLMR_FORM,
) -> pa.Table:
    """<s> question </s></s> window </s> in XLM-R's form; the first answer trains, of unanswerable
    questions the form's anchor.

    An answer that is not in its document (start -1) is scored but not trained on.
    """
    contexts = rows["context"].to_pylist()
    # A paragraph has several questions, and SQuAD's rows keep them together: each is tokenised
    # once.
    distinct = {context: at for at, context in enumerate(dict.fromkeys(contexts))}
    documents = tokenizer.encode_batch(list(distinct), add_special_tokens=False)
    offsets = {context: token_offsets(documents[at], context) for context, at in distinct.items()}
    questions = tokenizer.encode_batch(rows["question"].to_pylist(), add_special_tokens=False)
    most = min(MAX_QUESTION, (recipe.max_length - form.around - len(form.between)) // 2)
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
            questions[index], documents[distinct[context]], most, recipe.max_length, form
        ):
            begin, end, first = window.pop("window")
            inside = trained and gold is not None and begin <= gold[0] and gold[1] < end
            shift, null = first - begin, form.null(len(window["input_ids"]))
            features.append(
                window
                | {
                    "row": index,
                    "unit": len(features) if trained else -1,
                    "first": first,
                    "starts": starts[begin:end],
                    "ends": ends[begin:end],
                    "target": [gold[0] + shift, gold[1] + shift]
                    if inside and gold
                    else [null, null],
                }
                | ({"null": null} if form.anchor == "last" else {})
            )
    # Units count from 0 without gaps, whatever was left out.
    units = iter(range(len(features)))
    features = [
        feature | {"unit": next(units) if feature["unit"] >= 0 else -1} for feature in features
    ]
    numbers = pa.list_(pa.int32())
    columns = {"first": pa.int32(), "starts": numbers, "ends": numbers}
    if form.anchor == "last":
        columns["null"] = pa.int32()
    return feature_table(features, numbers, columns)


def _windowed(
    question: Encoding, document: Encoding, most: int, max_length: int, form: Form
) -> Iterator[dict[str, Any]]:
    asked = [*form.before, *question.ids[:most], *form.between]
    room = max_length - len(asked) - len(form.after)
    for begin, end in document_windows(len(document.ids), room):
        yield {
            "input_ids": [*asked, *document.ids[begin:end], *form.after],
            "cut": len(question.ids) > most,
            "window": (begin, end, len(asked)),
        }


def _loss(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor, units: Tensor) -> Tensor:
    """Cross-entropy of start and end, their mean, summed over the windows.

    hidden: B x L x H; mask: B x L; targets: B x 2; units: shape (B,).
    """
    logits = head(hidden).float().masked_fill(mask.unsqueeze(-1) == 0, -torch.inf)
    ends = [
        nn.functional.cross_entropy(logits[..., at], targets[:, at], reduction="sum")
        for at in (0, 1)
    ]
    return (ends[0] + ends[1]) / 2


def _predict(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
    """Logits of start and end, B x L x 2. hidden: B x L x H."""
    return head(hidden)  # type: ignore[no-any-return]


def _decode(part: Part, may_be_empty: bool) -> list[str]:
    """The text of each row's best span over all its windows; '' if none has a better score."""
    best = [Spans()] * part.rows.num_rows
    columns = [part.features[name].to_pylist() for name in ("row", "first", "starts", "ends")]
    # Of XLM-R's form, whose anchor is the first token, there is no such column.
    anchors = (
        part.features["null"].to_pylist()
        if "null" in part.features.column_names
        else [0] * part.features.num_rows
    )
    for logits, anchor, row, first, starts, ends in zip(
        part.predictions, anchors, *columns, strict=True
    ):
        best[row] = best[row].better(best_span(logits, first, starts, ends, anchor))
    contexts = part.rows["context"].to_pylist()
    return [
        "" if may_be_empty and found.null > found.score else context[found.start : found.end]
        for found, context in zip(best, contexts, strict=True)
    ]


def _answers(part: Part) -> list[list[str]]:
    return [[answer["text"] for answer in answers] for answers in part.rows["answers"].to_pylist()]


def _outcomes(part: Part, task: TaskSpec) -> pa.Table:
    guessed = _decode(part, may_be_empty=task.metric == "squad2")
    outcomes = METRICS[task.metric](guessed, _answers(part), part.language)
    return outcome_table(part.rows["id"].to_pylist(), guessed, outcomes)


def _chance(part: Part, task: TaskSpec) -> float:
    """Of never answering."""
    answers = _answers(part)
    return next(
        iter(aggregate(METRICS[task.metric]([""] * len(answers), answers, part.language)).values())
    )


def _counts(rows: pa.Table, features: pa.Table) -> dict[str, int]:
    """Questions that are cut, and questions none of whose answers any window can give."""
    columns = [features[name].combine_chunks() for name in ("starts", "ends")]
    bounds = columns[0].offsets.to_numpy()
    starts, ends = (column.values.to_numpy() for column in columns)
    windows_of: list[list[int]] = [[] for _ in range(rows.num_rows)]
    for at, row in enumerate(features["row"].to_pylist()):
        windows_of[row].append(at)
    found = Counter({"questions cut": rows_that(features, features["cut"].to_numpy())})
    contexts = rows["context"].to_pylist()
    for row, answers in enumerate(rows["answers"].to_pylist()):
        spans = [slice(bounds[at], bounds[at + 1]) for at in windows_of[row]]
        tokens = [(starts[span], ends[span]) for span in spans]
        reasons = [_lost(contexts[row], answer, tokens) for answer in answers]
        if all(reasons) and reasons:
            found[reasons[0]] += 1
    return {reason: number for reason, number in found.items() if number}


def _lost(context: str, answer: Mapping[str, Any], windows: Sequence[Any]) -> str:
    """Why no window can give an answer; '' if one can.

    windows: starts and ends of the tokens of each.
    """
    begin = answer["start"]
    end = begin + len(answer["text"])
    if begin < 0:
        return "answers that are not in their context"
    wanted = context[begin:end].strip(_IGNORED)
    most, whole = np.inf, False
    for starts, ends in windows:
        inside = np.flatnonzero((starts < end) & (ends > begin) & (starts < ends))
        if len(inside) == 0:
            continue
        first, last = int(inside[0]), int(inside[-1])
        whole |= bool(starts[first] <= begin and ends[last] >= end)
        if context[starts[first] : ends[last]].strip(_IGNORED) == wanted:
            most = min(most, last - first + 1)
    if most <= MAX_ANSWER:
        return ""
    if most < np.inf:
        return f"answers of more than {MAX_ANSWER} tokens"
    return "answers that end inside a token" if whole else "answers that no window holds whole"


SPAN_QA = Kind(
    encode=_encode,
    head=lambda hidden, task, recipe: TokenHead(hidden, 2, 0.0),
    targets=targets_in_order,
    loss=_loss,
    loss_weight=lambda targets: float(len(targets)),
    predict=_predict,
    per_token=True,
    outcomes=_outcomes,
    chance=_chance,
    counts=_counts,
)
