"""An encoder with a task head: what is trained and scored. Architecture by name, never by
guessing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaXLConfig, XLMRobertaXLModel
from transformers.initialization import no_init_weights

from scaling.encoders.packing import PACKED, Packing, packing_of
from scaling.kinds.heads import TiedHead

CLASSES: dict[str, tuple[Any, Any]] = {
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel),
    "xlm-roberta-xl": (XLMRobertaXLConfig, XLMRobertaXLModel),
}


def make_config(
    architecture: str, fields: Mapping[str, Any], dropout: float, attention: str = "sdpa"
) -> Any:
    """The Hugging Face configuration of a `config.json`, for the named architecture."""
    config_class, _ = CLASSES[architecture]
    raw = {
        key: value
        for key, value in fields.items()
        if key not in ("model_type", "architectures", "dtype")
    }
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return config_class(**{**raw, **rates, "attn_implementation": attention})


def empty_encoder(architecture: str, config: Any) -> nn.Module:
    """The encoder, its parameters allocated and not set: nothing is drawn only to be
    overwritten.
    """
    _, model_class = CLASSES[architecture]
    with no_init_weights():
        return model_class._from_config(config, dtype=torch.float32, add_pooling_layer=False)  # type: ignore[no-any-return]


def random_encoder(architecture: str, config: Any, seed: int) -> nn.Module:
    """The encoder with weights drawn from a seed, as before any pretraining."""
    _, model_class = CLASSES[architecture]
    torch.manual_seed(seed)
    return model_class._from_config(config, dtype=torch.float32, add_pooling_layer=False)  # type: ignore[no-any-return]


def wanted_shapes(architecture: str, config: Any) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter, without allocating any."""
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
        """What belongs to the tensors, by file name: an export goes into a directory of the same
        form.
        """
        files = [self.folder / "config.json", *([] if self.kept_rows is None else [self.kept_rows])]
        return {file.name: file.read_bytes() for file in files}


_OTHER_HEAD = re.compile(r"head\.[1-9]")


class Encoder(nn.Module):
    """Pretrained encoder + head. `forward` gives hidden states, of the last layer or at a fraction
    of the depth.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, architecture: str) -> None:
        super().__init__()
        self.encoder, self.head, self.architecture = encoder, head, architecture
        for one in self.heads:
            if isinstance(one, TiedHead):
                one.tie(encoder.embeddings.word_embeddings)  # type: ignore[union-attr, arg-type]

    def stored_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """What an export holds, under the names of a plain encoder: of several heads the first,
        adapters merged.

        The heads of other tasks end with their training.
        """
        several = len(self.heads) > 1
        named = [
            (name, p)
            for name, p in self.named_parameters()
            if not several or not _OTHER_HEAD.match(name)
        ]
        plain = [
            (name.replace(".base_layer.", "."), p) for name, p in named if ".lora_" not in name
        ]
        return [(name.replace("head.0.", "head.", 1) if several else name, p) for name, p in plain]

    @property
    def heads(self) -> list[nn.Module]:
        """The head of each task that is trained together; one in most trainings."""
        return list(self.head) if isinstance(self.head, nn.ModuleList) else [self.head]

    def head_of(self, member: int) -> nn.Module:
        return self.heads[member]

    def idle(self, member: int, hidden: Tensor) -> Tensor:
        """Zero, with a gradient of zero for the heads of the other members.

        DeepSpeed's stages differ in what they do to a parameter without a gradient: stage 3 keeps
        its last one.
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
        self, input_ids: Tensor, mask: Tensor, depth: float | Sequence[float] | None = None
    ) -> Tensor:
        """input_ids, mask: B x L → hidden states B x L x H, of the last layer or at a fraction of
        the depth.

        Several depths give D x B x L x H, from one pass.
        """
        if self.encoder.config._attn_implementation == PACKED:  # type: ignore[union-attr]
            pack = packing_of(mask)
            return pack.spread(self._states(pack.ids(input_ids), None, depth, pack))
        return self._states(input_ids, mask, depth, None)

    def _states(
        self,
        input_ids: Tensor,
        mask: Tensor | None,
        depth: float | Sequence[float] | None,
        pack: Packing | None,
    ) -> Tensor:
        given = {"input_ids": input_ids, "attention_mask": mask, **(pack.arguments if pack else {})}
        layers = self.encoder.encoder.layer  # type: ignore[union-attr]
        count = len(layers)  # type: ignore[arg-type]
        if isinstance(depth, Sequence):
            wanted = [max(1, round(one * count)) for one in depth]
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
        # Pre-LN: an inner state is the raw residual stream; the post-LN sizes are normalised in
        # every layer.
        if self.architecture == "xlm-roberta-xl":
            return nn.functional.layer_norm(hidden, hidden.shape[-1:])
        return hidden


def config_of(weights: Weights, dropout: float, *, packed: bool = False) -> Any:
    """The Hugging Face configuration of a directory, for the named architecture."""
    fields = json.loads((weights.folder / "config.json").read_text())
    return make_config(weights.architecture, fields, dropout, PACKED if packed else "sdpa")


def row_lookup(weights: Weights) -> np.ndarray | None:
    """Token id → row of a trimmed matrix (-1: dropped); None where the matrix is whole."""
    if weights.kept_rows is None:
        return None
    kept = np.load(weights.kept_rows, allow_pickle=False)
    lookup = np.full(int(kept.max()) + 1, -1, dtype=np.int64)
    lookup[kept] = np.arange(len(kept))
    return lookup
