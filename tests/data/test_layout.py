"""A look at the sources of a study finds what would not stage, and downloads nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from scaling.catalogue.sources import STATED
from scaling.data.hub import files_of
from scaling.data.layout import SourceLook, look_at
from scaling.study.study import Study
from tests.helpers.hub_layouts import (
    NUMBER,
    TEXT,
    Layout,
    content,
    features,
    layouts,
    num_rows,
    parquet,
)
from tests.helpers.hub_server import Hub

STUDY = Study(
    name="s",
    models=("xlm-r-base",),
    arms=("none", "qqp"),
    targets=("xcopa",),
    seeds=(0,),
    languages=("it", "sw", "tr"),
)
# Every ending that the hub has, and files that many languages share.
WIDE = STUDY.model_copy(update={"targets": ("xcopa", "panx", "mewslix")})
QQP, XCOPA = "nyu-mll/glue", "cambridgeltl/xcopa"


def put(hub: Hub, name: str, **changed: Any) -> Layout:
    """A repository with a few rows; `changed`: content by a part of the file's path, or None."""
    (layout,) = (one for one in layouts() if one.hub == name)
    files = {file.path: content(file, num_rows(file, ())) for file in layout.files}
    for part, other in changed.items():
        for path in [path for path in files if part in path]:
            files.pop(path)
            if other is not None:
                files[path] = other
    hub.commit(name, files, ref=layout.ref, commit=STATED.get(name, ""))
    return layout


@pytest.fixture
def full(hub: Hub) -> Hub:
    """A hub on which STUDY stages."""
    for name in (QQP, XCOPA, "unimelb-nlp/wikiann", "izhx/mewsli-x"):
        put(hub, name)
    for name in ("allenai/social_i_qa", "aps/super_glue"):
        put(hub, name)
    weights = {"model.safetensors": b"0", "tokenizer.json": b"{}", "config.json": b"{}"}
    commit = STUDY.model("xlm-r-base").revision or ""
    hub.commit("FacebookAI/xlm-roberta-base", weights, kind="models", commit=commit)
    return hub


def looks(locked: dict[str, str] | None = None, study: Study = STUDY) -> dict[str, SourceLook]:
    return {look.what: look for look in look_at(study, None, locked or {}, ("size",))}


def test_a_look_says_what_there_is_and_downloads_nothing(full: Hub, tmp_path: Path) -> None:
    found = looks(study=WIDE)
    assert {what: look.faults for what, look in found.items()} == dict.fromkeys(found, ())
    qqp, panx = found["task qqp"], found["task panx"]
    assert qqp.columns == ("question1", "question2", "label", "idx")
    assert qqp.labels == ("not_duplicate", "duplicate")
    assert (qqp.rows, qqp.files, qqp.ending) == ({"train": 16, "dev": 6}, 2, ".parquet")
    assert qqp.revision == full.repositories["datasets", QQP].refs["refs/convert/parquet"]
    assert qqp.notes == (
        "train.en: 16 rows where 363,846 are published: accepted",
        "dev.en: 6 rows where 40,430 are published: accepted",
    )
    # Train and dev of English, test of four languages.
    assert panx.files == 2 + 4 and panx.labels[1] == "B-PER"
    assert found["task mewslix"].ending == ".jsonl.tar.gz"
    assert found["task mewslix"].columns == ("mention", "entity", "entity_id", "description")
    assert (found["model xlm-r-base"].files, found["model xlm-r-base"].faults) == (3, ())
    assert not (tmp_path / "hub-cache").exists()
    sent: Counter[str] = Counter()
    for _, file, count in full.requests:
        sent[file] += count
    assert max(count for file, count in sent.items() if file) <= 128_000


def classes(*names: str) -> Any:
    return features(question1=TEXT, question2=TEXT, label=names, idx=NUMBER)


def rows_of(count: int) -> list[dict[str, Any]]:
    return [
        {"question1": "one?", "question2": f"{at}?", "label": at % 2, "idx": at}
        for at in range(count)
    ]


def renamed() -> bytes:
    columns = features(q1=TEXT, question2=TEXT, label=NUMBER, idx=NUMBER)
    rows = [{"q1": row["question1"], **row} for row in rows_of(4)]
    return parquet([{name: row[name] for name in columns} for row in rows], columns)


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        (QQP, {"train": renamed}, "train.en: no column 'question1'; there: idx, label, q1, quest"),
        (QQP, {"validation": lambda: None}, "dev.en: no file 'qqp/validation/*.parquet'"),
        (
            QQP,
            {"train": lambda: parquet(rows_of(4), classes("no", "yes"))},
            "train.en: qqp/train/0000.parquet: its own metadata name the classes of 'label' no,",
        ),
        (QQP, {"train": lambda: b"PAR1 no more"}, "train.en: qqp/train/0000.parquet: "),
        (XCOPA, {"tr/": lambda: None}, "test.tr: no file 'tr/test/*.parquet'. Valid: "),
    ],
)
def test_what_would_not_stage_is_named(
    full: Hub, name: str, changed: dict[str, Callable[[], bytes | None]], message: str
) -> None:
    put(full, name, **{part: make() for part, make in changed.items()})
    faulty = {what: look.faults for what, look in looks().items() if look.faults}
    (faults,) = faulty.values()
    assert any(fault.startswith(message) for fault in faults), faults


def test_another_order_of_the_classes_is_noted(full: Hub) -> None:
    put(full, QQP, train=parquet(rows_of(4), classes("duplicate", "not_duplicate")))
    qqp = looks()["task qqp"]
    assert not qqp.faults
    assert any("train.en: its files number the classes of 'label' dup" in one for one in qqp.notes)


def test_sizes_are_held_to_the_published_ones(full: Hub) -> None:
    put(full, XCOPA, **{"it/": _xcopa(500), "sw/": _xcopa(499)})
    found = {look.what: look for look in look_at(STUDY, None, {}, ())}
    faults = found["task xcopa"].faults
    assert not any("test.it" in fault for fault in faults)
    assert any(
        fault.startswith("test.sw: 499 rows where 500 are published: another version")
        for fault in faults
    )


def _xcopa(count: int) -> bytes:
    (layout,) = (one for one in layouts() if one.hub == XCOPA)
    return content(replace(layout.files[0], path="x"), count)


def test_a_script_only_and_a_hub_that_refuses(full: Hub) -> None:
    held = full.repositories["datasets", QQP]
    del held.refs["refs/convert/parquet"]
    full.commit(QQP, {"glue.py": b"import datasets"})
    full.repositories["datasets", XCOPA].gated = True
    found = looks()
    assert "it has a script only (glue.py)" in found["task qqp"].faults[0]
    assert "it is gated: accept its terms at" in found["task xcopa"].faults[0]


def test_a_branch_that_has_moved_is_noted_and_the_lock_obeyed(full: Hub) -> None:
    origin = f"hub:{QQP}@refs/convert/parquet"
    old = full.repositories["datasets", QQP].refs["refs/convert/parquet"]
    put(full, QQP, validation=parquet(rows_of(2), classes("not_duplicate", "duplicate")))
    new = full.repositories["datasets", QQP].refs["refs/convert/parquet"]
    look = looks({origin: old})["task qqp"]
    assert look.revision == old and not look.faults
    assert look.notes[0] == (
        f"refs/convert/parquet has moved to {new[:12]}; the lock file holds {old[:12]}, which is"
        " still read"
    )
    # Its history is gone: nothing to read any more.
    del full.repositories["datasets", QQP].commits[old]
    (fault,) = looks({origin: old})["task qqp"].faults
    assert "it has no such commit any more" in fault


def test_offline_it_looks_into_the_cache_and_says_so(
    full: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = full.repositories["datasets", QQP].refs["refs/convert/parquet"]
    files_of("dataset", QQP, commit, ["qqp/*/*.parquet"], "task qqp")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    before = len(full.requests)
    found = looks({f"hub:{QQP}@refs/convert/parquet": commit}, WIDE)
    assert len(full.requests) == before
    assert not found["task qqp"].faults and found["task qqp"].rows["dev"] == 6
    assert found["task qqp"].notes[0] == (
        "offline: the hub was not asked; read from the cache, whether it has moved is not known"
    )
    assert "nobody states its revision" in found["task xcopa"].faults[0]
    assert "is not in the cache" in found["task mewslix"].faults[0]
