"""Column mappings and hub layouts that several tasks share."""

from __future__ import annotations

from typing import Any

from scaling.catalogue.sets import NLI
from scaling.catalogue.task import DataRef, Split

NLI_NUMBERED: dict[str, Any] = {
    "text_a": "premise",
    "text_b": "hypothesis",
    "label": "label",
    "label_names": list(NLI),
}
NLI_NAMED: dict[str, Any] = {"text_a": "premise", "text_b": "hypothesis", "label": "label"}
SQUAD: dict[str, Any] = {
    "id": "id",
    "context": "context",
    "question": "question",
    "answers": "answers.text",
    "starts": "answers.answer_start",
}
COPA_QUESTIONS = {"cause": "What was the cause?", "effect": "What was the effect?"}
"""What COPA's items ask for, in the words of XTREME-R (third_party/run_xcopa.py:305 of
google-research/xtreme@838c13b); the same words for XCOPA in every language.
"""
COPA: dict[str, Any] = {
    "context": "premise",
    "question": "question",
    "choices": ["choice1", "choice2"],
    "label": "label",
    "id": "idx",
    # The two questions of COPA (Roemmele et al. 2011), in English in every language.
    "question_map": COPA_QUESTIONS,
}
COSMOS: dict[str, Any] = {
    "context": "context",
    "question": "question",
    "choices": [f"answer{number}" for number in range(4)],
    "label": "label",
    "id": "id",
}

# Stated by MTEB's task metadata at embeddings-benchmark/mteb@a905523d, and for
# izhx/mewsli-x by the hub's page of its files. Every other commit is locked at first staging.
STATED = {
    "google/xquad": "51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
    "izhx/mewsli-x": "7e3723faa15c6d84cfd56d66cf6cd347be8ad00e",
    "mteb/amazon_massive_intent": "4672e20407010da34463acc759c162ca9734bca6",
    "mteb/sib200": "a74d7350ea12af010cfb1c21e34f1f81fd2e615b",
    "mteb/tatoeba-bitext-mining": "69e8f12da6e31d59addadda9a9c8a2e601a0e282",
    "mteb/xnli": "09698e0180d87dc247ca447d3a1248b931ac0cdb",
}


def stated(hub: str, files: dict[Split, tuple[str, ...]], **options: Any) -> DataRef:
    """A hub data set at its stated commit, in its own layout."""
    codes = options.pop("codes", {})
    return DataRef(
        reader="hub_parquet",
        source=f"hub:{hub}",
        revision=STATED[hub],
        files=files,
        codes=codes,
        options=options,
    )


CONVERTED = "refs/convert/parquet"
"""The ref in which the hub keeps its own Parquet conversion of a data set, as
CONFIG/SPLIT/NNNN.parquet: one layout for all, and the only Parquet there is of data sets that were
published as scripts. The lock file holds its commit."""


def converted(
    hub: str, config: str, splits: dict[Split, str | tuple[str, ...]], **options: Any
) -> DataRef:
    """A hub data set in the hub's Parquet conversion.

    Args:
        hub: ORG/NAME.
        config: of the data set; may contain {lang}.
        splits: ours → upstream's, one or several that are joined.
        options: of the reader; `reader` and `codes` are taken out of them.
    """
    files: dict[Split, tuple[str, ...]] = {}
    for split, names in splits.items():
        files[split] = tuple(
            f"{config}/{name}/*.parquet" for name in ((names,) if isinstance(names, str) else names)
        )
    codes = options.pop("codes", {})
    return DataRef(
        reader=options.pop("reader", "hub_parquet"),
        source=f"hub:{hub}",
        files=files,
        codes=codes,
        options={"ref": CONVERTED, **options},
    )


def folder(name: str, reader: str, files: dict[Split, tuple[str, ...]], **options: Any) -> DataRef:
    """Files below a folder of the data folder.

    Args:
        name: of the folder.
        reader: a name in scaling.data.readers.READERS.
        files: patterns by split; they match with and without .gz.
        options: of the reader; `codes` is taken out of them.
    """
    return DataRef(
        reader=reader,
        source=f"dir:{name}",
        files=files,
        codes=options.pop("codes", {}),
        options=options,
    )
