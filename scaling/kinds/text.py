"""The form of token sequences, of one text or two, and a tokenizer that takes text as text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from tokenizers import Tokenizer

BOS, PAD, EOS, UNK = 0, 1, 2, 3
"""XLM-R's special tokens, equal in all four sizes and in everything that kept its vocabulary."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """What stands around texts: before a b after, or before a after. XLM-R's by default.

    `<s> a </s></s> b </s>` there, `a </s> b </s>` in T5.
    """

    before: tuple[int, ...] = (BOS,)
    between: tuple[int, ...] = (EOS, EOS)
    after: tuple[int, ...] = (EOS,)
    unk: int = UNK
    """Stands for a word of which the tokenizer leaves nothing."""
    anchor: Literal["first", "last"] = "first"
    """The token that stands for no answer."""
    label_on: Literal["first", "last"] = "first"
    """The piece of a word that carries its tag."""
    word_mark: str = ""
    """Put before every word but a sentence's first."""

    @property
    def around(self) -> int:
        """Tokens beside those of one text."""
        return len(self.before) + len(self.after)

    def null(self, length: int) -> int:
        """Where in a sequence of so many tokens the anchor is."""
        return 0 if self.anchor == "first" else length - 1


XLMR_FORM = Form()


def join_pair(
    first: list[int], second: list[int], max_length: int, form: Form = XLMR_FORM
) -> tuple[list[int], bool]:
    """(the sequence of one text or two, whether it was cut).

    The longer text loses tokens first, at its end.

    Args:
        first: Tokens of the first text.
        second: Of the second; [] for none.
        max_length: Tokens of the sequence at most.
        form: What stands around them.
    """
    room = max_length - form.around - (len(form.between) if second else 0)
    a, b = len(first), len(second)
    if a + b > room:
        a, b = (room, 0) if not second else _share(a, b, room)
    ids = [*form.before, *first[:a]]
    if second:
        ids += [*form.between, *second[:b]]
    return [*ids, *form.after], a < len(first) or b < len(second)


def _share(a: int, b: int, room: int) -> tuple[int, int]:
    """Lengths after taking tokens from the longer of two texts until they fit."""
    half = room // 2
    if a <= half:
        return a, room - a
    if b <= half:
        return room - b, b
    return room - half, half


# Put before the names of special tokens: a noncharacter and a space, which no piece can match,
# since pre-tokenizers part texts at spaces or replace them.
_HIDDEN = "\uffff "


def literal(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that never makes a special token from text, as in SentencePiece.

    `<pad>` in a text is `<`, `pad`, `>`. A Unigram vocabulary holds the names of its special tokens
    as pieces; they are renamed, ids stay.
    """
    content = json.loads(tokenizer.to_str())
    special = {one["content"] for one in content["added_tokens"] if one["special"]}
    if content["model"].get("type") == "Unigram":
        for token in content["added_tokens"]:
            if token["special"]:
                token["content"] = _HIDDEN + token["content"]
        content["model"]["vocab"] = [
            [_HIDDEN + piece if piece in special else piece, score]
            for piece, score in content["model"]["vocab"]
        ]
        # Made for texts with special tokens around them, which the kinds put there themselves.
        content["post_processor"] = None
    found = Tokenizer.from_str(json.dumps(content))
    found.encode_special_tokens = True
    return found


def special_id(tokenizer: Tokenizer, name: str) -> int | None:
    """The id of a special token, in a tokenizer as it is or `literal`."""
    found = tokenizer.token_to_id(_HIDDEN + name)
    return tokenizer.token_to_id(name) if found is None else found
