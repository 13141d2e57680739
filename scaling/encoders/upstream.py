"""What a model's own files say beside its tensors, held against its ModelSpec before it is staged.

A wrong number of heads, another activation or epsilon changes no shape: such a model would train
and score, as another one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import XLMRobertaConfig, XLMRobertaXLConfig

from scaling.catalogue.models import ModelSpec
from scaling.data.schema import BadData
from scaling.data.tokens import load_tokenizer
from scaling.kinds.kind import BOS, EOS, PAD, UNK
from scaling.kinds.text import special_id

# The upstream class → its default epsilon. XXL's stored config.json has named another class than it
# is: any of the family will do, the tensors decide.
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
    """BadData unless the tokenizer loads, with XLM-R's special tokens and an entry for each row.

    A model may have more rows than the tokenizer has entries, as XL has.
    """
    tokenizer = load_tokenizer(path)
    wrong = [name for name, at in _SPECIAL.items() if special_id(tokenizer, name) != at]
    if wrong:
        raise BadData(
            f"{path}: {wrong[0]} has the id {special_id(tokenizer, wrong[0])}, not"
            f" {_SPECIAL[wrong[0]]}: not a tokenizer of XLM-R's form"
        )
    size = tokenizer.get_vocab_size()
    if size > model.vocab_rows:
        raise BadData(
            f"{path}: {size:,} entries, and model {model.name!r} has {model.vocab_rows:,} rows"
        )
