"""What a hub has, refuses and breaks off: one on this machine, asked by the real client."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import datasets
import pytest
from huggingface_hub import constants

from scaling.catalogue.sources import CONVERTED, STATED
from scaling.catalogue.task import Key
from scaling.data import hub as client
from scaling.data.hub import commit_of, files_of, listing, sha256_of
from scaling.data.rows import read_table, stage_task
from scaling.data.schema import BadData
from scaling.store.store import Store
from scaling.study.study import Study
from tests.helpers import hub_layouts
from tests.helpers.hub_layouts import content, fill, layouts, parquet
from tests.helpers.hub_server import Hub
from tests.helpers.reading import read

STUDY = Study(
    name="s",
    models=("xlm-r-base",),
    arms=("none", "qqp", "hellaswag"),
    targets=("xquad", "mewslix", "xcopa", "tydiqa"),
    seeds=(0,),
)


def staged(task: str, store: Path, **options: Any) -> dict[str, str]:
    accept = ("size",)
    return stage_task(
        STUDY, STUDY.task(task), Store.open(store), None, **{"accept": accept, **options}
    )


def asked(hub: Hub, commit: str = "", **options: Any) -> str:
    return commit_of("dataset", "org/mine", options.get("ref", "main"), None, commit, "task mine")


def test_tasks_stage_from_the_layouts_of_the_hub(tmp_path: Path, hub: Hub) -> None:
    """The repositories whose files had another form than their readers wanted."""
    hub.page = 7
    fill(hub, only=("nyu-mll/glue", "google/xquad", "izhx/mewsli-x"))
    for task in ("qqp", "xquad", "mewslix"):
        hashes = staged(task, tmp_path / "store")
        store = Store.open(tmp_path / "store")
        for key, digest in hashes.items():
            assert read_table(store, task, Key.read(key), digest).num_rows >= 6
    manifest = store.read_json("data/mewslix/manifest.json")
    assert manifest["sources"] == [["hub:izhx/mewsli-x", STATED["izhx/mewsli-x"]]]
    archive = "hub:izhx/mewsli-x/candidate_entities.jsonl.tar.gz"
    assert len(manifest["files"][archive]) == 64
    # Trees in many pages, large files by a redirect, none of them twice.
    assert any("cursor=7" in request for request, _, _ in hub.requests)
    gets = [request for request, _, _ in hub.requests if request.startswith("GET /blobs")]
    assert len(gets) == len(set(gets)) > 12
    # Nothing has been asked for that a task does not read.
    assert not hub.sent("dev.jsonl$") and not hub.sent("README")


def test_another_number_of_defects_is_refused(tmp_path: Path, hub: Hub) -> None:
    (layout,) = (one for one in layouts() if one.hub == "google/xquad")
    files: dict[str, Any] = {
        file.path: content(file, 560 if file.code == "ar" else 120) for file in layout.files
    }
    (arabic,) = (file for file in layout.files if file.code == "ar")
    rows = [hub_layouts.shifted(500)(at, "ar") for at in range(560)]
    files[arabic.path] = parquet(rows, arabic.columns)
    hub.commit(layout.hub, files, commit=STATED[layout.hub])
    with pytest.raises(
        BadData,
        match=r"xquad, test.ar: 500 × answer_elsewhere where 26 are expected: another version",
    ):
        staged("xquad", tmp_path / "store")


def test_a_label_outside_and_a_column_that_is_missing(tmp_path: Path, hub: Hub) -> None:
    (layout,) = (one for one in layouts() if one.hub == "nyu-mll/glue")
    train, dev = layout.files
    classes = hub_layouts.features(
        question1="string", question2="string", label=("no", "yes"), idx="int32"
    )
    rows = [train.make(at, "en") for at in range(4)]
    for content_, message in (
        (parquet(rows, classes), "its own metadata name the classes of 'label' no, yes; the task"),
        (
            parquet(
                [{**row, "label": 7} for row in rows],
                hub_layouts.features(
                    question1="string", question2="string", label="int64", idx="int32"
                ),
            ),
            r"row 1: label 7 is not one of 0 to 1 \(not_duplicate, duplicate\)",
        ),
        (
            parquet(
                [{"q1": "a", "q2": "b", "label": 0, "idx": 1}],
                hub_layouts.features(q1="string", q2="string", label="int64", idx="int32"),
            ),
            r"no column 'question1'; there: \['idx', 'label', 'q1', 'q2'\]",
        ),
    ):
        hub.commit(layout.hub, {train.path: content_, dev.path: content(dev, 4)}, ref=CONVERTED)
        with pytest.raises(BadData, match=message):
            staged("qqp", tmp_path / "store")


def test_the_class_order_of_the_file_rules(tmp_path: Path, hub: Hub) -> None:
    (layout,) = (one for one in layouts() if one.hub == "nyu-mll/glue")
    columns = hub_layouts.features(
        question1="string",
        question2="string",
        label=("duplicate", "not_duplicate"),
        idx="int32",
    )
    rows = [layout.files[0].make(at, "en") for at in range(6)]
    path = tmp_path / "0000.parquet"
    path.write_bytes(parquet(rows, columns))
    labels = ("different", "duplicate")
    made = read("hub_parquet", [path], STUDY.task("qqp").data[0].options, labels=labels)
    assert [row["label"] for row in made[:2]] == ["duplicate", "different"]


def test_arrow_folders_of_save_to_disk_are_read(tmp_path: Path) -> None:
    columns = {"text": ["NA", "None", "1e3", "null"], "label": [0, 1, 1, 0]}
    held = datasets.Dataset.from_dict(
        columns,
        features=datasets.Features(
            {
                "text": datasets.Value("string"),
                "label": datasets.ClassLabel(names=["no", "yes"]),
            }
        ),
    )
    datasets.DatasetDict({"train": held}).save_to_disk(tmp_path / "mine", num_shards={"train": 2})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    files = sorted((tmp_path / "mine" / "train").glob("*.arrow"))
    assert len(files) == 2
    options = {"text_a": "text", "label": "label"}
    made = read("hub_parquet", files, options, labels=("no", "yes"))
    assert [(row["text_a"], row["label"]) for row in made] == [
        ("NA", "no"),
        ("None", "yes"),
        ("1e3", "yes"),
        ("null", "no"),
    ]
    files[0].write_bytes(files[0].read_bytes()[:200])
    with pytest.raises(BadData, match=r"data-00000-of-00002.arrow: (not an Arrow file|behind row)"):
        read("hub_parquet", files, options, labels=("no", "yes"))
    files[0].write_bytes(before[files[0]])
    # Reading leaves no file behind.
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_private_and_gated_repositories_say_what_to_do(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.commit("org/mine", {"train.jsonl": b"{}\n"})
    (repository,) = hub.repositories.values()
    repository.private = True
    with pytest.raises(BadData, match=r"'org/mine'.*private and needs a token.*`hf auth login`"):
        asked(hub)
    with pytest.raises(BadData, match=r"no such repository for you.*HF_TOKEN"):
        commit_of("dataset", "org/mien", "main", None, "", "task mine")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert asked(hub) == commit
    repository.private, repository.gated = False, True
    monkeypatch.delenv("HF_TOKEN")
    terms = re.escape(f"{hub.url}/datasets/org/mine")
    with pytest.raises(BadData, match=f"it is gated: accept its terms at {terms} and give your"):
        files_of("dataset", "org/mine", commit, ["*.jsonl"], "task mine")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    folder = files_of("dataset", "org/mine", commit, ["*.jsonl"], "task mine")
    assert (folder / "train.jsonl").read_bytes() == b"{}\n"


def test_a_repository_with_a_script_only(hub: Hub) -> None:
    hub.commit("org/mine", {"mine.py": b"import datasets\n", "README.md": b"# mine\n"})
    with pytest.raises(BadData, match=r"a script only \(mine.py\), which is never run here"):
        asked(hub, ref=CONVERTED)
    hub.commit("org/mine", {"data/train.parquet": b"PAR1"})
    with pytest.raises(BadData, match=r"has no 'refs/convert/parquet'; its main .*train.parquet"):
        asked(hub, ref=CONVERTED)
    with pytest.raises(BadData, match="it has no branch 'v2'"):
        asked(hub, ref="v2")


def test_a_branch_that_moves_leaves_what_is_locked(hub: Hub) -> None:
    old = hub.commit("org/mine", {"train.jsonl": b"1\n"})
    new = hub.commit("org/mine", {"train.jsonl": b"2\n"})
    assert asked(hub) == new != old == asked(hub, old)
    folder = files_of("dataset", "org/mine", old, ["*.jsonl"], "task mine")
    assert (folder / "train.jsonl").read_text() == "1\n"
    # The conversion is made anew, and its history with it.
    gone = hub.commit("org/mine", {"0000.parquet": b"3"}, ref=CONVERTED)
    del hub.repositories["datasets", "org/mine"].commits[gone]
    with pytest.raises(BadData, match=rf"{gone} is neither .* has no such commit any more"):
        files_of("dataset", "org/mine", gone, ["*.parquet"], "task mine")


@pytest.mark.parametrize("status", [429, 503])
def test_a_hub_that_is_busy_for_a_moment(hub: Hub, status: int) -> None:
    commit = hub.commit("org/mine", {"train.jsonl": b"1\n"})
    hub.fail("api/datasets/org/mine$|/revision/", times=2, status=status, Retry_After="0")
    assert asked(hub) == commit
    hub.fail("/tree/", times=1, status=status, Retry_After="0")
    assert listing("dataset", "org/mine", commit) == {"train.jsonl": 2}
    hub.fail("/resolve/", times=1, status=status, Retry_After="0")
    files_of("dataset", "org/mine", commit, ["*.jsonl"], "task mine")


def test_a_hub_that_stays_away_is_one_message(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.commit("org/mine", {"train.jsonl": b"1\n"})
    monkeypatch.setattr(client, "_WAITS", (0.0,))
    hub.fail(".", times=100, status=500)
    with pytest.raises(BadData, match=r"'org/mine': nobody states.*500.*--from DIR") as caught:
        asked(hub)
    assert "\n" not in str(caught.value)


def test_a_download_that_is_broken_off_goes_on(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    # The client keeps whole pieces, of 10 MB where nobody says another size.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)
    big = bytes(range(256)) * 4_000
    commit = hub.commit("org/mine", {"a.bin": big, "b.bin": big[::-1], "c.bin": big[1:]})
    # In the middle of a file: the client asks for the rest of it.
    hub.fail("/blobs/", times=1, after=100_000)
    folder = files_of("dataset", "org/mine", commit, ["a.bin"], "task mine")
    assert (folder / "a.bin").read_bytes() == big
    assert hub.sent("GET /blobs/") == len(big)
    # For good: what has come stays, and the next call fetches the others alone.
    hub.fail("/blobs/", times=1, status=404)
    with pytest.raises(BadData, match=r"neither in the cache.*404.*stay there: the same command"):
        files_of("dataset", "org/mine", commit, ["b.bin", "a.bin"], "task mine")
    folder = files_of("dataset", "org/mine", commit, ["*.bin"], "task mine")
    assert hub.sent("GET /blobs/") == len(b"{}") + 2 * len(big) + len(big[1:])
    assert (folder / "b.bin").read_bytes() == big[::-1]


def test_a_full_disk_is_named(tmp_path: Path, hub: Hub) -> None:
    """The cache on a file system of its own with 1 MB: where this system lets us have one."""
    cache = tmp_path / "hub-cache"
    cache.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(cache)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        commit = hub.commit("org/mine", {"a.bin": bytes(4_000_000)})
        with pytest.raises(BadData, match=r"the disk of .*hub-cache is full: make room there, or"):
            files_of("dataset", "org/mine", commit, ["a.bin"], "task mine")
    finally:
        subprocess.run(["umount", str(cache)], check=True)


def test_a_full_disk_is_known_behind_other_errors(hub: Hub) -> None:
    full = Path("/dev/full")
    if not full.is_char_device():
        pytest.skip("this system has no /dev/full")
    stream = os.open(full, os.O_WRONLY)
    try:
        os.write(stream, b"x")
    except OSError as error:
        behind = RuntimeError("the client's own words")
        behind.__cause__ = error
        assert "is full: make room" in client.why(behind, "dataset", "org/mine", "main")
    finally:
        os.close(stream)


def test_a_damaged_file_of_the_cache_is_found(tmp_path: Path, hub: Hub) -> None:
    small, large = b'{"text": "small"}\n', b"x" * 4_000
    commit = hub.commit("org/mine", {"small.jsonl": small, "large.bin": large})
    folder = files_of("dataset", "org/mine", commit, ["*"], "task mine")
    for name in ("small.jsonl", "large.bin"):
        assert len(sha256_of(folder / name)) == 64
        blob = (folder / name).resolve()
        blob.write_bytes(blob.read_bytes().replace(b"m", b"n", 1).replace(b"x", b"y", 1))
        with pytest.raises(BadData, match=rf"{name}: its hash is \w+, the hub states .*Delete"):
            sha256_of(folder / name)
