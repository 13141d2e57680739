"""Trained weights as a folder that `AutoModelFor…` and `AutoTokenizer` open, with equal outputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.initialization import no_init_weights

from scaling.catalogue.architecture_entries import ARCHITECTURES
from scaling.catalogue.architectures import Architecture
from scaling.catalogue.task import TaskSpec
from scaling.data.tokens import raw_tokenizer, text_form
from scaling.encoders.checkpoint import read_index
from scaling.encoders.encoder import Weights, make_config
from scaling.spec import UserError
from scaling.study.recipes import Recipe


@dataclass(frozen=True, kw_only=True)
class HeadForm:
    """How transformers names the same head."""

    ending: str
    """Of its class: `XLMRoberta` and this."""
    layers: Mapping[str, str]
    """Our layer → its."""


@dataclass(frozen=True, kw_only=True)
class _Classes:
    """What transformers has for the encoders of an architecture."""

    name: str
    """Beginning of its classes' names."""
    alone: str = "Model"
    """Ending of the class of the encoder alone."""
    heads: Mapping[str, HeadForm] = field(default_factory=dict)
    """Kind of task → its head, where it is ours."""


def _text_heads(pooler: str, dense: str, out: str) -> dict[str, HeadForm]:
    """Of BERT's kind: a dense layer on the first token, then the outputs.

    pooler: the dense layer of multiple choice. dense, out: both layers of classification.
    """
    return {
        "classification": HeadForm(
            ending="ForSequenceClassification", layers={"head.dense": dense, "head.out": out}
        ),
        "multiple_choice": HeadForm(
            ending="ForMultipleChoice", layers={"head.dense": pooler, "head.out": "classifier"}
        ),
    }


def _tags(layer: str) -> dict[str, HeadForm]:
    form = HeadForm(ending="ForTokenClassification", layers={"head.out": layer})
    return {"tagging": form}


_SPANS = {"span_qa": HeadForm(ending="ForQuestionAnswering", layers={"head.out": "qa_outputs"})}
_ROBERTA_HEADS = {
    **_text_heads("roberta.pooler.dense", "classifier.dense", "classifier.out_proj"),
    **_tags("classifier"),
    **_SPANS,
    "masked_lm": HeadForm(
        ending="ForMaskedLM",
        layers={"head.dense": "lm_head.dense", "head.norm": "lm_head.layer_norm"},
    ),
}
_CLASSES = {
    "xlm-roberta": _Classes(name="XLMRoberta", heads=_ROBERTA_HEADS),
    "xlm-roberta-xl": _Classes(name="XLMRobertaXL", heads=_ROBERTA_HEADS),
    "bert": _Classes(
        name="Bert",
        heads={
            **_text_heads("bert.pooler.dense", "bert.pooler.dense", "classifier"),
            **_tags("classifier"),
            **_SPANS,
        },
    ),
    "mt5": _Classes(name="MT5", alone="EncoderModel", heads=_tags("classifier")),
    "umt5": _Classes(name="UMT5", alone="EncoderModel", heads=_tags("classifier")),
    "eurobert": _Classes(name="EuroBert", heads=_tags("classifier")),
    "modernbert": _Classes(name="ModernBert"),
    "qwen3": _Classes(name="Qwen3", heads={**_tags("score"), **_SPANS}),
    "gemma3": _Classes(name="Gemma3Text"),
}
_ROLES = {"<unk>": "unk", "[UNK]": "unk", "<mask>": "mask", "<|mask|>": "mask", "[MASK]": "mask"}


def head_form(task: TaskSpec, recipe: Recipe, architecture: str) -> HeadForm | str:
    """Transformers' form of a task's head, or why it has none."""
    if task.kind == "retrieval":
        return f"a task of kind {task.kind} has no head: it compares means of hidden states"
    if architecture in _CLASSES:
        heads = _CLASSES[architecture].heads
        if task.kind not in heads:
            return f"transformers' classes of {architecture} have another head for {task.kind}"
        if task.kind in ("classification", "multiple_choice") and recipe.pooling != "first":
            return f"transformers' head reads <s>, this one the {recipe.pooling} of all tokens"
        return heads[task.kind]
    return f"transformers has no class for {architecture}"


def write_auto_model(
    weights: Weights,
    form: HeadForm | str,
    labels: tuple[str, ...],
    pretrained_words: Callable[[], Tensor],
    tokenizer: Path,
    out: Path,
) -> str:
    """Write the folder; the name of the class that opens it.

    UserError where a trimmed vocabulary cannot be made whole again, and for an architecture whose
    class would compute something else.

    Args:
        weights: The trained weights.
        form: Of `head_form`; a reason gives the encoder alone.
        labels: Names of the outputs of a classification or tagging; () elsewhere.
        pretrained_words: The pretrained word embeddings V x H, asked for where rows were trimmed.
        tokenizer: The `tokenizer.json` that the ids are of.
        out: A folder that is empty or not there.
    """
    entry, classes = ARCHITECTURES[weights.architecture], _CLASSES.get(weights.architecture)
    if classes is None:
        raise UserError(
            f"{weights.architecture}: no class of transformers attends as it does, and what opens"
            f" its folder would give other outputs; the encoder's weights are in {weights.folder},"
            f" under the names of {entry.model_class}"
        )
    state = {name: stored.read() for name, stored in read_index(weights.folder).items()}
    fields = json.loads((weights.folder / "config.json").read_text(encoding="utf-8"))
    if weights.kept_rows is not None:
        kept = torch.from_numpy(np.load(weights.kept_rows, allow_pickle=False))
        state = _with_all_rows(state, entry.words, kept, pretrained_words())
        if not entry.written:
            # Special tokens had the numbers of their rows.
            own = {key: fields.get(key) for key in entry.special_ids}
            fields |= {key: int(kept[row]) for key, row in own.items() if isinstance(row, int)}
    words = state[entry.words]
    fields[entry.dims["vocab_rows"]] = words.shape[0]
    config = make_config(weights.architecture, fields, 0.1)
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: number for number, label in enumerate(labels)}
    ending = classes.alone if isinstance(form, str) else form.ending
    name = f"{classes.name}{ending}"
    extra = {"add_pooling_layer": False} if ending == "Model" and _has_pooler(entry) else {}
    with no_init_weights():
        model = getattr(transformers, name)._from_config(config, dtype=words.dtype, **extra)
    base = "" if isinstance(form, str) else f"{model.base_model_prefix}."
    # Of T5's classes the encoder is a part, which shares its words with the whole.
    inner = "encoder." if classes.alone == "EncoderModel" else ""
    named = _renamed(state, base + inner, None if isinstance(form, str) else form)
    if inner:
        named[f"{base}shared.weight"] = words
    if ending == "ForMaskedLM":
        # A head that was new has no bias.
        named.setdefault("lm_head.bias", torch.zeros_like(words[:, 0]))
        named["lm_head.decoder.bias"] = named["lm_head.bias"]
        named["lm_head.decoder.weight"] = named[f"{base}{entry.words}"]
    model.load_state_dict(named, assign=True)
    model.tie_weights()
    model.save_pretrained(out)
    most = entry.most_tokens(fields.get("max_position_embeddings"))
    ids = {role: fields.get(f"{role}_token_id") for role in ("bos", "pad", "eos")}
    _tokenizer(tokenizer, entry, most, ids).save_pretrained(out)
    return name


def _has_pooler(entry: Architecture) -> bool:
    return "pooler." in entry.dropped


def _renamed(state: Mapping[str, Tensor], base: str, form: HeadForm | None) -> dict[str, Tensor]:
    """Tensors by transformers' names, each of its own shape; without a form the encoder's alone.

    base: where the encoder is in the class.
    """
    named = {}
    for name, value in state.items():
        layer, _, part = name.rpartition(".")
        if not name.startswith(("head.", "lm_head.")):
            named[f"{base}{name}"] = value
        elif form is not None and layer in form.layers:
            named[f"{form.layers[layer]}.{part}"] = value
        elif form is not None and name.startswith("lm_head.") and form.ending == "ForMaskedLM":
            named[name] = value
    return named


def _with_all_rows(
    state: Mapping[str, Tensor], words: str, kept: Tensor, pretrained: Tensor
) -> dict[str, Tensor]:
    """Tensors whose rows of words are all there; those that were trimmed are as pretrained.

    Args:
        state: Tensors by name, each of its own shape.
        words: Name of the word embeddings.
        kept: Ids of the rows that were trained, shape (K,).
        pretrained: The pretrained word embeddings V x H.
    """
    if int(kept.max()) >= len(pretrained):
        raise UserError(
            "the vocabulary was extended and then trimmed: rows of new pieces that no text used"
            " are nowhere. Train without trim_vocabulary to export it"
        )
    whole = pretrained.to(state[words].dtype).clone()
    whole[kept] = state[words]
    full = {**state, words: whole}
    if "lm_head.bias" in state:
        bias = torch.full((len(whole),), float(state["lm_head.bias"].min())).to(whole.dtype)
        bias[kept] = state["lm_head.bias"]
        full["lm_head.bias"] = bias
    return full


def _tokenizer(
    path: Path, entry: Architecture, most: int | None, ids: Mapping[str, object]
) -> PreTrainedTokenizerFast:
    """A tokenizer that puts around what it reads what training did.

    Args:
        path: A `tokenizer.json`.
        entry: Whose form texts have.
        most: Tokens of a text at most; None for any number.
        ids: Role of a special token → its id in the configuration, or None.
    """
    form, backend = text_form(path, entry), raw_tokenizer(path)
    before, between, after = (
        [backend.id_to_token(one) for one in part]
        for part in (form.before, form.between, form.after)
    )
    around = {backend.id_to_token(one): one for one in form.before + form.between + form.after}
    backend.post_processor = TemplateProcessing(
        single=[*before, "$A", *after],
        pair=[*before, "$A", *between, "$B", *after],
        special_tokens=list(around.items()),
    )
    own = {role: backend.id_to_token(one) for role, one in ids.items() if isinstance(one, int)}
    own |= {role: token for token, role in _ROLES.items() if backend.token_to_id(token) is not None}
    if entry.anchor == "first" and before:
        own |= {"cls": before[0]}
    if after:
        # Padding is masked: any token will do where a family has none of its own.
        own = {"pad": after[-1], "sep": after[-1]} | own
    names = {f"{role}_token": token for role, token in own.items() if token is not None}
    limit = {} if most is None else {"model_max_length": most}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **limit, **names)
