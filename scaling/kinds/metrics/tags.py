"""Span F1 of tag sequences, equal to seqeval 1.2.2 in its default mode (that of conlleval).

XTREME scores named entities and, with the same call, bare part-of-speech tags (evaluate.py at
google-research/xtreme@0918248). On bare tags the rules have consequences that one must know to
compare numbers:

- a tag is read as prefix + type, NOUN as `N` + `OUN`; a run of one tag is one span, right only as a
whole;
- SCONJ and SYM begin with S and INTJ with I, which are prefixes of their own: each SCONJ is a span
of one word;
- CCONJ and SCONJ have the same type, CONJ, and are not told apart;
- X has the empty type, as O has: an X at the end of a sentence is no span, and an X at the start of
any sentence
  but the first begins where the span before it began.

The last point ties a sentence to the one before it, so outcomes are computed over the whole file in
its order. seqeval before 1.0 read bare tags differently (the type was the whole tag): published
UD-POS numbers of 2020 can differ from ours by this alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scaling.kinds.metrics.outcomes import Outcome, pairs

Span = tuple[str, int, int]
"""Type, first word and last word, numbered over the whole file with one between sentences."""


def span_f1(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], language: str = ""
) -> list[Outcome]:
    """`span_f1`, `span_precision`, `span_recall` of tag sequences, one outcome a sentence.

    Tags are BIO, IOBES or bare. Raises ValueError where a sentence has another number of predicted
    than of gold tags.
    """
    for number, (predicted, gold) in enumerate(pairs(predictions, references)):
        if len(predicted) != len(gold):
            raise ValueError(
                f"sentence {number} has {len(predicted)} predicted and {len(gold)} gold tags"
            )
    return [
        {
            "span_correct": len(predicted & gold),
            "span_predicted": len(predicted),
            "span_gold": len(gold),
        }
        for predicted, gold in zip(spans(predictions), spans(references), strict=True)
    ]


def spans(sentences: Sequence[Sequence[str]]) -> Iterator[set[Span]]:
    """The spans that end in each sentence."""
    prefix, kind = "O", ""
    begin = position = 0
    for tags in sentences:
        found: set[Span] = set()
        for tag in (*tags, "O"):
            if not tag:
                raise ValueError(f"empty tag in {list(tags)}")
            next_prefix, next_kind = tag[0], tag[1:].split("-", maxsplit=1)[-1] or "_"
            if _ends(prefix, kind, next_prefix, next_kind):
                found.add((kind, begin, position - 1))
            if _starts(prefix, kind, next_prefix, next_kind):
                begin = position
            prefix, kind = next_prefix, next_kind
            position += 1
        yield found


def _ends(prefix: str, kind: str, next_prefix: str, next_kind: str) -> bool:
    """Whether a span ends between two words."""
    if prefix in "ES":
        return True
    return (prefix in "BI" and next_prefix in "BSO") or (prefix not in "O." and kind != next_kind)


def _starts(prefix: str, kind: str, next_prefix: str, next_kind: str) -> bool:
    """Whether a span starts with the second of two words."""
    if next_prefix in "BS":
        return True
    return (prefix in "ESO" and next_prefix in "EI") or (
        next_prefix not in "O." and kind != next_kind
    )
