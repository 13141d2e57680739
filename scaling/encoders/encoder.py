"""An encoder with a task head: what is trained and scored. Architectures are looked up by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaXLConfig, XLMRobertaXLModel
from transformers.initialization import no_init_weights

from scaling.encoders.packing import PACKED, packing_of
from scaling.kinds.heads import TiedHead
from scaling.kinds.kind import PAD

CLASSES: dict[str, tuple[Any, Any]] = {
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel),
    "xlm-roberta-xl": (XLMRobertaXLConfig, XLMRobertaXLModel),
}


def make_config(
    architecture: str, fields: Mapping[str, Any], dropout: float, attention: str = "sdpa"
) -> Any:
    """The Hugging Face configuration of a `config.json`, for the named architecture.

    Args:
        architecture: A key of `CLASSES`.
        fields: The fields of the `config.json`; those that name a class or a dtype are left out.
        dropout: Rate after hidden layers and on attention weights.
        attention: Name of the attention function among those of transformers.
    """
    config_class, _ = CLASSES[architecture]
    raw = {
        key: value
        for key, value in fields.items()
        if key not in ("model_type", "architectures", "dtype")
    }
    # The state of the last layer that is computed stays what every other state is: before the last
    # norm of a pre-LayerNorm encoder, which belongs behind all layers.
    own = {
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "attn_implementation": attention,
        "tie_last_hidden_states": False,
    }
    return config_class(**{**raw, **own})


def empty_encoder(architecture: str, config: Any) -> nn.Module:
    """The encoder with parameters that are allocated and not set: no random draw is wasted."""
    _, model_class = CLASSES[architecture]
    with no_init_weights():
        empty: nn.Module = model_class._from_config(
            config, dtype=torch.float32, add_pooling_layer=False
        )
    return empty


def random_encoder(architecture: str, config: Any, seed: int) -> nn.Module:
    """The encoder with weights drawn from a seed, as before any pretraining."""
    _, model_class = CLASSES[architecture]
    torch.manual_seed(seed)
    drawn: nn.Module = model_class._from_config(
        config, dtype=torch.float32, add_pooling_layer=False
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
        self.encoder, self.head, self.architecture = encoder, head, architecture
        for layers in self.heads:
            if isinstance(layers, TiedHead):
                layers.tie(encoder.embeddings.word_embeddings)  # type: ignore[union-attr, arg-type]

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
            given = {
                "input_ids": input_ids,
                "attention_mask": self._bias(mask, lengths),
                # From the mask: a text may have the padding's id in its middle.
                "position_ids": mask.cumsum(1) * mask + PAD,
            }
            return self._states(given, depth)
        if lengths is None or offsets is None:
            counts = mask.sum(1)
            lengths, offsets = (
                tuple(counts.tolist()),
                nn.functional.pad(counts.cumsum(0), (1, 0)).int(),
            )
        pack = packing_of((mask.shape[0], mask.shape[1]), lengths, offsets)
        given = {"input_ids": pack.ids(input_ids), "attention_mask": None, **pack.arguments}
        return pack.spread(self._states(given, depth))

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
        layers = self.encoder.encoder.layer  # type: ignore[union-attr]
        count = len(layers)  # type: ignore[arg-type]
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
        self.encoder.encoder.layer = layers[:index]  # type: ignore[union-attr, index]
        try:
            output = self.encoder(**given, output_hidden_states=True)
        finally:
            self.encoder.encoder.layer = layers  # type: ignore[union-attr]
        return self._normalised(output.hidden_states[index])

    def _normalised(self, hidden: Tensor) -> Tensor:
        """B x L x H → the same, on the scale of a layer norm's output."""
        # XL's layers normalise their input, so that its inner states are raw sums. The layers of
        # the other sizes normalise their output.
        if self.architecture == "xlm-roberta-xl":
            return nn.functional.layer_norm(hidden, hidden.shape[-1:])
        return hidden


def config_of(weights: Weights, dropout: float, *, packed: bool = False) -> Any:
    """The Hugging Face configuration of a directory, for the named architecture."""
    fields = json.loads((weights.folder / "config.json").read_text())
    return make_config(weights.architecture, fields, dropout, PACKED if packed else "sdpa")


def row_lookup(weights: Weights) -> np.ndarray | None:
    """Token id → row of a trimmed matrix, -1 for dropped ids, shape (V,); None if it is whole."""
    if weights.kept_rows is None:
        return None
    kept = np.load(weights.kept_rows, allow_pickle=False)
    lookup = np.full(int(kept.max()) + 1, -1, dtype=np.int64)
    lookup[kept] = np.arange(len(kept))
    return lookup
