"""Exact match and token F1 of answer spans: SQuAD 1.1, SQuAD 2.0 and MLQA.

Rules read in the official scorers: evaluate-v1.1.py and evaluate-v2.0.py of SQuAD,
mlqa_evaluation_v1.py at facebookresearch/MLQA@5ef5c73. A prediction is a string, a reference the
list of acceptable answers. XQuAD and TyDiQA-GoldP are scored with SQuAD 1.1's English rules in
every language (the organisers' choice: XQuAD's README; XTREME's evaluate.py).
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

from scaling.catalogue.languages import get_language
from scaling.kinds.metrics.outcomes import Outcome, pairs
from scaling.spec import known

_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ENGLISH_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def squad1(
    predictions: Sequence[str], references: Sequence[Sequence[str]], language: str = ""
) -> list[Outcome]:
    """`f1`, `exact_match` and their mean, best over the answers, by SQuAD 1.1's rules.

    The mean is XTREME-R's score of a QA task. Where an answer is nothing but articles and
    punctuation, exact match can be 1 with an F1 of 0, as in the original.
    """
    return _scored(predictions, references, normalise_english)


def mlqa(
    predictions: Sequence[str], references: Sequence[Sequence[str]], language: str
) -> list[Outcome]:
    """As `squad1`, with MLQA's normalisation of the answer's language.

    Languages: ar, de, en, es, hi, vi and zh.
    """
    known("language of MLQA", language, _MLQA_ARTICLES)
    return _scored(predictions, references, lambda text: normalise_mlqa(text, language))


def squad2(
    predictions: Sequence[str], references: Sequence[Sequence[str]], language: str = ""
) -> list[Outcome]:
    """SQuAD 2.0: a question without answers is right if and only if the prediction is empty.

    `f1`, `exact_match`, their mean, and the same for questions with (`has_answer_*`) and without an
    answer (`no_answer_accuracy`). The prediction is final: no threshold is chosen on the test set.
    """
    outcomes: list[Outcome] = []
    for prediction, answers in pairs(predictions, references):
        golds = [gold for gold in map(normalise_english, answers) if gold] or [""]
        predicted = normalise_english(prediction)
        exact = float(predicted in golds)
        # Unlike 1.1, two empty token lists agree.
        f1 = max(
            float(predicted == gold) if not (predicted and gold) else _token_f1(predicted, gold)
            for gold in golds
        )
        outcomes.append(
            _outcome(f1, exact)
            | {
                "has_answer_f1": f1 if answers else None,
                "has_answer_exact_match": exact if answers else None,
                "no_answer_accuracy": None if answers else exact,
            }
        )
    return outcomes


def _scored(
    predictions: Sequence[str], references: Sequence[Sequence[str]], normalise: Callable[[str], str]
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for number, (prediction, answers) in enumerate(pairs(predictions, references)):
        if not answers:
            raise ValueError(
                f"question {number} has no answers: score unanswerable questions with squad2"
            )
        predicted, golds = normalise(prediction), [normalise(answer) for answer in answers]
        outcomes.append(
            _outcome(max(_token_f1(predicted, gold) for gold in golds), float(predicted in golds))
        )
    return outcomes


def _outcome(f1: float, exact: float) -> dict[str, float | None]:
    return {"f1": f1, "exact_match": exact, "f1_exact_mean": (f1 + exact) / 2}


def _token_f1(predicted: str, gold: str) -> float:
    """F1 of two bags of tokens; 0 where they share none."""
    predicted_tokens, gold_tokens = predicted.split(), gold.split()
    shared = (Counter(predicted_tokens) & Counter(gold_tokens)).total()
    return 2 * shared / (len(predicted_tokens) + len(gold_tokens)) if shared else 0.0


def normalise_english(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, single spaces."""
    return " ".join(_ENGLISH_ARTICLES.sub(" ", text.lower().translate(_ASCII_PUNCTUATION)).split())


# Articles by language; Hindi and Chinese have none. Arabic's is cut out of words as well: the
# official pattern '\sال^|ال' can only match its second half, at any place in a word.
_MLQA_ARTICLES: dict[str, re.Pattern[str] | None] = {
    "ar": re.compile("ال"),
    "de": re.compile(r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "en": _ENGLISH_ARTICLES,
    "es": re.compile(r"\b(?:un|una|unos|unas|el|la|los|las)\b"),
    "hi": None,
    "vi": re.compile(r"\b(?:của|là|cái|chiếc|những)\b"),
    "zh": None,
}
_HAN = re.compile("([\u4e00-\u9fa5])")


def normalise_mlqa(text: str, language: str) -> str:
    """Lower case, without Unicode punctuation and the language's articles.

    Chinese becomes one token per character.
    """
    articles = _MLQA_ARTICLES[get_language(language).code]
    text = "".join(character for character in text.lower() if not _is_punctuation(character))
    if articles:
        text = articles.sub(" ", text)
    return " ".join((_HAN.sub(r" \1 ", text) if language == "zh" else text).split())


@cache
def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P") or character in string.punctuation
