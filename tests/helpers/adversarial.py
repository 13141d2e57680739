"""Random inputs that hit the corners of the scorers' rules. Every function takes a
random.Random.
"""

from __future__ import annotations

from random import Random

PIECES = (
    "the",
    "a",
    "an",
    "The",
    "theory",
    "a_b",
    "an's",
    "la",
    "el",
    "Los",
    "der",
    "DIE",
    "einer",
    "của",
    "là",
    "ال",
    "الكتاب",
    "كتاب",
    "北京",
    "大学 2008",
    "，",
    "。",
    "中",
    "दिल्ली",
    "हिन्दी",
    "।",
    "İstanbul",
    "ß",
    "ẞ",
    "ﬁn",
    "é",
    "e\u0301",
    "’s",
    "'s",
    "-",
    "--",
    "...",
    "$5",
    "5.0",
    "5",
    "%",
    "«x»",
    "“",
    "”",
    "¿",
    "\u200c",
    "\u00a0",
    "\u3000",
    "\t",
    "\n",
    "\u2028",
    "_",
    "x",
    "X",
    "",
)
BIO = (
    "O",
    "B-PER",
    "I-PER",
    "E-PER",
    "S-PER",
    "B-LOC",
    "I-LOC",
    "B-creative-work",
    "I-creative-work",
    "B",
    "I",
)
UPOS = (
    "ADJ",
    "ADP",
    "ADV",
    "AUX",
    "CCONJ",
    "DET",
    "INTJ",
    "NOUN",
    "NUM",
    "PART",
    "PRON",
    "PROPN",
    "PUNCT",
    "SCONJ",
    "SYM",
    "VERB",
    "X",
)
CORNERS = ("X", "X", "NOUN", "SCONJ", "CCONJ", "INTJ", "O", "_", ".")


def text(random: Random, most: int = 6) -> str:
    return "".join(
        random.choice(PIECES) + random.choice((" ", " ", ""))
        for _ in range(random.randint(0, most))
    )


def question(random: Random, fewest_answers: int) -> tuple[str, list[str]]:
    """(prediction, answers); the prediction is often one of the answers, changed or not."""
    answers = [text(random) for _ in range(random.randint(fewest_answers, 3))]
    prediction = random.choice(answers) if answers and random.random() < 0.6 else text(random)
    if random.random() < 0.3:
        prediction += " " + random.choice(PIECES)
    return prediction, answers


def tagged(random: Random) -> tuple[list[list[str]], list[list[str]]]:
    """(predicted, gold) tags of a few sentences from one of the tag sets."""
    tags = random.choice((BIO, UPOS, CORNERS, BIO + UPOS))
    gold = [
        [random.choice(tags) for _ in range(random.randint(1, 9))]
        for _ in range(random.randint(1, 6))
    ]
    keep = random.random()
    return [
        [tag if random.random() < keep else random.choice(tags) for tag in one] for one in gold
    ], gold
