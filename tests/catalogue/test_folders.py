"""Tasks of a folder of files read the real ones."""

from __future__ import annotations

import pyarrow as pa
import pytest

from scaling.catalogue import CATALOGUE, TASKS
from scaling.catalogue.task import TaskSpec
from scaling.data.schema import SCHEMAS
from tests.helpers.reading import SHARED, needs_shared, num_examples, read_task

LOCAL = [task for task in CATALOGUE for ref in task.data if ref.source.startswith("dir:")]
BY_LICENCE_OR_DOWNLOAD = ("ccg", "bucc2018", "taxi1500", "tydiqa_files")


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
