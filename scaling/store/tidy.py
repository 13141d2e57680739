"""Records → tidy rows: one per score of a cell. The only file the analysis reads."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq

from scaling.store.records import TIDY_COLUMNS, StepRecord, TidyRow
from scaling.store.sessions import price_paid
from scaling.store.store import Store
from scaling.study.arms import arm_role
from scaling.study.flops import step_flops
from scaling.study.steps import Cell, Plan
from scaling.study.study import Study

ROWS = "rows.parquet"
_TYPES = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
SCHEMA = pa.schema([(name, _TYPES[column.type]) for name, column in TIDY_COLUMNS.items()])


def tidy_rows(plan: Plan, store: Store) -> Iterator[TidyRow]:
    """Rows of every cell whose scoring is done.

    CorruptRecord names a record that cannot be trusted.
    """
    scan = store.scan()
    records = store.records(step for step in plan.steps if step in scan.done)
    sizes = store.read_sizes()
    for cell in plan.cells:
        if cell.scored in records:
            yield from _cell_rows(
                cell,
                plan,
                records,
                sum(
                    step_flops(plan, plan.steps[step], sizes)
                    for step in (*cell.intermediate, *cell.trained)
                ),
            )


def _cell_rows(
    cell: Cell, plan: Plan, records: dict[str, StepRecord], flops: float
) -> Iterator[TidyRow]:
    study, scored = plan.study, records[cell.scored]
    model, target = study.model(cell.model), study.task(cell.target)
    used = [
        records[step]
        for step in (*cell.intermediate, *cell.trained, cell.scored)
        if step in records
    ]
    trainings = [record.training for record in used if record.training is not None]
    seconds = sum(record.cost.wall_seconds for record in used)
    arm = study.arm(cell.arm)
    shared = study.intermediate_seed
    for row in scored.rows:
        yield TidyRow(
            study=study.name,
            family=model.family,
            model=model.name,
            model_label=model.label or model.name,
            total_params=model.total_params,
            backbone_params=model.backbone_params,
            train_flops=flops,
            method=study.method_label,
            arm=cell.arm,
            role=arm_role(arm, study.all_tasks),
            intermediate="+".join(arm.tasks),
            target=cell.target,
            kind=target.kind,
            language=row.language,
            seed=cell.seed,
            intermediate_seed=-1
            if not cell.intermediate
            else cell.seed
            if shared == "per_seed"
            else int(shared),
            rerun=cell.rerun,
            split=row.split,
            metric=row.metric,
            depth=row.depth,
            main=row.main,
            n=row.n,
            value=row.value,
            chance=row.chance,
            ceiling=study.ceiling(cell.target),
            english_dev=trainings[-1].dev_score if trainings else None,
            english_dev_n=trainings[-1].dev_n if trainings else None,
            collapsed=any(training.collapsed for training in trainings),
            same_data=cell.same_data,
            step=cell.scored,
            wall_seconds=seconds,
            dollars=_dollars(used, study),
        )


def _dollars(used: list[StepRecord], study: Study) -> float | None:
    """What steps cost; None where no price is known."""
    price = price_paid(study, used)
    if price is None:
        return None
    return price * sum(record.cost.wall_seconds * record.cost.num_devices for record in used)


def write_rows(plan: Plan, store: Store) -> int:
    """Write rows.parquet; how many rows it has."""
    rows = [asdict(row) for row in tidy_rows(plan, store)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), buffer, compression="zstd")
    store.write(ROWS, buffer.getvalue())
    return len(rows)
