"""A tiny family of encoders that is made here, and study files written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

TEXT = (
    "the password of this user was changed please enter the old and the new one "
    "das Passwort dieses Benutzers wurde geändert bitte das alte und das neue eingeben "
    "neno la siri la mtumiaji huyu limebadilishwa tafadhali ingiza la zamani na jipya "
    "add delete history object permission group site language field value page"
)


def tiny_content(models: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole study in seconds: two arms, two targets of two kinds, three languages.

    `models`: their ModelSpec fields.
    """
    return {
        "name": "tiny",
        "models": [model["name"] for model in models],
        "arms": ["none", "word_order"],
        "targets": ["applications", "messages"],
        "languages": ["de", "sw", "uk"],
        "seeds": [0],
        # Three examples teach nothing: everything would be run again. Re-runs have tests of their
        # own.
        "reruns": 0,
        "limits": {"train": 48, "dev": 30, "test": 12},
        "recipes": {
            "default": {
                "batch": 8,
                "epochs": 8,
                "learning_rate": 1e-3,
                "max_length": 32,
                "precision": "fp32",
            }
        },
        "placement": {"default": {"workers": 1, "zero_stage": 1, "micro_batch": 8}},
        "define": {"models": models},
    }


def make_tokenizer(path: Path) -> int:
    """A small Unigram tokenizer with XLM-R's special tokens in XLM-R's order; its number of
    pieces.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=160,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        initial_alphabet=[chr(code) for code in range(33, 127)],
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 20, trainer)
    tokenizer.save(str(path))
    return tokenizer.get_vocab_size()


def make_model(folder: Path, architecture: str, layers: int, seed: int = 0) -> dict[str, Any]:
    """A random encoder as a Hugging Face directory; the ModelSpec fields that describe it."""
    import torch
    from transformers import (
        XLMRobertaConfig,
        XLMRobertaModel,
        XLMRobertaXLConfig,
        XLMRobertaXLModel,
    )

    folder.mkdir(parents=True)
    vocab = make_tokenizer(folder / "tokenizer.json")
    fields = {
        "vocab_size": vocab,
        "hidden_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    torch.manual_seed(seed)
    if architecture == "xlm-roberta":
        model = XLMRobertaModel(XLMRobertaConfig(**fields), add_pooling_layer=False)
    else:
        model = XLMRobertaXLModel(XLMRobertaXLConfig(**fields), add_pooling_layer=False)
    model.save_pretrained(folder)
    return {
        "architecture": architecture,
        "source": f"dir:{folder}",
        "num_layers": layers,
        "hidden": 32,
        "ffn": 64,
        "num_heads": 4,
        "vocab_rows": vocab,
        "positions": 514,
        "family": "tiny",
    }


def write_study(folder: Path, content: dict[str, Any]) -> Path:
    """The study file that says this, in a folder."""
    path = folder / "study.yaml"
    # Through JSON: plain types only, as a person would write them.
    path.write_text(yaml.safe_dump(json.loads(json.dumps(content)), allow_unicode=True))
    return path
