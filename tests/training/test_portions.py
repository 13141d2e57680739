"""Which languages make a portion, and what is taken of one that an earlier try left."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("torch")

import torch

from scaling.catalogue.task import Key
from scaling.data.features import Features
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.store.records import EvalRow
from scaling.store.store import Store
from scaling.training.portions import Kept, basis_of, portions, stands_alone

pytestmark = pytest.mark.torch

KEYS = [Key("test", code) for code in ("en", "de", "sw", "uk")]


def of_tokens(*lengths: int) -> Features:
    return Features(
        input_ids=[np.arange(length) for length in lengths],
        targets=[0] * len(lengths),
        units=np.arange(len(lengths)),
        cut=0,
    )


def test_a_portion_has_whole_languages_and_enough_tokens() -> None:
    features = dict(
        zip(KEYS, (of_tokens(5, 5), of_tokens(3), of_tokens(9), of_tokens(1)), strict=True)
    )
    assert portions(features, 0) == portions(features, 1) == [[key] for key in KEYS]
    assert portions(features, 10) == [KEYS[:1], KEYS[1:3], KEYS[3:]]
    assert portions(features, 100) == [KEYS]


def kept_in(folder: Path, basis: str = "weights") -> Kept:
    world = World(rank=0, size=1, device=torch.device("cpu"))
    return Kept(store=Store.open(folder), step="iii.a", world=world, basis=basis)


def test_what_was_kept_is_found_whole_or_not_at_all(tmp_path: Path) -> None:
    kept = kept_in(tmp_path)
    row = EvalRow(
        language="sw", split="test", metric="accuracy", depth=0.4, n=3, value=1 / 3, chance=0.5
    )
    outcomes = pa.table({"key": ["test.sw"] * 3, "correct": [1.0, 0.0, None]})
    assert kept.find(KEYS[2:3]) is None
    kept.keep(KEYS[2:3], ([row], outcomes))
    rows, found = kept.find(KEYS[2:3]) or ([], None)
    assert rows == [row] and found is not None and found.equals(outcomes)
    # Other languages, and other weights, are another portion.
    assert kept.find(KEYS[1:3]) is None
    assert kept_in(tmp_path, basis_of("another attempt", {"a": "b"})).find(KEYS[2:3]) is None
    (said,) = tmp_path.rglob("portion-*.json")
    (file,) = tmp_path.rglob("portion-*.parquet")
    raw = file.read_bytes()
    file.write_bytes(raw[:-9] + bytes(9))
    assert kept.find(KEYS[2:3]) is None
    file.write_bytes(raw)
    assert kept.find(KEYS[2:3]) is not None
    whole = json.loads(said.read_text())
    for change in ({"value": 0.9}, {"value": "0.9"}, {"n": 4}, {"language": "te"}):
        altered = [{**whole["rows"][0], **change}]
        said.write_text(json.dumps({**whole, "rows": altered}))
        assert kept.find(KEYS[2:3]) is None
        # Of a store from before portions had a digest: computed again as well.
        said.write_text(json.dumps({"rows": altered, "outcomes": whole["outcomes"]}))
        assert kept.find(KEYS[2:3]) is None
    said.write_text(json.dumps(whole))
    assert kept.find(KEYS[2:3]) is not None
    said.write_text(json.dumps({"rows": [{"language": "sw"}]}))
    assert kept.find(KEYS[2:3]) is None
    said.write_text("{")
    assert kept.find(KEYS[2:3]) is None


def test_languages_that_share_candidates_are_one_portion() -> None:
    own = pa.table({"side": ["query", "candidate"]})
    without = pa.table({"side": ["query"]})
    retrieval = KINDS["retrieval"]
    assert stands_alone(retrieval, {KEYS[0]: (own, own), KEYS[1]: (own, own)})
    assert not stands_alone(retrieval, {KEYS[0]: (own, own), KEYS[1]: (without, without)})
    assert stands_alone(KINDS["span_qa"], {KEYS[0]: (without, without)})
