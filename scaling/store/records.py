"""What a finished step writes, last of all. A step is done if and only if its record exists.

Everything here is plain data with a schema version; `to_json` and `from_json` are exact inverses.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from scaling.spec import UserError, first_fault
from scaling.store.paths import is_inside, is_part, is_sha256
from scaling.study.identity import fingerprint

WEIGHTS = "weights/"
"""Beginning of the names of a try's files that are trained weights."""
SCHEMA_VERSION = 2
"""1: the depth of a row stood behind its metric's name, as in `accuracy@0.33`. Still read."""


class CorruptRecord(UserError):
    """A record that cannot be trusted: no record, of another place or schema, or altered."""


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of what a JSON object says, however it is written down."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class EvalRow:
    """One score of one checkpoint: a language of a task, one metric."""

    language: str
    split: Literal["dev", "test"]
    """`dev` is English only, for collapse rules and the choice of depths, never for the report."""
    metric: str
    depth: float | None = None
    """Fraction of the layers whose states were pooled, to two digits; None for the recipe's own."""
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
    num_devices: float
    """Less than one of a device that was shared."""
    device: str
    """`cpu` or the GPU's name."""
    kwh: float | None = None
    """Energy of its devices; None where nothing counts it, or where steps share a device."""


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
    parent: str = ""
    """Attempt whose weights it started from; empty for pretrained ones, and in older records."""
    replaces: str = ""
    """Attempt whose record gave way, its weights being gone; empty for a first record."""
    curve: str = ""
    """SHA-256 of the training's curve (store/curves.py); empty for scorings, and in older
    records."""


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

    @property
    def weight_files(self) -> dict[str, str]:
        """File in the attempt's folder of weights → SHA-256; {} of a scoring."""
        return {
            file.removeprefix(WEIGHTS): digest
            for file, digest in self.files.items()
            if file.startswith(WEIGHTS)
        }

    def science(self) -> dict[str, Any]:
        """The part that is equal in two runs of one step: all but cost and provenance."""
        content = asdict(self)
        return {
            key: content[key]
            for key in ("step", "fingerprint", "identity", "training", "rows", "files")
        }

    def to_json(self) -> str:
        """Text that `from_json` reads back exactly, with a digest over the whole of it."""
        whole = asdict(self)
        return json.dumps({**whole, "digest": digest_of(whole)}, indent=1, sort_keys=True)

    @staticmethod
    def from_json(text: str, place: str) -> StepRecord:
        """The record in `text`; CorruptRecord names `place` and what is wrong.

        Records from before there was a digest have none; of them only the form is checked.
        """
        try:
            raw = json.loads(text)
            version = raw["schema_version"]
            if version not in (1, SCHEMA_VERSION):
                raise CorruptRecord(
                    f"{place} has record schema {version}, this code reads 1 and {SCHEMA_VERSION}"
                )
            digest = raw.pop("digest", None)
            if digest is not None and digest != digest_of(raw):
                raise ValueError("its digest is another: it was altered after it was written")
            raw["schema_version"] = SCHEMA_VERSION
            raw["rows"] = [_row(row, version) for row in raw["rows"]]
            parts = [(StepRecord, raw), (Cost, raw["cost"]), (Provenance, raw["provenance"])]
            parts += [(EvalRow, row) for row in raw["rows"]]
            parts += [(Training, raw["training"])] if raw["training"] is not None else []
            for kind, part in parts:
                unknown = set(part) - {item.name for item in fields(kind)}
                if unknown:
                    raise CorruptRecord(f"{place} has unknown fields {sorted(unknown)}")
            # Strict: text is no number, and a number no text.
            record = _RECORD.validate_json(json.dumps(raw), strict=True)
            _check(record)
            return record
        except CorruptRecord:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CorruptRecord(
                f"{place} is not a record: {_short(error)}. Delete it to run the step again."
            ) from error


_RECORD = TypeAdapter(StepRecord)


def _short(error: Exception) -> str:
    """One line: of a validation the first fault and its place."""
    if isinstance(error, ValidationError):
        return first_fault(error)
    return str(error) if type(error) is ValueError else repr(error)


def _check(record: StepRecord) -> None:
    """ValueError for values that no finished step writes."""
    named = fingerprint(record.identity)
    if record.fingerprint != named:
        raise ValueError(f"its identity has the fingerprint {named}, not {record.fingerprint}")
    if record.step.rpartition(".")[2] != record.fingerprint:
        raise ValueError(f"the step {record.step!r} does not end in {record.fingerprint}")
    for name in (record.step, record.provenance.attempt):
        if not is_part(name):
            raise ValueError(f"{name!r} is no name of a step or of an attempt")
    for name, digest in record.files.items():
        if not is_sha256(digest):
            raise ValueError(f"{name}: {digest!r} is no SHA-256")
        if not is_inside(name):
            raise ValueError(f"{name!r} is no name of a file inside an attempt")
    scores = [(f"{row.metric} of {row.language}", row.value, row.chance) for row in record.rows]
    if record.training is not None and record.training.dev_score is not None:
        scores.append(("the dev score", record.training.dev_score, record.training.dev_chance))
    for what, value, chance in scores:
        if not (0.0 <= value <= 1.0 and 0.0 <= chance <= 1.0):
            raise ValueError(f"{what} is {value}, guessing {chance}; both lie between 0 and 1")
    if any(row.n < 1 for row in record.rows):
        raise ValueError("a score of no examples")
    cost = [value for value in asdict(record.cost).values() if isinstance(value, int | float)]
    if not all(math.isfinite(value) and value >= 0 for value in cost):
        raise ValueError("a cost that is no number of seconds or devices")


def _row(raw: dict[str, Any], version: int) -> dict[str, Any]:
    """The fields of a row, as schema 2 has them."""
    if version > 1:
        return raw
    metric, _, depth = raw["metric"].partition("@")
    # Counted metrics had their part behind the depth: `mining@0.33_f1`.
    depth, _, part = depth.partition("_")
    return {
        **raw,
        "metric": f"{metric}_{part}" if part else metric,
        "depth": float(depth) if depth else None,
    }


@dataclass(frozen=True, kw_only=True)
class TidyRow:
    """One score of a cell, in a language, split, metric and depth. All that the analysis reads.

    Fields stand in the order of columns.
    """

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
    depth: float | None
    """Fraction of the layers whose states were pooled; None for the recipe's own."""
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
    """0..1: English dev score of the checkpoint that was scored.

    None if it was not trained, or on text in other languages alone.
    """
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
