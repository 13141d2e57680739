"""Batches without padding: sequences lie one after another in a row. The numbers are the same.

The encoder sees one row of all real tokens, with positions that start anew in every sequence, and
attention stays inside a sequence. Hidden states come back as a padded batch (zero at padding), so
that heads know nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from scaling.catalogue.architectures import Architecture
from scaling.spec import UserError

PACKED = "packed"
"""Name of the attention among those of transformers."""


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How a batch of B sequences, padded to L, lies as one row of T real tokens."""

    shape: tuple[int, int]
    lengths: tuple[int, ...]
    offsets: Tensor
    """B + 1, int32: where each sequence begins, and where they end."""
    places: Tensor
    """T: where each token is in the flattened batch."""
    positions: Tensor
    """1 x T: positions in a sequence, from 0."""

    def ids(self, input_ids: Tensor) -> Tensor:
        """B x L → 1 x T."""
        return input_ids.flatten()[self.places][None]

    def arguments(self, entry: Architecture) -> dict[str, Any]:
        """What an encoder has to be told beside the ids."""
        given: dict[str, Any] = {
            "position_ids": self.positions + entry.first_position,
            "attention_mask": None,
            "lengths": self.lengths,
            "offsets": self.offsets,
        }
        if entry.types:
            given["token_type_ids"] = torch.zeros_like(self.positions)
        if not entry.fits:
            # A causal class that is to see both ways, which makes no mask of its own then.
            given |= {"attention_mask": {"full_attention": None}, "is_causal": False}
        return given

    def spread(self, hidden: Tensor) -> Tensor:
        """… x 1 x T x H → … x B x L x H."""
        spread = hidden.new_zeros(
            *hidden.shape[:-3], self.shape[0] * self.shape[1], hidden.shape[-1]
        )
        return spread.index_copy(-2, self.places, hidden.squeeze(-3)).unflatten(-2, self.shape)


def packing_of(shape: tuple[int, int], lengths: tuple[int, ...], offsets: Tensor) -> Packing:
    """The packing of a batch whose real tokens come first in every row.

    shape: B and L; offsets: B + 1, on the device of the batch.
    """
    tokens = torch.arange(sum(lengths), dtype=torch.int32, device=offsets.device)
    rows = torch.searchsorted(offsets, tokens, right=True) - 1
    positions = (tokens - offsets[rows]).long()
    return Packing(
        shape=shape,
        lengths=lengths,
        offsets=offsets,
        places=rows * shape[1] + positions,
        positions=positions[None],
    )


def by_length(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: tuple[int, ...],
    offsets: Tensor,
    **how: Any,
) -> Tensor:
    """1 x heads x T x D → the same: one call for each run of neighbours of one length.

    Sorted batches have long runs.

    Args:
        query: 1 x heads x T x D.
        key: 1 x heads x T x D.
        value: 1 x heads x T x D.
        lengths: Tokens of each sequence; T together.
        how: Arguments of `scaled_dot_product_attention`.
    """
    found, start = [], 0
    for length, alike in groupby(lengths):
        number = len(list(alike))
        stop = start + number * length
        q, k, v = (
            one[0, :, start:stop].unflatten(1, (number, length)).transpose(0, 1)
            for one in (query, key, value)
        )
        part = nn.functional.scaled_dot_product_attention(q, k, v, **how)
        found.append(part.transpose(0, 1).flatten(1, 2))
        start = stop
    return torch.cat(found, dim=1)[None]


def jagged(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: tuple[int, ...],
    offsets: Tensor,
    **how: Any,
) -> Tensor:
    """1 x heads x T x D → the same: one call for all sequences, in any precision.

    Args:
        query: 1 x heads x T x D.
        key: 1 x heads x T x D.
        value: 1 x heads x T x D.
        lengths: Tokens of each sequence; T together.
        offsets: Shape (B + 1,): where each sequence begins, and where they end.
        how: Arguments of `scaled_dot_product_attention`.
    """
    q, k, v = (
        torch.nested.nested_tensor_from_jagged(
            one[0].transpose(0, 1).contiguous(),
            offsets.long(),
            min_seqlen=min(lengths),
            max_seqlen=max(lengths),
        ).transpose(1, 2)
        for one in (query, key, value)
    )
    found = nn.functional.scaled_dot_product_attention(q, k, v, **how)
    return found.transpose(1, 2).values().transpose(0, 1)[None]  # type: ignore[no-any-return]


def flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: tuple[int, ...],
    offsets: Tensor,
    *,
    dropout_p: float,
    scale: float | None,
    is_causal: bool = False,
) -> Tensor:
    """1 x heads x T x D → the same: one kernel for all sequences, on a GPU in half precision.

    Args:
        query: 1 x heads x T x D, and so are `key` and `value`.
        key: As `query`.
        value: As `query`.
        lengths: Tokens of each sequence.
        offsets: Where each sequence begins, and T, shape (sequences + 1,).
        dropout_p: Of the attention weights.
        scale: Of the scores; 1/√D if None.
        is_causal: Whether a token sees to the left only.
    """
    q, k, v = (one[0].transpose(0, 1) for one in (query, key, value))
    longest = max(lengths)
    # Without nested tensors around it, whose Python takes longer than the kernel.
    found, *_ = torch.ops.aten._flash_attention_forward(
        q, k, v, offsets, offsets, longest, longest, dropout_p, is_causal, False, scale=scale
    )
    return found.transpose(0, 1)[None]  # type: ignore[no-any-return]


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    lengths: tuple[int, ...],
    offsets: Tensor,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """As transformers calls it: 1 x heads x T x D each → 1 x T x heads x D.

    UserError where a layer's attention has a bias or a window that this one would leave out.
    """
    if position_bias is not None:
        raise UserError("attention with a bias of positions cannot be packed")
    if sliding_window is not None and max(lengths) > sliding_window:
        raise UserError(
            f"a text of {max(lengths)} tokens does not fit into the window of {sliding_window} that"
            " a layer attends within: it cannot be packed"
        )
    if key.shape[1] != query.shape[1]:
        # Several heads of queries share one of keys.
        groups = query.shape[1] // key.shape[1]
        key, value = (one.repeat_interleave(groups, 1) for one in (key, value))
    causal = bool(getattr(module, "is_causal", False)) if is_causal is None else is_causal
    half = query.dtype in (torch.bfloat16, torch.float16)
    attend = by_length if not query.is_cuda else flash if half else jagged
    found = attend(
        query, key, value, lengths, offsets, dropout_p=dropout, scale=scaling, is_causal=causal
    )
    return found.transpose(1, 2), None


AttentionInterface.register(PACKED, _attention)
# No mask at all: sequences are kept apart by their lengths.
AttentionMaskInterface.register(PACKED, lambda *args, **kwargs: None)
