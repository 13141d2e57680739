"""Heads and what they are made of; new layers are initialised as in BERT."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scaling.study.recipes import Recipe


def init_linear(layer: nn.Linear) -> nn.Linear:
    """The layer with BERT's initial values: weights normal with SD 0.02, bias zero."""
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """… x B x L x H, B x L → … x B x H: the mean over real tokens."""
    weights = mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weights).sum(-2) / weights.sum(-2).clamp(min=1)


def pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """B x L x H, B x L → B x H: the first token, the last real one, or the mean of all of them."""
    if pooling == "first":
        return hidden[:, 0]
    if pooling == "last":
        rows = torch.arange(hidden.shape[0], device=hidden.device)
        return hidden[rows, mask.sum(1) - 1]
    return mean_pool(hidden, mask)


class TextHead(nn.Module):
    """A dense layer on <s>, as in XLM-R, on the last token or on the mean of all; then the outputs.

    `drop_input`: whether dropout stands before the dense layer too, as in transformers' class for
    classification; in that for multiple choice it does not.
    """

    def __init__(self, hidden: int, outputs: int, recipe: Recipe, *, drop_input: bool) -> None:
        super().__init__()
        self.pooling = recipe.pooling
        self.dropout = nn.Dropout(recipe.dropout)
        self.drop_input = nn.Dropout(recipe.dropout if drop_input else 0.0)
        self.dense = init_linear(nn.Linear(hidden, hidden))
        self.out = init_linear(nn.Linear(hidden, outputs))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """hidden B x L x H, mask B x L → B x outputs."""
        text = pool(hidden, mask, self.pooling)
        return self.out(self.dropout(torch.tanh(self.dense(self.drop_input(text)))))


class TokenHead(nn.Module):
    """One linear layer on every token, as in XLM-R: behind dropout for tags, without for spans."""

    def __init__(self, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = init_linear(nn.Linear(hidden, outputs))

    def forward(self, hidden: Tensor) -> Tensor:
        """B x L x H → B x L x outputs."""
        return self.out(self.dropout(hidden))


class TiedHead(nn.Module):
    """Dense, GELU, layer norm, then the word embeddings themselves as decoder.

    The embeddings are the encoder's and are neither saved nor counted here; `encoders.encoder` ties
    them. A checkpoint's own masked-LM head is the start where it has one, with a bias by vocabulary
    row. Where it has none, the dense layer starts as the identity, so that a new head changes
    nothing at first, and there is no bias.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        nn.init.eye_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)
        self.norm = nn.LayerNorm(hidden)
        self.bias: nn.Parameter | None = None
        self._embeddings: tuple[nn.Embedding, ...] = ()

    def tie(self, embeddings: nn.Embedding) -> None:
        """Decode with these embeddings."""
        # In a tuple, so that torch does not take it for a part of this module.
        self._embeddings = (embeddings,)

    def expect_pretrained(self, vocabulary_rows: int, layer_norm_eps: float) -> None:
        """Take the form of a checkpoint's head, whose values are about to be loaded."""
        self.norm.eps = layer_norm_eps
        self.bias = nn.Parameter(torch.zeros(vocabulary_rows))

    @property
    def embeddings(self) -> nn.Embedding:
        """The word embeddings that it was tied to."""
        return self._embeddings[0]

    def forward(self, hidden: Tensor) -> Tensor:
        """N x H → N x vocabulary rows."""
        text = self.norm(nn.functional.gelu(self.dense(hidden)))
        return nn.functional.linear(text, self.embeddings.weight, self.bias)
