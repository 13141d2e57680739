"""Token sequences of one text or two, in XLM-R's form, and a tokenizer that takes text as text."""

from __future__ import annotations

import json

from tokenizers import Tokenizer

from scaling.kinds.kind import BOS, EOS


def join_pair(first: list[int], second: list[int], max_length: int) -> tuple[list[int], bool]:
    """(<s> a </s> or <s> a </s></s> b </s>, whether it was cut).

    The longer text loses tokens first, at its end.
    """
    room = max_length - (4 if second else 2)
    a, b = len(first), len(second)
    if a + b > room:
        a, b = (room, 0) if not second else _share(a, b, room)
    ids = [BOS, *first[:a], EOS]
    if second:
        ids += [EOS, *second[:b], EOS]
    return ids, a < len(first) or b < len(second)


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
