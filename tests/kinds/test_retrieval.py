"""Pairs and their groups in training; ranking, pools and mining in scoring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from scaling.catalogue.task import Key
from scaling.kinds import KINDS
from scaling.kinds.kind import Part, scores
from scaling.kinds.retrieval import GROUP, DualEncoder
from tests.helpers.making import recipe, table, task, tokenizer
from tests.helpers.vectors import vectors_of

KIND = KINDS["retrieval"]
NEAREST = task("retrieval", "accuracy", train_on=())
RANKED = task("retrieval", "map_at_20")
MINED = task("retrieval", "mining_f1", train_on=())


def row(
    name: str, side: str, text: str, relevant: tuple[str, ...] = (), context: str = ""
) -> dict[str, Any]:
    return {
        "id": name,
        "side": side,
        "language": "en",
        "text": text,
        "context": context,
        "relevant": list(relevant),
    }


ROWS = [
    row("q0", "query", "the small station", ("c1", "c0")),
    row("q1", "query", "first master", ("c0",)),
    row("q2", "query", "nobody knows"),
    row("c0", "candidate", "Ada Brown", context="the first master was Ada Brown"),
    row("c1", "candidate", "opened in 1907"),
    row("c2", "candidate", "Leeds"),
]


def test_a_query_and_its_first_right_candidate_are_one_unit_and_others_are_only_scored() -> None:
    features = KIND.encode(
        table("retrieval", ROWS), RANKED, tokenizer(), recipe(RANKED)
    ).to_pylist()
    assert [(one["row"], one["unit"], one["target"]) for one in features] == [
        (2, -1, 2),
        (5, -1, 5),
        # What is right for one query is no negative beside another: c1 and c0 count as one passage.
        (0, 0, -4),
        (4, 0, 3),
        (1, 1, -4),
        (3, 1, 3),
    ]
    assert KIND.loss_weight([one["target"] for one in features[2:]]) == 2


def loss(vectors: torch.Tensor, targets: list[int], batch: int = 32) -> float:
    head = DualEncoder(recipe(RANKED, batch=batch))
    size = len(targets)
    given = (
        head,
        vectors.unsqueeze(1),
        torch.ones(size, 1),
        torch.tensor(targets),
        torch.arange(size) // 2,
    )
    return float(KIND.loss(*given))


def paired(count: int) -> tuple[torch.Tensor, list[int]]:
    torch.manual_seed(0)
    return torch.randn(2 * count, 6), [target for at in range(count) for target in (-at - 1, at)]


def test_micro_batches_do_not_change_the_negatives() -> None:
    vectors, targets = paired(2 * GROUP)
    half = 2 * GROUP
    parts = loss(vectors[:half], targets[:half]) + loss(vectors[half:], targets[half:])
    assert loss(vectors, targets) == pytest.approx(parts, rel=1e-6)


def test_a_pass_that_would_change_them_is_refused() -> None:
    with pytest.raises(ValueError, match="a pass of 6 pairs cannot be cut into groups of 8"):
        loss(*paired(6))
    assert loss(*paired(4), batch=4) > 0


def test_a_passage_that_answers_two_questions_is_no_negative() -> None:
    vectors = torch.tensor([[1.0, 0.0]] * 4)
    assert loss(vectors, [-1, 0, -1, 0], batch=2) == pytest.approx(0.0, abs=1e-6)
    assert loss(vectors, [-1, 0, -2, 1], batch=2) == pytest.approx(2 * np.log(2), rel=1e-6)


def part(
    spec: Any,
    rows: list[dict[str, Any]],
    vectors: dict[str, list[list[float]]],
    language: str = "de",
) -> Part:
    made = table("retrieval", rows)
    features = KIND.encode(made, spec, tokenizer(), recipe(spec))
    names, numbers = made["id"].to_pylist(), {name: at for at, name in enumerate(vectors)}
    return Part(
        key=Key("test", language),
        rows=made,
        features=features,
        predictions=[numbers[names[at]] for at in features["row"].to_pylist()],
        vectors=vectors_of([np.array(one, dtype=np.float32) for one in vectors.values()]),
    )


def test_the_nearest_candidate_and_the_depths_beside_it() -> None:
    right, wrong = [1.0, 0.0], [0.0, 1.0]
    vectors = {
        "q0": [right, wrong],
        "c1": [right, right],
        "c0": [wrong, [-1.0, 0.0]],
        "c2": [wrong, wrong],
    }
    given = part(NEAREST, [ROWS[0], *ROWS[3:]], vectors)
    outcomes = KIND.outcomes(given, NEAREST)
    found = scores(outcomes, KIND.chance(given, NEAREST), KIND.sweep)
    assert [(one.metric, one.depth, one.value, one.main) for one in found] == [
        ("accuracy", None, 1.0, True),
        ("accuracy", 0.33, 0.0, False),
    ]
    # Two of three candidates are right, at every depth.
    assert [one.chance for one in found] == [pytest.approx(2 / 3)] * 2
    assert outcomes["prediction"].to_pylist() == ["c1"]


def test_a_language_without_candidates_searches_the_pool_of_the_others() -> None:
    vectors = {name: [[float(at), 1.0]] for at, name in enumerate(("q1", "c0", "c1", "c2"))}
    vectors["c0"], vectors["q1"] = [[5.0, 1.0]], [[5.1, 1.0]]
    german = part(RANKED, [ROWS[1]], vectors)
    with pytest.raises(ValueError, match="no candidates"):
        KIND.outcomes(german, RANKED)
    assert KIND.share is not None
    english = part(RANKED, ROWS[3:], vectors, "en")
    completed = KIND.share([english, german])[1]
    assert KIND.outcomes(completed, RANKED)["map_at_20"].to_pylist() == [1.0]
    assert completed.rows.num_rows == 4 and KIND.share([english]) == [english]


def test_mining_tunes_its_threshold_on_the_dev_sentences_of_the_language() -> None:
    rng = np.random.default_rng(0)
    rows, vectors = [], {}
    for prefix in ("dev_", ""):
        for at in range(40):
            point = rng.normal(size=8)
            names = (f"{prefix}de{at}", f"{prefix}en{at}")
            # The first half are translations of each other, the rest have none.
            rows.append(
                row(names[0], f"{prefix}query", f"eins {at}", (names[1],) if at < 20 else ())
            )
            rows.append(row(names[1], f"{prefix}candidate", f"one {at}"))
            vectors[names[0]] = [point.tolist()]
            vectors[names[1]] = [
                (point + 0.05 * rng.normal(size=8) if at < 20 else rng.normal(size=8)).tolist()
            ]
    given = part(MINED, rows, vectors)
    outcomes = KIND.outcomes(given, MINED)
    assert outcomes.num_rows == 40
    assert scores(outcomes, 0.0)[0].metric == "mining_f1"
    assert scores(outcomes, 0.0)[0].value > 0.9
    untuned = part(MINED, [one for one in rows if not one["side"].startswith("dev_")], vectors)
    with pytest.raises(ValueError, match="no dev sentences"):
        KIND.outcomes(untuned, MINED)


def test_outcomes_of_all_languages_have_one_schema() -> None:
    vectors = {name: [[1.0, float(at)]] for at, name in enumerate(("q0", "q1", "c0", "c1", "c2"))}
    given = [part(NEAREST, [*ROWS[:2], *ROWS[3:]], vectors, code) for code in ("de", "ru")]
    assert pa.concat_tables([KIND.outcomes(one, NEAREST) for one in given]).num_rows == 4
