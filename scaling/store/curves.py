"""Curves of trainings: a small table beside a record, by which nothing is decided.

It holds times, so it is no part of what a training found: its hash stands in the provenance.
"""

from __future__ import annotations

import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq

from scaling.store.files import StoreError
from scaling.store.paths import StepFolder
from scaling.store.records import StepRecord
from scaling.store.store import Store

FILE = "curve.parquet"
SCHEMA = pa.schema(
    [
        # Updates that are done; the others are of those since the point before.
        ("update", pa.int32()),
        # Mean over the updates.
        ("loss", pa.float64()),
        # Of the last update.
        ("learning_rate", pa.float64()),
        # The largest, before clipping.
        ("gradient_norm", pa.float64()),
        # Real tokens of all workers.
        ("tokens_per_second", pa.float64()),
    ]
)


def write_curve(store: Store, step: str, attempt: str, curve: pa.Table) -> str:
    """Write a curve into the folder of an attempt; its SHA-256.

    Args:
        store: The study's store.
        step: Id of the training.
        attempt: Whose folder.
        curve: Of `SCHEMA`.
    """
    buffer = io.BytesIO()
    pq.write_table(curve, buffer, compression="zstd")
    store.write(f"{StepFolder(step).attempt(attempt)}/{FILE}", buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def read_curve(store: Store, record: StepRecord) -> pa.Table | None:
    """The curve of a finished training.

    None for a scoring and for trainings from before there were curves. StoreError if it is missing
    or not what the record says.
    """
    if not record.provenance.curve:
        return None
    name = f"{store.folder_of(record).attempt(record.provenance.attempt)}/{FILE}"
    try:
        content = store.read(name)
    except FileNotFoundError:
        content = b""
    if hashlib.sha256(content).hexdigest() != record.provenance.curve:
        raise StoreError(
            f"{store.uri}/{name} is {'damaged' if content else 'missing'}; no score rests on it"
        )
    return pq.read_table(io.BytesIO(content))
