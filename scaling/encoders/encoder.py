"""An encoder with a task head: what is trained and scored. Architectures are looked up by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from transformers.initialization import no_init_weights

from scaling.catalogue.architecture_entries import ARCHITECTURES
from scaling.encoders.packing import PACKED, packing_of
from scaling.kinds.heads import TiedHead

# Fields of a `config.json` that name a class or a type of number.
_NAMES = ("model_type", "architectures", "dtype", "torch_dtype", "transformers_version")


def config_class(architecture: str) -> Any:
    """The configuration's class of an architecture."""
    return getattr(transformers, ARCHITECTURES[architecture].config_class)


def model_class(architecture: str) -> Any:
    """The class of an architecture's encoder."""
    module, _, name = ARCHITECTURES[architecture].model_class.rpartition(":")
    return getattr(import_module(f"transformers.models.{module}") if module else transformers, name)


def _no_pooler(architecture: str) -> dict[str, bool]:
    has_one = "pooler." in ARCHITECTURES[architecture].dropped
    return {"add_pooling_layer": False} if has_one else {}


def make_config(
    architecture: str, fields: Mapping[str, Any], dropout: float, attention: str = ""
) -> Any:
    """The Hugging Face configuration of a `config.json`, for the named architecture.

    Args:
        architecture: Its name.
        fields: The fields of the `config.json`; those that name a class or a dtype are left out.
        dropout: Rate wherever the architecture has one.
        attention: Name of the attention function among those of transformers; the architecture's
            own if empty.
    """
    entry = ARCHITECTURES[architecture]
    raw = {key: value for key, value in fields.items() if key not in _NAMES}
    # The state of the last layer that is computed stays what every other state is: before the last
    # norm of a pre-LayerNorm encoder, which belongs behind all layers.
    own = {
        **dict.fromkeys(entry.dropout, dropout),
        "attn_implementation": attention or entry.attention,
        "tie_last_hidden_states": False,
    }
    config = config_class(architecture)(**{**raw, **own})
    # Some classes work a value out from others whatever they are given.
    for key, value in entry.fixed.items():
        setattr(config, key, value)
    return config


def empty_encoder(architecture: str, config: Any) -> nn.Module:
    """The encoder with parameters that are allocated and not set: no random draw is wasted."""
    with no_init_weights():
        empty: nn.Module = model_class(architecture)._from_config(
            config, dtype=torch.float32, **_no_pooler(architecture)
        )
    return empty


def random_encoder(architecture: str, config: Any, seed: int) -> nn.Module:
    """The encoder with weights drawn from a seed, as before any pretraining."""
    torch.manual_seed(seed)
    drawn: nn.Module = model_class(architecture)._from_config(
        config, dtype=torch.float32, **_no_pooler(architecture)
    )
    return drawn


def wanted_shapes(architecture: str, config: Any) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter by name, without allocating any."""
    with torch.device("meta"):
        model = empty_encoder(architecture, config)
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A staged or exported directory, verified: what a training or a scoring starts from."""

    folder: Path
    architecture: str
    kept_rows: Path | None
    """For a trimmed vocabulary: row of the matrix → token id."""
    random_init: int | None = None
    """Seed of random weights: only the configuration is read then."""

    def beside(self) -> dict[str, bytes]:
        """Files that belong to the tensors, by name: an export writes them beside its shards."""
        files = [self.folder / "config.json", *([] if self.kept_rows is None else [self.kept_rows])]
        return {file.name: file.read_bytes() for file in files}


class Encoder(nn.Module):
    """A pretrained encoder and its head; `forward` gives hidden states, not the head's output."""

    def __init__(self, encoder: nn.Module, head: nn.Module, architecture: str) -> None:
        super().__init__()
        self.encoder, self.head, self.entry = encoder, head, ARCHITECTURES[architecture]
        for layers in self.heads:
            if isinstance(layers, TiedHead):
                layers.tie(encoder.get_submodule(self.entry.embedding))  # type: ignore[arg-type]

    @property
    def heads(self) -> list[nn.Module]:
        """The head of each task that is trained together; one in most trainings."""
        return list(self.head) if isinstance(self.head, nn.ModuleList) else [self.head]

    def head_of(self, member: int) -> nn.Module:
        """The head of a member of the training, by its number."""
        return self.heads[member]

    def idle(self, member: int, hidden: Tensor) -> Tensor:
        """Zero (a scalar) that gives the heads of all other members a gradient of zero.

        hidden: B x L x H. DeepSpeed's stages differ in what they do to a parameter without a
        gradient: stage 3 keeps its last one.
        """
        zero = hidden.new_zeros(1, hidden.shape[-1])
        others = [head for at, head in enumerate(self.heads) if at != member]
        total = zero.sum()
        for head in others:
            layers = (
                [head]
                if isinstance(head, TiedHead)
                else [m for m in head.modules() if isinstance(m, nn.Linear)]
            )
            total = total + sum((layer(zero).sum() for layer in layers), start=zero.sum())
        return 0.0 * total

    def forward(
        self,
        input_ids: Tensor,
        mask: Tensor,
        depth: float | Sequence[float] | None = None,
        lengths: tuple[int, ...] | None = None,
        offsets: Tensor | None = None,
    ) -> Tensor:
        """Hidden states B x L x H, of the last layer or at a fraction of the depth.

        Several depths give D x B x L x H, from one pass.

        Args:
            input_ids: B x L.
            mask: B x L, 1 at real tokens, which come first.
            depth: Fraction of the layers, or several.
            lengths: Real tokens of each row. Without them the device is asked, and waited for.
            offsets: B + 1, int32: the sums of the lengths before each row, and of all.
        """
        if self.encoder.config._attn_implementation != PACKED:  # type: ignore[union-attr]
            given = {"input_ids": input_ids, **self._masked(mask, lengths)}
            if self.entry.positions == "learned":
                # From the mask: a text may have the padding's id in its middle.
                positions = mask.cumsum(1) * mask + self.entry.first_position - 1
                given["position_ids"] = positions.clamp(min=0)
            return self._states(given, depth)
        if lengths is None or offsets is None:
            counts = mask.sum(1)
            lengths, offsets = (
                tuple(counts.tolist()),
                nn.functional.pad(counts.cumsum(0), (1, 0)).int(),
            )
        pack = packing_of((mask.shape[0], mask.shape[1]), lengths, offsets)
        given = {**pack.arguments(self.entry), "input_ids": pack.ids(input_ids)}
        return pack.spread(self._states(given, depth))

    def _masked(self, mask: Tensor, lengths: tuple[int, ...] | None) -> dict[str, Any]:
        """How the encoder is told what is padding: B x L, or what the class makes of it.

        mask: B x L. lengths: real tokens of each row.
        """
        if self.entry.positions == "learned":
            return {"attention_mask": self._bias(mask, lengths)}
        if self.entry.fits:
            # Windows, biases and what is to the left are for the class to add.
            alike = lengths is not None and len(set(lengths)) == 1
            return {"attention_mask": None if alike else mask}
        # A causal class that is to see both ways takes a whole mask as it is; without a mask, or in
        # a pass without padding, it would be causal again.
        counts = lengths if lengths is not None else tuple(mask.sum(1).tolist())
        return {
            "attention_mask": {"full_attention": self._bias(mask, counts)},
            "is_causal": False,
        }

    def _bias(self, mask: Tensor, lengths: tuple[int, ...] | None) -> Tensor | None:
        """B x 1 x L x L, 0 or -inf, in the precision of the computation; None where all attend to
        all, and the mask itself where only the device knows.

        Made here once: of a plain mask every layer would make it again.
        """
        if lengths is None:
            return mask
        if len(set(lengths)) == 1:
            return None
        device = mask.device.type
        # Not by a parameter's name: under ZeRO-3 the ranks that ask for one here would gather it
        # here too, and those whose texts are equally long would not.
        dtype = (
            torch.get_autocast_dtype(device)
            if torch.is_autocast_enabled(device)
            else next(self.parameters()).dtype
        )
        length = mask.shape[1]
        # Rows that begin at a multiple of 8 elements are what attention kernels take as it is.
        rows = nn.functional.pad(mask, (0, -length % 8))
        bias = torch.zeros(rows.shape, dtype=dtype, device=rows.device)
        bias.masked_fill_(rows == 0, -torch.inf)
        return bias[:, None, None, :length].expand(-1, 1, length, length)

    def _states(self, given: Mapping[str, Any], depth: float | Sequence[float] | None) -> Tensor:
        owner, name = self._place_of_layers()
        layers = getattr(owner, name)
        count = len(layers)
        if isinstance(depth, Sequence):
            wanted = [max(1, round(fraction * count)) for fraction in depth]
            output = self.encoder(**given, output_hidden_states=True)
            states = {
                index: self._normalised(output.hidden_states[index])
                for index in wanted
                if index < count
            }
            return torch.stack([states.get(index, output.last_hidden_state) for index in wanted])
        index = count if depth is None else max(1, round(depth * count))
        if index == count:
            return self.encoder(**given).last_hidden_state  # type: ignore[no-any-return]
        # Layers above the wanted one are not computed at all.
        setattr(owner, name, layers[:index])
        try:
            output = self.encoder(**given, output_hidden_states=True)
        finally:
            setattr(owner, name, layers)
        return self._normalised(output.hidden_states[index])

    def _place_of_layers(self) -> tuple[nn.Module, str]:
        """The module that has the list of layers, and the list's name."""
        owner, _, name = self.entry.layers.rpartition(".")
        return self.encoder.get_submodule(owner), name

    def _normalised(self, hidden: Tensor) -> Tensor:
        """B x L x H → the same, on the scale of a layer norm's output."""
        # Layers that normalise their input have raw sums for inner states.
        if self.entry.is_pre_norm:
            return nn.functional.layer_norm(hidden, hidden.shape[-1:])
        return hidden


def config_of(weights: Weights, dropout: float, *, packed: bool = False) -> Any:
    """The Hugging Face configuration of a directory, for the named architecture."""
    fields = json.loads((weights.folder / "config.json").read_text())
    return make_config(weights.architecture, fields, dropout, PACKED if packed else "")


def row_lookup(weights: Weights) -> np.ndarray | None:
    """Token id → row of a trimmed matrix, -1 for dropped ids, shape (V,); None if it is whole."""
    if weights.kept_rows is None:
        return None
    kept = np.load(weights.kept_rows, allow_pickle=False)
    lookup = np.full(int(kept.max()) + 1, -1, dtype=np.int64)
    lookup[kept] = np.arange(len(kept))
    return lookup
