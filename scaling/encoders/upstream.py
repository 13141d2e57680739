"""What a model's own files say beside its tensors, held against its ModelSpec before it is staged.

A wrong number of heads, another activation or epsilon changes no shape: such a model would train
and score, as another one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PretrainedConfig, XLMRobertaConfig, XLMRobertaXLConfig

from scaling.catalogue.architectures import Architecture
from scaling.catalogue.models import ModelSpec
from scaling.data.schema import BadData
from scaling.data.tokens import load_tokenizer, text_form
from scaling.encoders.encoder import config_class
from scaling.kinds.text import BOS, EOS, PAD, UNK, special_id

# Of XLM-R: the upstream class → its default epsilon. XXL's stored config.json has named another
# class than it is: any of the family will do, the tensors decide.
_CLASSES = {
    "roberta": 1e-12,
    "xlm-roberta": float(XLMRobertaConfig().layer_norm_eps),
    "xlm-roberta-xl": float(XLMRobertaXLConfig().layer_norm_eps),
}
_SPECIAL = {"<s>": BOS, "<pad>": PAD, "</s>": EOS, "<unk>": UNK}


def layer_norm_eps(model: ModelSpec, folder: Path) -> float:
    """The epsilon of the layer norms, from a `config.json` that is the ModelSpec's.

    BadData names every number in it that is another one, and what was due.
    """
    path = folder / "config.json"
    config = _json(path, f"model {model.name!r}")
    kind = config.get("model_type")
    if kind not in _CLASSES:
        raise BadData(f"{path}: model_type is {kind!r}; valid: {', '.join(_CLASSES)}")
    due = {
        "num_attention_heads": model.num_heads,
        "num_hidden_layers": model.num_layers,
        "hidden_size": model.hidden,
        "intermediate_size": model.ffn,
        "vocab_size": model.vocab_rows,
        "max_position_embeddings": model.positions,
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "type_vocab_size": 1,
        "bos_token_id": BOS,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
    }
    needed = ("num_attention_heads", "num_hidden_layers")
    wrong = [f"no {name}" for name in needed if config.get(name) is None]
    wrong += [
        f"{name} is {config[name]!r}, not {value!r}"
        for name, value in due.items()
        if config.get(name) is not None and config[name] != value
    ]
    eps = config.get("layer_norm_eps", _CLASSES[kind])
    is_number = isinstance(eps, int | float) and not isinstance(eps, bool)
    if not is_number or not math.isfinite(eps) or not 0 < eps < 0.1:
        wrong.append(f"layer_norm_eps is {eps!r}")
    if wrong:
        raise BadData(f"{path}: not the model of its ModelSpec {model.name!r}: {'; '.join(wrong)}")
    return float(eps)


_IGNORED = frozenset(
    {
        "_name_or_path",
        "architectures",
        "auto_map",
        "model_type",
        "task_specific_params",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
"""What a stored configuration has beside the network: names, generation, remote code."""


def copied_config(model: ModelSpec, folder: Path) -> dict[str, Any]:
    """The fields of a source's `config.json` for the layers that are used.

    BadData where it is another class's, where a number is not the ModelSpec's, and where a key is
    unknown: one that changes the network would be lost without a word.
    """
    path, entry = folder / "config.json", model.entry
    raw = dict(_json(path, f"model {model.name!r}"))
    kind = raw.get("model_type")
    if kind not in entry.model_types:
        raise BadData(
            f"{path}: model_type is {kind!r}, and model {model.name!r} is a {entry.name}; valid:"
            f" {', '.join(entry.model_types)}"
        )
    own = config_class(entry.name)
    general = {one.name for one in fields(PretrainedConfig)} - {"is_encoder_decoder"}
    known = {one.name for one in fields(own)} - general
    unknown = sorted(
        raw.keys() - known - general - _IGNORED - set(entry.older_keys) - entry.agreeing.keys()
    )
    if unknown:
        raise BadData(
            f"{path}: {', '.join(unknown)}: no field of {own.__name__} in the transformers that is"
            " installed, so that nobody knows what it changes. Add it to the `older_keys` of"
            f" {entry.name} (scaling/catalogue/architecture_entries.py) once you do"
        )
    found = {
        key: value
        for key, value in raw.items()
        if key in known or (key in entry.older_keys and key not in _IGNORED)
    }
    wrong = [f"no {key}" for key in _needed(entry) if key not in found]
    if not wrong:
        config = own(**found)
        due = {key: getattr(model, name) for name, key in entry.dims.items()}
        if entry.positions == "learned":
            due |= {"max_position_embeddings": model.positions, "type_vocab_size": entry.types}
        # A class that has no such number of its own works it out from the others.
        wrong = [
            f"{key} is {value!r}, not {due[key]!r}"
            for key, value in ((key, getattr(config, key, None)) for key in due)
            if value is not None and value != due[key]
        ]
        wrong += [
            f"{older} is {raw[older]!r}, and {key} {getattr(config, key)!r}"
            for older, key in entry.agreeing.items()
            if older in raw and raw[older] != getattr(config, key)
        ]
    if wrong:
        raise BadData(f"{path}: not the model of its ModelSpec {model.name!r}: {'; '.join(wrong)}")
    found |= {entry.dims["num_layers"]: model.depth, **entry.fixed}
    if isinstance(found.get("layer_types"), list):
        found["layer_types"] = found["layer_types"][: model.depth]
    return {"model_type": kind, **dict(sorted(found.items()))}


def _needed(entry: Architecture) -> list[str]:
    """Keys without which a class would take its own defaults for the model's shape."""
    return [entry.dims[name] for name in ("num_heads", "num_layers", "hidden", "ffn", "vocab_rows")]


def _json(path: Path, what: str) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise BadData(
            f"{what}: {path} cannot be read ({error.strerror}): it says what shapes do not: heads,"
            " activation, epsilon"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadData(f"{path}: broken JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadData(f"{path}: not an object")
    return found


def check_tokenizer(model: ModelSpec, path: Path) -> None:
    """BadData unless the tokenizer loads, with its architecture's form and a row for each entry.

    Of XLM-R that is its special tokens. A model may have more rows than the tokenizer has entries,
    as XL has.
    """
    tokenizer = load_tokenizer(path)
    if model.entry.written:
        _check_xlmr_tokens(path, tokenizer)
    else:
        text_form(path, model.entry)
    size = tokenizer.get_vocab_size()
    if size > model.vocab_rows:
        raise BadData(
            f"{path}: {size:,} entries, and model {model.name!r} has {model.vocab_rows:,} rows"
        )


def _check_xlmr_tokens(path: Path, tokenizer: Tokenizer) -> None:
    wrong = [name for name, at in _SPECIAL.items() if special_id(tokenizer, name) != at]
    if wrong:
        raise BadData(
            f"{path}: {wrong[0]} has the id {special_id(tokenizer, wrong[0])}, not"
            f" {_SPECIAL[wrong[0]]}: not a tokenizer of XLM-R's form"
        )
