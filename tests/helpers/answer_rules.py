"""The rules of the SQuAD and MLQA scorers a second time, character by character, without the
product's regexes.

An oracle of our own for tests and for benchmarks/parity.py: written from the rules, not from
scaling/metrics.
"""

from __future__ import annotations

import string
import unicodedata

ARTICLES = {
    "en": ["a", "an", "the"],
    "es": ["un", "una", "unos", "unas", "el", "la", "los", "las"],
    "de": [
        "ein",
        "eine",
        "einen",
        "einem",
        "eines",
        "einer",
        "der",
        "die",
        "das",
        "den",
        "dem",
        "des",
    ],
    "vi": ["của", "là", "cái", "chiếc", "những"],
    "hi": [],
    "zh": [],
}


def tokens(text: str, rules: str) -> list[str]:
    """Tokens by the rules of `squad` or of an MLQA language."""
    kept = ""
    for character in text.lower():
        is_punctuation = character in string.punctuation
        if rules != "squad" and unicodedata.category(character)[0] == "P":
            is_punctuation = True
        if not is_punctuation:
            kept += character
    kept = (
        kept.replace("ال", " ")
        if rules == "ar"
        else without_words(kept, ARTICLES["en" if rules == "squad" else rules])
    )
    if rules == "zh":
        kept = "".join(f" {c} " if "\u4e00" <= c <= "\u9fa5" else c for c in kept)
    return kept.split()


def without_words(text: str, words: list[str]) -> str:
    """`text` with each whole word of `words` replaced by a space; words are runs of letters, digits
    and underscores.
    """
    out, run = "", ""
    for character in text + "\0":
        if character.isalnum() or character == "_":
            run += character
            continue
        out += " " if run in words else run
        out += character
        run = ""
    return out[:-1]


def token_f1(predicted: list[str], gold: list[str]) -> float:
    left, shared = list(gold), 0
    for token in predicted:
        if token in left:
            left.remove(token)
            shared += 1
    if not shared:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


def squad1(prediction: str, answers: list[str], rules: str = "squad") -> tuple[float, float]:
    """(F1, exact match) of one question by SQuAD 1.1's rules, or by MLQA's for a language."""
    mine = tokens(prediction, rules)
    scores = [
        (token_f1(mine, tokens(answer, rules)), float(mine == tokens(answer, rules)))
        for answer in answers
    ]
    return max(f1 for f1, _ in scores), max(exact for _, exact in scores)


def squad2(prediction: str, answers: list[str]) -> tuple[float, float]:
    """(F1, exact match) of one question by SQuAD 2.0's rules."""
    golds = [gold for gold in (tokens(answer, "squad") for answer in answers) if gold] or [[]]
    mine = tokens(prediction, "squad")
    f1 = max(token_f1(mine, gold) if mine and gold else float(mine == gold) for gold in golds)
    return f1, max(float(mine == gold) for gold in golds)
