"""What a finished step writes, last of all. A step is done if and only if its record exists.

Everything here is plain data with a schema version; `to_json` and `from_json` are exact inverses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from scaling.spec import UserError

SCHEMA_VERSION = 1


class CorruptRecord(UserError):
    """A record that cannot be trusted: not JSON, of another schema, or with missing fields."""


@dataclass(frozen=True, kw_only=True)
class EvalRow:
    """One score of one checkpoint: a language of a task, one metric."""

    language: str
    split: Literal["dev", "test"]
    """`dev` is English only, for collapse rules and the choice of depths, never for the report."""
    metric: str
    n: int
    """Examples scored."""
    value: float
    """0..1; the report multiplies by 100."""
    chance: float
    """0..1: what guessing scores on these examples (largest class; one over the candidates)."""
    main: bool = True
    """Whether this is the task's headline metric."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What one training did."""

    updates: int
    examples: int
    tokens: int
    """Real tokens, padding not counted."""
    first_loss: float
    last_loss: float
    """Means over the first and last tenth of the updates."""
    dev_metric: str
    dev_score: float | None
    """0..1 on the English dev split of the training task, at the end.

    None for text in other languages alone.
    """
    dev_n: int
    dev_chance: float
    collapsed: bool
    truncated_examples: int = 0
    """Examples cut by max_length."""
    drawn: dict[str, int] = field(default_factory=dict)
    """Training examples drawn by `TASK.LANGUAGE`, where there are several."""
    dev_scores: dict[str, float] = field(default_factory=dict)
    """0..1 by task, where several are trained together."""
    selected_update: int = 0
    """Updates behind the weights that stayed, where the best by English dev data were selected."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of one step. wall = claim to commit; the rest are parts of it."""

    wall_seconds: float
    load_seconds: float
    """Model and data."""
    work_seconds: float
    """Training or scoring."""
    save_seconds: float
    num_devices: int
    device: str
    """`cpu` or the GPU's name."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where and with what a step ran. Never part of its identity."""

    attempt: str
    finished_at: str
    """UTC, ISO 8601."""
    versions: dict[str, str]
    commit: str
    execution: dict[str, Any]
    """Workers, ZeRO stage, micro-batch, whether packed."""


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What a step was made from, what came out, what it cost."""

    step: str
    """Readable id; its last part is the fingerprint."""
    fingerprint: str
    identity: dict[str, Any]
    training: Training | None
    rows: list[EvalRow]
    files: dict[str, str]
    """File in the attempt → SHA-256, for everything a later step may read."""
    cost: Cost
    provenance: Provenance
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """By `SPLIT.LANGUAGE` of what was scored: in words, what was cut or could not be predicted."""
    schema_version: int = SCHEMA_VERSION

    def science(self) -> dict[str, Any]:
        """The part that is equal in two runs of one step: all but cost and provenance."""
        content = asdict(self)
        return {
            key: content[key]
            for key in ("step", "fingerprint", "identity", "training", "rows", "files")
        }

    def to_json(self) -> str:
        """Text that `from_json` reads back exactly."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @staticmethod
    def from_json(text: str, place: str) -> StepRecord:
        """The record in `text`; CorruptRecord names `place` and what is wrong."""
        try:
            raw = json.loads(text)
            if raw["schema_version"] != SCHEMA_VERSION:
                raise CorruptRecord(
                    f"{place} has record schema {raw['schema_version']}, this code reads"
                    f" {SCHEMA_VERSION}"
                )
            unknown = set(raw) - {item.name for item in fields(StepRecord)}
            if unknown:
                raise CorruptRecord(f"{place} has unknown fields {sorted(unknown)}")
            training = raw["training"]
            return StepRecord(
                **{
                    **raw,
                    "training": None if training is None else Training(**training),
                    "rows": [EvalRow(**row) for row in raw["rows"]],
                    "cost": Cost(**raw["cost"]),
                    "provenance": Provenance(**raw["provenance"]),
                }
            )
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise CorruptRecord(
                f"{place} is not a record: {error!r}. Delete it to run the step again."
            ) from error


@dataclass(frozen=True, kw_only=True)
class TidyRow:
    """One (cell, language, metric): all that the analysis reads. Fields in the order of columns."""

    study: str
    family: str
    model: str
    model_label: str
    total_params: int
    backbone_params: int
    train_flops: float
    """FLOPs of the cell's phase ii and phase iii together."""
    method: str
    """`full`, or an adapter method; two methods never share a curve."""
    arm: str
    role: str
    """Kind of the arm (`scaling.study.arms.Role`). Only English intermediate training is pooled."""
    intermediate: str
    """Training tasks of the arm; empty for `none`."""
    target: str
    kind: str
    language: str
    seed: int
    intermediate_seed: int
    """Seed of phase ii; -1 without phase ii.

    Equal to `seed` unless the study shares one phase-ii checkpoint.
    """
    rerun: int
    """Re-runs of collapsed trainings behind this row; 0 for first runs. A cell's highest counts."""
    split: str
    metric: str
    main: bool
    n: int
    value: float
    """0..1."""
    chance: float
    """0..1: the score of guessing."""
    ceiling: float | None
    """0..1: the best score that is attainable on the target, by a stated source
    (`TaskSpec.ceiling`); None where none is declared.
    """
    english_dev: float | None
    """0..1: English dev score of the checkpoint that was scored; None if it was not trained."""
    english_dev_n: int | None
    """Examples behind `english_dev`."""
    collapsed: bool
    """By the English-dev rule, in phase ii or phase iii."""
    same_data: bool
    """Whether phase ii and the target train on the same data: extra epochs, not transfer."""
    step: str
    """The eval step whose record holds this number."""
    wall_seconds: float
    """Of this cell's steps; shared steps are counted in every cell that uses them."""
    dollars: float | None
    """Of the same steps, None where no price is known."""


@dataclass(frozen=True)
class TidyColumn:
    """What a column of tidy rows holds."""

    type: str
    """`str`, `int`, `float` or `bool`."""
    nullable: bool


def _column(annotation: str) -> TidyColumn:
    kind, _, null = annotation.partition(" | ")
    return TidyColumn(kind, null == "None")


TIDY_COLUMNS: Mapping[str, TidyColumn] = {
    item.name: _column(str(item.type)) for item in fields(TidyRow)
}
"""By name, in their order."""
