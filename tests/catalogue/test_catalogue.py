"""The catalogue: complete, consistent, at the commits that are stated."""

from __future__ import annotations

import re

import pytest

from scaling.catalogue import CATALOGUE, TASKS
from scaling.catalogue.models import MODELS
from scaling.catalogue.task import TaskSpec
from scaling.data.readers import READERS
from scaling.kinds.metrics import METRICS
from tests.helpers.reading import SHARED, needs_shared


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
    # The embedding models' commits stand beside their sizes.
    families = (SHARED.parent / "hub_and_families.md").read_text()
    known |= {
        name: revision
        for name, revision in sources.items()
        if "Qwen3-Embedding" in name and revision in families
    }
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
                or "{lang}" in ref.options.values()
                or "{lang}" in str(ref.options.get("id_prefix", ""))
                or len(task.languages) == 1
            )
            assert not set(ref.codes) - {*task.languages, "en"} or task.name.startswith("tatoeba")


def test_every_task_trains_on_tasks_that_exist() -> None:
    for task in TASKS.values():
        for name in task.trains_on:
            assert name in TASKS, (task.name, name)


def test_no_task_names_a_branch_as_revision() -> None:
    for task in TASKS.values():
        for ref in task.data:
            assert ref.revision is None or len(ref.revision) == 40, task.name
