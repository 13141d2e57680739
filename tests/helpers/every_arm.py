"""A study with every arm, on the tiny models of the tests."""

from __future__ import annotations

from typing import Any

DEFINED = [
    {
        "name": "text",
        "kind": "masked_lm",
        "metric": "tag_f1",
        "train_languages": ["en", "sw"],
        "data": [
            {
                "reader": "plain_text",
                "source": "dir:text",
                "files": {"train": ["train.{lang}.txt"], "dev": ["dev.{lang}.txt"]},
            }
        ],
    },
    {
        "name": "nli",
        "kind": "classification",
        "metric": "accuracy",
        "labels": ["yes", "no"],
        "train_languages": ["en", "de"],
        "data": [
            {
                "reader": "delimited",
                "source": "dir:nli",
                "files": {"train": ["train.{lang}.tsv"], "dev": ["dev.{lang}.tsv"]},
                "options": {
                    "columns": ["id", "label", "text_a"],
                    "id": "id",
                    "label": "label",
                    "text_a": "text_a",
                },
            }
        ],
    },
]

ARMS: list[Any] = [
    "none",
    "word_order",
    {
        "name": "multitask",
        "together": ["word_order", "nli", "name_types"],
        "sampling": {"cap": 22, "temperature": 2},
    },
    {"name": "mlm-mix", "train_on": ["nli"], "mlm": {"task": "text", "ratio": 0.5}},
    {"name": "mlm", "train_on": ["text"], "exponent": 0.3},
    {"name": "translated", "train_on": ["nli"], "languages": ["en", "de"]},
    {"name": "translated-alone", "train_on": ["nli"], "languages": ["de"]},
    {"name": "pairwise", "train_on": ["word_order"], "with_target": True},
    {"name": "longer", "control": "compute-matched", "like": "word_order"},
    {"name": "shuffled", "control": "shuffled-labels", "train_on": ["word_order"]},
    {"name": "random", "control": "random-init"},
    {
        "name": "adapted",
        "adapt": [{"task": "text", "languages": ["sw"]}],
        "train_on": ["word_order"],
    },
    {
        "name": "pieces",
        "adapt": [{"task": "text", "languages": ["sw"]}],
        "new_pieces": 3,
        "train_on": ["word_order"],
    },
    {"name": "latin", "train_on": ["word_order"], "transliterate": {"uk": "latin"}},
]


def arms_study(tiny_study: dict[str, Any]) -> dict[str, Any]:
    """The tiny study with every arm there is."""
    recipe = {**tiny_study["recipes"]["default"], "epochs": 4, "dropout": 0.1}
    return {
        **tiny_study,
        "models": ["tiny-1"],
        "arms": ARMS,
        # The tiny model's own weights are random ones of seed 0.
        "seeds": [3],
        "languages": ["uk"],
        "limits": {"train": 24, "dev": 12, "test": 12},
        "recipes": {"default": recipe},
        "placement": {
            "default": {"workers": 1, "zero_stage": 2, "micro_batch": 4, "resume_every": 2}
        },
        "define": {
            **tiny_study["define"],
            "tasks": DEFINED,
            "tables": {"latin": {"а": "a", "б": "b", "щ": "shch"}},
        },
    }
