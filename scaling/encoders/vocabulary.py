"""Vocabulary augmentation: new pieces behind the old ones (Chau & Smith 2021, arXiv 2106.08940).

The commonest words of a text that the tokenizer splits become pieces of their own. New ids follow
the old ones, which keep theirs; the row of a new piece is the mean of the rows of the pieces that
it replaces. Chau & Smith train a new vocabulary and add 99 of its pieces; whole words need no
second tokenizer and are the ones that are split most.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer
from torch import Tensor

from scaling.data.schema import BadData

_MIN_LETTERS = 3


def add_pieces(tokenizer: Path, texts: Iterable[str], num: int, out: Path) -> dict[int, list[int]]:
    """Write a tokenizer with new pieces; new id → old ids of the pieces that it replaces.

    A piece is scored by its log frequency among the words of the text. BadData if the tokenizer is
    no Unigram model with a metaspace, or the text has too few words that are split.

    Args:
        tokenizer: The `tokenizer.json` to extend.
        texts: The text whose words are counted.
        num: Number of new pieces.
        out: Where the new `tokenizer.json` goes.
    """
    content = json.loads(tokenizer.read_text(encoding="utf-8"))
    if content["model"]["type"] != "Unigram":
        raise BadData(
            f"{tokenizer}: new pieces need a Unigram tokenizer, this one is"
            f" {content['model']['type']}"
        )
    old = Tokenizer.from_file(str(tokenizer))
    counts: Counter[str] = Counter()
    for text in texts:
        normal = old.normalizer.normalize_str(text) if old.normalizer else text
        counts.update(word for word, _ in old.pre_tokenizer.pre_tokenize_str(normal))
    total = sum(counts.values())
    known = old.get_vocab()
    parts: dict[str, list[int]] = {}
    for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        letters = word.removeprefix("▁")
        if word == letters or word in known or not letters.isalpha() or len(letters) < _MIN_LETTERS:
            continue
        ids = old.model.tokenize(word)
        if len(ids) > 1:
            parts[word] = [token.id for token in ids]
        if len(parts) == num:
            break
    if len(parts) < num:
        raise BadData(
            f"new_pieces asks for {num} words, but only {len(parts)} of the text are split by the"
            " tokenizer"
        )
    first = len(content["model"]["vocab"])
    content["model"]["vocab"] += [[word, math.log(counts[word] / total)] for word in parts]
    out.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    new = Tokenizer.from_file(str(out))
    moved = [piece for piece, at in known.items() if new.token_to_id(piece) != at]
    if moved:
        raise BadData(
            f"{tokenizer}: new pieces would move the ids of {len(moved)} old ones, as that of"
            f" {moved[0]!r}"
        )
    return {first + at: ids for at, ids in enumerate(parts.values())}


def with_rows(rows: Tensor, new: dict[int, list[int]]) -> Tensor:
    """Embedding rows V x H with those of the new ids: each the mean of the rows that it replaces.

    A new id may fall on a row that the tokenizer never used: XL has more rows than entries.
    """
    grown = rows.new_zeros((max(len(rows), max(new) + 1), rows.shape[1]))
    grown[: len(rows)] = rows
    for at, ids in new.items():
        grown[at] = rows[ids].float().mean(dim=0).to(rows.dtype)
    return grown
