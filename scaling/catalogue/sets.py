"""Label sets and the languages of each benchmark, as the organisers' evaluate.py lists them.

Sources: google-research/xtreme@0918248 (XTREME: Hu et al. 2020, arXiv 2003.11080) and @838c13b
(XTREME-R: Ruder et al. 2021, arXiv 2104.07412). Official task scores are means over these sets,
English included.
"""

from __future__ import annotations


def codes(text: str) -> tuple[str, ...]:
    """Codes apart by spaces."""
    return tuple(text.split())


def pairs(text: str) -> dict[str, str]:
    """Our language code → upstream's, from OURS=THEIRS apart by spaces."""
    return dict(pair.split("=") for pair in text.split())


NLI = ("entailment", "neutral", "contradiction")
"""In the order of MNLI, XNLI, SNLI and ANLI on the hub, whose labels are numbers."""
HUMAN_NLI = 0.928
HUMAN_NLI_SOURCE = (
    "human accuracy on MultiNLI's mismatched test set, whose guidelines XNLI follows: Nangia &"
    " Bowman 2019 (arXiv 1905.10425)"
)
"""A ceiling for XNLI and its translations; no model of the families here exceeds it in English."""
UPOS = codes("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X")
PANX = codes("O B-PER I-PER B-ORG I-ORG B-LOC I-LOC")

XTREME: dict[str, tuple[str, ...]] = {
    "xnli": codes("ar bg de el en es fr hi ru sw th tr ur vi zh"),
    "pawsx": codes("de en es fr ja ko zh"),
    "udpos": codes(
        "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur"
        " vi yo zh"
    ),
    "panx": codes(
        "af ar bg bn de el en es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru"
        " sw ta te th tl tr ur vi yo zh"
    ),
    "xquad": codes("ar de el en es hi ru th tr vi zh"),
    "mlqa": codes("ar de en es hi vi zh"),
    "tydiqa": codes("ar bn en fi id ko ru sw te"),
    "bucc2018": codes("de fr ru zh"),
    "tatoeba": codes(
        "af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru sw ta te"
        " th tl tr ur vi zh"
    ),
}


def _with(base: str, more: str) -> tuple[str, ...]:
    return tuple(sorted({*XTREME[base], *more.split()}))


XTREME_R: dict[str, tuple[str, ...]] = {
    "xnli": XTREME["xnli"],
    "xcopa": codes("et ht id it qu sw ta th tr vi zh"),
    "udpos": _with("udpos", "lt pl uk wo ro"),
    "panx": _with("panx", "qu pl uk az lt pa gu ro"),
    "xquad": _with("xquad", "ro"),
    "mlqa": XTREME["mlqa"],
    "tydiqa": XTREME["tydiqa"],
    "tatoeba": _with("tatoeba", "az lt pl uk ro"),
    "mewslix": codes("ar de en es fa ja pl ro ta tr uk"),
    "lareqa": codes("ar de el en es hi ru th tr vi zh"),
}
