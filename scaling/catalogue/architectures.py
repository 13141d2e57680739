"""What an architecture is: names, formulas and habits of a class of networks, as plain data.

Planning reads it without torch. Everything that staging, the network, the text form and the
planner must know of a class stands in one `Architecture`; the classes themselves are named, and
looked up by `scaling.encoders.encoder`. The entries are in `architecture_entries`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Precision = Literal["bf16", "fp32"]
"""Of the computation, as a recipe says it."""


class Shape(Protocol):
    """The numbers of one size that formulas read; a `ModelSpec` has them."""

    @property
    def hidden(self) -> int:
        """Width of the hidden states."""

    @property
    def ffn(self) -> int:
        """Width inside the feed-forward layers."""

    @property
    def num_heads(self) -> int:
        """Heads of attention."""

    @property
    def depth(self) -> int:
        """Layers that are used."""

    @property
    def vocab_rows(self) -> int:
        """Rows of the embedding matrix."""

    @property
    def positions(self) -> int | None:
        """Rows of learned positions; None where positions are computed."""

    @property
    def query_width(self) -> int:
        """Heads times their size."""

    @property
    def key_width(self) -> int:
        """Heads of keys times their size."""

    @property
    def width_of_head(self) -> int:
        """Size of one head."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Bytes that a layer keeps of each token for the backward pass, in multiples of its widths.

    Measured with saved-tensor hooks (`make bench-families`).
    """

    hidden: float
    ffn: float
    query: float = 0.0
    key: float = 0.0
    scores: float = 0.0
    """Times heads and tokens of the sequence: attention with a position bias is never fused."""
    heads: float = 0.0
    """Times heads: sums of the softmax, which fused attention has in fp32."""
    norms: float = 0.0
    """Times one: what norms know of a token, in fp32."""
    mask: float = 0.0
    """Times tokens of the sequence: where a class says by yes and no who attends to whom, attention
    makes numbers of it in every layer.
    """

    def bytes(self, shape: Shape, length: int) -> float:
        """Of one token in one layer, in sequences of so many tokens."""
        return (
            self.hidden * shape.hidden
            + self.ffn * shape.ffn
            + self.query * shape.query_width
            + self.key * shape.key_width
            + self.scores * shape.num_heads * length
            + self.heads * shape.num_heads
            + self.norms
            + self.mask * length
        )


_XLMR_READING: dict[str, object] = {
    "form": [["<s>"], ["</s>", "</s>"], ["</s>"]],
    "own_form": True,
    "anchor": "first",
    "label_on": "first",
    "word_mark": "",
}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A class of networks. A new one is an entry of `architecture_entries`."""

    name: str
    """As a ModelSpec writes it; part of a step's identity."""
    version: int = 1
    """Raised when a change here gives other numbers; part of the identity from 2 on."""
    config_class: str
    """Of transformers."""
    model_class: str
    """Of transformers: its name there, or `module:name` below `transformers.models`."""
    model_types: tuple[str, ...]
    """What a source's `config.json` may call itself."""

    # Names of modules and tensors.
    embedding: str = "embeddings.word_embeddings"
    layers: str = "encoder.layer"
    final_norm: str = ""
    """The norm behind the last layer, which makes an encoder pre-norm; none where each layer
    normalises its output.
    """
    prefixes: tuple[tuple[str, str], ...] = ()
    """Beginning of a tensor's name at the source → its own; the first that fits. Several names may
    become one if their tensors are equal.
    """
    dropped: tuple[str, ...] = ("pooler.",)
    """Beginnings of own names of what is no part of the encoder."""

    # The configuration.
    written: bool = False
    """Whether `config.json` is written from the ModelSpec alone; else the source's is copied."""
    dims: Mapping[str, str] = field(
        default_factory=lambda: {
            "num_heads": "num_attention_heads",
            "num_layers": "num_hidden_layers",
            "hidden": "hidden_size",
            "ffn": "intermediate_size",
            "vocab_rows": "vocab_size",
        }
    )
    """Field of the ModelSpec → key of the configuration that must agree."""
    fixed: Mapping[str, object] = field(default_factory=dict)
    """What the configuration says whatever the source's does."""
    older_keys: tuple[str, ...] = ()
    """Keys that the class reads though none of its fields is called so."""
    agreeing: Mapping[str, str] = field(default_factory=dict)
    """Older key that the class does not read → the one that it reads, which must say the same."""
    dropout: tuple[str, ...] = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    """Keys that the recipe's dropout sets."""
    special_ids: tuple[str, ...] = ("bos_token_id", "pad_token_id", "eos_token_id")
    """Keys that hold a token's id, which a trimmed vocabulary moves."""

    # Attention and positions.
    attention: str = "sdpa"
    sees: Literal["both", "left"] = "both"
    """Whether a token attends to those behind it."""
    fits: bool = True
    """Whether the class itself attends that way; else it is given the mask of the other way."""
    positions: Literal["learned", "computed"] = "computed"
    first_position: int = 0
    """Of learned positions, that of a text's first token."""
    types: int = 0
    """Rows of token types, of which a text has the first."""
    packs: bool = True
    """Whether attention without padding gives the same numbers: no bias of positions."""
    window: int = 0
    """Tokens that see each other in every layer whatever the window of some; 0 for all."""
    local_share: float = 0.0
    """Of the layers, those that attend within the window."""
    ends_on: tuple[int, int] = (1, 0)
    """(n, rest): `keep_layers` leaves a rest of `rest` when divided by n, so that the last layer
    that is kept attends to everything.
    """

    # Text.
    form: tuple[tuple[str, ...], ...] = ()
    """(before, between, after): tokens around texts where the tokenizer's template has none, or
    whatever it has with `own_form`.
    """
    own_form: bool = False
    pooling: Literal["first", "mean", "last"] = "first"
    """What stands for a text, unless a recipe says otherwise."""
    anchor: Literal["first", "last"] = "first"
    """The token that stands for no answer."""
    label_on: Literal["first", "last"] = "first"
    """The piece of a word that carries its tag."""
    word_mark: str = ""
    """Put before every word but a sentence's first, so that it has the pieces of running text."""
    language_model: Literal["masked", "none"] = "masked"
    """Whether a masked-LM head makes sense on it."""
    own_head: bool = False
    """Whether the source's masked-LM head is used, as `lm_head.*`."""

    # LoRA.
    lora: tuple[str, ...] = ("query", "value")
    """Ends of the modules that get adapters, unless a study says otherwise."""
    modules: tuple[str, ...] = (
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    )
    """Linear modules of a layer."""

    # Formulas.
    layer: Callable[[Shape], int]
    """Parameters of a layer."""
    beside: Callable[[Shape], int] = lambda shape: 0
    """Parameters of the backbone outside the layers."""
    around: Callable[[Shape], int] = lambda shape: 0
    """Parameters of the embeddings beside those of words: positions, types, their norm."""
    kept: Mapping[Precision, Kept]
    masks: Kept = Kept(hidden=2, ffn=0)
    """Bytes of dropout's masks, one an element, outside attention, which draws them again."""

    @property
    def target_ends(self) -> frozenset[str]:
        """Every way to name a module of a layer by its end: `query`, `attention.self.query`, …"""
        parts = [name.split(".") for name in self.modules]
        return frozenset(".".join(names[at:]) for names in parts for at in range(len(names)))

    @property
    def reading(self) -> dict[str, object]:
        """How texts become tokens, beyond what the tokenizer says; empty for XLM-R's own form.

        Part of what cached features are called.
        """
        found = {
            "form": [list(tokens) for tokens in self.form],
            "own_form": self.own_form,
            "anchor": self.anchor,
            "label_on": self.label_on,
            "word_mark": self.word_mark,
        }
        return {} if found == _XLMR_READING else found

    @property
    def words(self) -> str:
        """Name of the word embeddings' tensor."""
        return f"{self.embedding}.weight"

    @property
    def is_pre_norm(self) -> bool:
        """Whether inner hidden states are raw sums, which only the last norm brings to scale."""
        return bool(self.final_norm)

    def backbone_params(self, shape: Shape) -> int:
        """Parameters outside all embeddings."""
        return shape.depth * self.layer(shape) + self.beside(shape)

    def embedding_params(self, shape: Shape) -> int:
        """Parameters of all embeddings, with their norm where there is one."""
        return shape.vocab_rows * shape.hidden + self.around(shape)

    def attended(self, length: int) -> float:
        """Tokens that a token attends to, mean over the layers; causal ones are not halved."""
        near = min(length, 2 * self.window - 1) if self.window else length
        return self.local_share * near + (1 - self.local_share) * length

    def most_tokens(self, positions: int | None) -> int | None:
        """The longest text that so many learned positions take; None where there is no limit."""
        if self.positions == "computed" or positions is None:
            return None
        return positions - self.first_position

    def why_not_packed(self, max_length: int) -> str:
        """Why texts of this length may not be packed; empty where they may."""
        if not self.packs:
            return (
                f"{self.name} adds a bias of positions to its attention, which packing leaves out"
            )
        if self.window and max_length > self.window:
            return (
                f"layers of {self.name} attend within a window, and texts of more than"
                f" {self.window} tokens do not fit into it: max_length is {max_length}"
            )
        return ""
