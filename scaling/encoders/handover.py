"""Trained weights as a folder that `AutoModelFor…` and `AutoTokenizer` open, with equal outputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.initialization import no_init_weights

from scaling.catalogue.architecture_entries import XLM_ROBERTA
from scaling.catalogue.task import TaskSpec
from scaling.encoders.checkpoint import read_index
from scaling.encoders.encoder import Weights, make_config
from scaling.kinds.text import BOS, EOS, PAD, UNK
from scaling.spec import UserError
from scaling.study.recipes import Recipe

_NAMES = {"xlm-roberta": "XLMRoberta", "xlm-roberta-xl": "XLMRobertaXL"}
_WORDS = XLM_ROBERTA.words
_SPECIAL = {"bos": BOS, "cls": BOS, "pad": PAD, "eos": EOS, "sep": EOS, "unk": UNK}


@dataclass(frozen=True, kw_only=True)
class HeadForm:
    """How transformers names the same head."""

    ending: str
    """Of its class: `XLMRoberta` and this."""
    layers: Mapping[str, str]
    """Our layer → its."""


_FORMS = {
    "classification": HeadForm(
        ending="ForSequenceClassification",
        layers={"head.dense": "classifier.dense", "head.out": "classifier.out_proj"},
    ),
    "multiple_choice": HeadForm(
        ending="ForMultipleChoice",
        layers={"head.dense": "roberta.pooler.dense", "head.out": "classifier"},
    ),
    "tagging": HeadForm(ending="ForTokenClassification", layers={"head.out": "classifier"}),
    "span_qa": HeadForm(ending="ForQuestionAnswering", layers={"head.out": "qa_outputs"}),
    "masked_lm": HeadForm(
        ending="ForMaskedLM",
        layers={"head.dense": "lm_head.dense", "head.norm": "lm_head.layer_norm"},
    ),
}


def head_form(task: TaskSpec, recipe: Recipe) -> HeadForm | str:
    """Transformers' form of a task's head, or why it has none."""
    if task.kind not in _FORMS:
        return f"a task of kind {task.kind} has no head: it compares means of hidden states"
    if task.kind in ("classification", "multiple_choice") and recipe.pooling != "first":
        return f"transformers' head reads <s>, this one the {recipe.pooling} of all tokens"
    return _FORMS[task.kind]


def write_auto_model(
    weights: Weights,
    form: HeadForm | str,
    labels: tuple[str, ...],
    pretrained_words: Callable[[], Tensor],
    tokenizer: Path,
    out: Path,
) -> str:
    """Write the folder; the name of the class that opens it.

    UserError where a trimmed vocabulary cannot be made whole again, and for another architecture
    than XLM-R's.

    Args:
        weights: The trained weights.
        form: Of `head_form`; a reason gives the encoder alone.
        labels: Names of the outputs of a classification or tagging; () elsewhere.
        pretrained_words: The pretrained word embeddings V x H, asked for where rows were trimmed.
        tokenizer: The `tokenizer.json` that the ids are of.
        out: A folder that is empty or not there.
    """
    if weights.architecture not in _NAMES:
        raise UserError(
            f"{weights.architecture}: weights are handed over for {' and '.join(_NAMES)} only; the"
            f" encoder's are in {weights.folder}, under the names of transformers' class"
        )
    state = {name: stored.read() for name, stored in read_index(weights.folder).items()}
    if weights.kept_rows is not None:
        kept = torch.from_numpy(np.load(weights.kept_rows, allow_pickle=False))
        state = _with_all_rows(state, kept, pretrained_words())
    fields = json.loads((weights.folder / "config.json").read_text(encoding="utf-8"))
    fields["vocab_size"] = state[_WORDS].shape[0]
    config = make_config(weights.architecture, fields, 0.1)
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: number for number, label in enumerate(labels)}
    ending = "Model" if isinstance(form, str) else form.ending
    name = f"{_NAMES[weights.architecture]}{ending}"
    extra = {"add_pooling_layer": False} if ending == "Model" else {}
    with no_init_weights():
        model = getattr(transformers, name)._from_config(config, dtype=state[_WORDS].dtype, **extra)
    named = _renamed(state, None if isinstance(form, str) else form)
    if ending == "ForMaskedLM":
        # A head that was new has no bias.
        named.setdefault("lm_head.bias", torch.zeros_like(state[_WORDS][:, 0]))
        named["lm_head.decoder.bias"] = named["lm_head.bias"]
        named["lm_head.decoder.weight"] = named[f"roberta.{_WORDS}"]
    model.load_state_dict(named, assign=True)
    model.tie_weights()
    model.save_pretrained(out)
    _tokenizer(tokenizer, fields["max_position_embeddings"]).save_pretrained(out)
    return name


def _renamed(state: Mapping[str, Tensor], form: HeadForm | None) -> dict[str, Tensor]:
    """Tensors by transformers' names, each of its own shape; without a form the encoder's alone."""
    named = {}
    for name, value in state.items():
        layer, _, part = name.rpartition(".")
        if not name.startswith(("head.", "lm_head.")):
            named[name if form is None else f"roberta.{name}"] = value
        elif form is not None and layer in form.layers:
            named[f"{form.layers[layer]}.{part}"] = value
        elif form is not None and name.startswith("lm_head.") and form.ending == "ForMaskedLM":
            named[name] = value
    return named


def _with_all_rows(
    state: Mapping[str, Tensor], kept: Tensor, pretrained: Tensor
) -> dict[str, Tensor]:
    """Tensors whose rows of words are all there; those that were trimmed are as pretrained.

    kept: ids of the rows that were trained, shape (K,). pretrained: V x H.
    """
    if int(kept.max()) >= len(pretrained):
        raise UserError(
            "the vocabulary was extended and then trimmed: rows of new pieces that no text used"
            " are nowhere. Train without trim_vocabulary to export it"
        )
    whole = pretrained.to(state[_WORDS].dtype).clone()
    whole[kept] = state[_WORDS]
    full = {**state, _WORDS: whole}
    if "lm_head.bias" in state:
        bias = torch.full((len(whole),), float(state["lm_head.bias"].min())).to(whole.dtype)
        bias[kept] = state["lm_head.bias"]
        full["lm_head.bias"] = bias
    return full


def _tokenizer(path: Path, positions: int) -> PreTrainedTokenizerFast:
    """A tokenizer that puts <s> and </s> around what it reads, as training did."""
    backend = Tokenizer.from_file(str(path))
    tokens = {role: backend.id_to_token(number) for role, number in _SPECIAL.items()}
    bos, eos = tokens["bos"], tokens["eos"]
    backend.post_processor = TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, BOS), (eos, EOS)],
    )
    backend.no_truncation()
    backend.no_padding()
    names = {f"{role}_token": token for role, token in tokens.items()}
    if backend.token_to_id("<mask>") is not None:
        names["mask_token"] = "<mask>"
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=positions - PAD - 1, **names
    )
