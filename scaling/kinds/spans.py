"""Between characters of a document and tokens of a window."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

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
