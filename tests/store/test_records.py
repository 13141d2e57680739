"""Records come back as they were written."""

from __future__ import annotations

from scaling.store.records import StepRecord
from tests.helpers.step_records import record


def test_record_round_trip() -> None:
    assert StepRecord.from_json(record().to_json(), "x") == record()
