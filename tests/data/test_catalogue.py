"""The catalogue: complete, consistent, and true to the real files at hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import SHARED, needs_shared, num_examples, read, read_task

from scaling.catalogue import CATALOGUE, TASKS
from scaling.catalogue.models import MODELS
from scaling.catalogue.sets import XTREME, XTREME_R
from scaling.catalogue.task import DataRef, TaskSpec
from scaling.data.readers import READERS
from scaling.data.schema import SCHEMAS
from scaling.kinds.metrics import METRICS


def stated_revisions() -> dict[str, str]:
    """Hub id → commit of its main branch, from the table of what public sources state."""
    table = (SHARED.parent / "hub_revisions.md").read_text()
    rows = [line for line in table.splitlines() if re.match(r"\| .*/", line)]
    found = [re.fullmatch(r"\| (\S+/\S+)(?: \(.*?\))? \| ([0-9a-f]{40}) \|", row) for row in rows]
    known = {row[1]: row[2] for row in found if row}
    assert len(known) == len(rows) > 0, "a row of the table was not understood, or is there twice"
    return known


@needs_shared
def test_every_revision_that_a_public_source_states_is_there_and_no_other() -> None:
    """Of what the catalogue reads: the table states commits of data sets that it does not name."""
    known = stated_revisions()
    # A branch has commits of its own: the table states none of the hub's Parquet conversions.
    sources = {
        ref.origin.removeprefix("hub:"): ref.revision
        for task in CATALOGUE
        for ref in task.data
        if ref.source.startswith("hub:")
    }
    sources |= {
        spec.source.removeprefix("hub:"): spec.revision
        for spec in MODELS.values()
        if "hub:" in spec.source
    }
    assert len(sources) > 20
    assert len(sources.keys() & known) >= 6
    assert {name: revision for name, revision in sources.items() if revision} == {
        name: known[name] for name in sources if name in known
    }


def test_names_are_unique() -> None:
    assert len({task.name for task in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("task", CATALOGUE, ids=lambda task: task.name)
def test_every_task_names_what_exists(task: TaskSpec) -> None:
    assert task.metric in METRICS
    assert task.data and task.citation
    for name in task.trains_on:
        trained = TASKS[name]
        assert trained.kind == task.kind
        assert any("train" in ref.files for ref in trained.data), f"{name} has no training data"
        assert trained.labels == task.labels, "the head of the training task must fit"
    for ref in task.data:
        assert ref.reader in READERS
        if task.languages and task.languages != ("en",):
            assert (
                any("{lang}" in pattern for pattern in ref.files["test"])
                or len(task.languages) == 1
            )
            assert not set(ref.codes) - {*task.languages, "en"} or task.name.startswith("tatoeba")


@pytest.mark.parametrize(
    ("sets", "task", "number"),
    [
        (XTREME, "udpos", 33),
        (XTREME, "panx", 40),
        (XTREME, "tatoeba", 36),
        (XTREME, "xquad", 11),
        (XTREME_R, "udpos", 38),
        (XTREME_R, "panx", 48),
        (XTREME_R, "tatoeba", 41),
        (XTREME_R, "xquad", 12),
        (XTREME_R, "mewslix", 11),
        (XTREME_R, "lareqa", 11),
        (XTREME_R, "tydiqa", 9),
        (XTREME_R, "xcopa", 11),
        (XTREME_R, "xnli", 15),
        (XTREME_R, "mlqa", 7),
    ],
)
def test_language_sets_have_the_published_sizes(
    sets: dict[str, tuple[str, ...]], task: str, number: int
) -> None:
    assert len(sets[task]) == number


def test_xtreme_r_covers_fifty_languages() -> None:
    assert len({code for codes in XTREME_R.values() for code in codes}) == 50


def test_every_target_has_its_set() -> None:
    assert all(set(TASKS[name].languages) == set(codes) for name, codes in XTREME_R.items())


def put(record: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        record = record.setdefault(parent, {})
    record[last] = value


def invented(ref: DataRef, task: TaskSpec, number: int) -> dict[str, Any]:
    """A record with the columns that a task's mapping names."""
    options, record = ref.options, {}
    texts = {
        "context": "Ada wrote it in 1843.",
        "question": "cause" if "question_map" in options else "Who wrote it?",
        "text_a": "one",
        "text_b": "two",
        "query": "one",
        "candidate": "two",
    }
    for option, text in texts.items():
        if option in options:
            put(record, str(options[option]), text)
    for option, value in (("words", ["Ada"]), ("tags", [0]), ("answers", ["Ada"]), ("starts", [0])):
        if option in options:
            put(record, str(options[option]), value)
    choices = options.get("choices", ())
    for column in choices if isinstance(choices, list) else ():
        put(record, column, "a choice")
    if isinstance(choices, str):
        put(record, choices, ["x", "y"])
    if "choice_keys" in options:
        put(record, str(options["choice_keys"]), ["A", "B"])
    if "label" in options:
        keyed = "B" if "choice_keys" in options else next(iter(options.get("label_map", {0: 0})))
        put(record, str(options["label"]), keyed)
    if "id" in options:
        put(record, str(options["id"]), f"id-{number}")
    return record


HUB = [(task, ref) for task in CATALOGUE for ref in task.data if ref.source.startswith("hub:")]


@pytest.mark.parametrize(
    ("task", "ref"), HUB, ids=[f"{task.name}-{ref.source}" for task, ref in HUB]
)
def test_column_mappings_of_the_hub_give_rows_of_the_kind(
    task: TaskSpec, ref: DataRef, tmp_path: Path
) -> None:
    if ref.reader == "mewsli_x":
        pytest.skip("not Parquet: test_reader_formats reads its JSON lines")
    path = tmp_path / "0000.parquet"
    pq.write_table(pa.Table.from_pylist([invented(ref, task, number) for number in range(3)]), path)
    rows = read(ref.reader, [path], ref.options, labels=task.labels)
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMAS[task.kind])
    assert num_examples(table.to_pylist()) == 3


LOCAL = [task for task in CATALOGUE for ref in task.data if ref.source.startswith("dir:")]
BY_LICENCE_OR_DOWNLOAD = ("ccg", "bucc2018")


@needs_shared
@pytest.mark.parametrize("task", LOCAL, ids=lambda task: task.name)
def test_tasks_of_a_folder_read_the_real_files(task: TaskSpec) -> None:
    if task.name in BY_LICENCE_OR_DOWNLOAD:
        pytest.skip("its data are not in the shared folder")
    for ref in task.data:
        for split, patterns in ref.files.items():
            per_language = any("{lang}" in pattern for pattern in patterns)
            languages = task.languages if per_language and split != "train" else ("en",)
            if split == "dev" and per_language:
                languages = tuple(code for code in languages if code == "en")
            if split == "test" and not per_language:
                languages = task.languages
            for language in languages:
                rows = read_task(task, ref, language, split, [])
                pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMAS[task.kind])
                size = task.sizes.get(f"{split}.{language}", task.sizes.get(split))
                assert size is None or num_examples(rows) == size, f"{split}.{language}"


@needs_shared
def test_held_out_dev_data_share_no_context_with_training_data() -> None:
    task = TASKS["cosmosqa_small"]
    train, dev = (read_task(task, task.data[0], "en", split, []) for split in ("train", "dev"))
    assert len(train) + len(dev) == 2985 and 150 < len(dev) < 450
    assert not {row["context"] for row in train} & {row["context"] for row in dev}


@needs_shared
def test_real_defects_are_counted_not_hidden() -> None:
    defects: list[str] = []
    task = TASKS["americasnli"]
    read_task(task, task.data[0], "nah", "test", defects)
    assert len(defects) == 3
    assert all(defect.startswith(f"empty_text: {SHARED}") for defect in defects)
