"""What staging reads, at which commit, and what it refuses. The hub's cache is a local folder in
its own layout.
"""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from scaling.catalogue.task import DEV, Key
from scaling.data.manifest import defect_notes, staged_tasks
from scaling.data.rows import content_hash, data_name, manifest_name, read_table
from scaling.data.schema import BadData
from scaling.store.files import StoreError
from scaling.store.place import sha256
from scaling.store.store import Store
from scaling.study.identity import fingerprint, token_cache_name
from scaling.study.plan import make_plan
from scaling.study.study import load_study
from tests.helpers.step_records import record_of
from tests.helpers.tiny import make_model, write_study

pytest.importorskip("torch")

from scaling.data.tokens import features
from scaling.training.stage import stage

OLD, NEW = "0" * 39 + "1", "0" * 39 + "2"
HUB = "hub:org/mine"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An offline cache with two commits of org/mine; the second has another row."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    for commit, words in ((OLD, "one two"), (NEW, "one three")):
        put(folder / "datasets--org--mine" / "snapshots" / commit, words)
    return folder


def put(folder: Path, words: str = "one two", test: int = 4) -> None:
    folder.mkdir(parents=True)
    for split, count in (("train", 8), ("dev", 4), ("test", test)):
        rows = [{"text": f"{words} {at}", "label": "ab"[at % 2]} for at in range(count)]
        (folder / f"{split}.jsonl").write_text(
            "\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8"
        )


def study_file(folder: Path, models: list[dict[str, Any]], **fields: Any) -> Path:
    """A study of one task; `fields` change the task, those of its data as `data_…`."""
    task = {
        "name": "mine",
        "kind": "classification",
        "labels": ["a", "b"],
        "metric": "accuracy",
        "languages": ["en"],
        **{name: value for name, value in fields.items() if not name.startswith("data_")},
        "data": [
            {
                "reader": "jsonl",
                "source": HUB,
                "options": {"text_a": "text", "label": "label"},
                "files": {split: [f"{split}.jsonl"] for split in ("train", "dev", "test")},
                **{
                    name.removeprefix("data_"): value
                    for name, value in fields.items()
                    if name.startswith("data_")
                },
            }
        ],
    }
    content = {
        "name": "own",
        "models": [models[0]["name"]],
        "arms": ["none"],
        "targets": ["mine"],
        "seeds": [0],
        "define": {"models": models[:1], "tasks": [task]},
    }
    return write_study(folder, content)


def staged(
    path: Path, store: Path, folder: Path | None = None, accept: tuple[str, ...] = ()
) -> Any:
    return stage(load_study(path), Store.open(store), folder, lambda what: None, accept)


def test_a_stated_commit_is_read_and_locked(
    cache: Path, tmp_path: Path, tiny_models: list[Any]
) -> None:
    for commit in (OLD, NEW):
        path = study_file(tmp_path, tiny_models, data_revision=commit)
        lock = staged(path, tmp_path / commit)
        assert lock.revisions == {HUB: commit}
        assert Store.open(tmp_path / commit).read_lock() == lock
    assert (
        lock.data
        != staged(study_file(tmp_path, tiny_models, data_revision=OLD), tmp_path / OLD).data
    )


def test_a_locked_commit_is_obeyed_where_the_spec_has_none(
    cache: Path, tmp_path: Path, tiny_models: list[Any]
) -> None:
    first = staged(study_file(tmp_path, tiny_models, data_revision=OLD), tmp_path / "store")
    # Another request of the same source, without a revision: nobody is asked, the lock file knows.
    again = staged(study_file(tmp_path, tiny_models, note="x"), tmp_path / "store")
    assert again == first


def test_a_lock_file_that_disagrees(cache: Path, tmp_path: Path, tiny_models: list[Any]) -> None:
    path = study_file(tmp_path, tiny_models, data_revision=OLD)
    staged(path, tmp_path / "store")
    with pytest.raises(
        BadData, match=rf"'org/mine': the spec says revision {NEW}, the store's lock file {OLD}"
    ):
        staged(study_file(tmp_path, tiny_models, data_revision=NEW), tmp_path / "store")
    lock = tmp_path / "store" / "lock.json"
    before = lock.read_text()
    path = study_file(tmp_path, tiny_models, data_revision=OLD)
    lock.write_text(before.replace(OLD, NEW))
    with pytest.raises(StoreError, match=r"lock.json is broken \(its digest is another\)"):
        staged(path, tmp_path / "store")
    # Written before locks had a digest.
    entries = {name: part for name, part in json.loads(before).items() if name != "digest"}
    before = json.dumps(entries)
    lock.write_text(before.replace(OLD, NEW))
    with pytest.raises(
        StoreError, match=rf"hub:org/mine was staged at {OLD}, but the store's lock file says {NEW}"
    ):
        staged(path, tmp_path / "store")
    lock.write_text(before.replace(OLD, "main"))
    with pytest.raises(BadData, match="lock file says 'main', which is no commit"):
        staged(study_file(tmp_path, tiny_models, note="y"), tmp_path / "store")
    lock.write_text(before[:-5])
    with pytest.raises(StoreError, match=r"lock.json is broken"):
        staged(path, tmp_path / "store")


def test_offline_without_a_commit_or_without_its_files(
    cache: Path, tmp_path: Path, tiny_models: list[Any]
) -> None:
    with pytest.raises(
        BadData,
        match=r"mine: hub dataset 'org/mine': nobody states its revision.*of 'main'.*--from",
    ):
        staged(study_file(tmp_path, tiny_models), tmp_path / "store")
    missing = "f" * 40
    with pytest.raises(
        BadData,
        match=rf"'org/mine' at revision {missing} is neither in the cache \({cache}\).*--from",
    ):
        staged(study_file(tmp_path, tiny_models, data_revision=missing), tmp_path / "store")
    # Part of a snapshot: the missing file is named.
    (cache / "datasets--org--mine" / "snapshots" / OLD / "test.jsonl").unlink()
    with pytest.raises(BadData, match=r"test.jsonl: no such file for test of 'en'. .*train.jsonl"):
        staged(study_file(tmp_path, tiny_models, data_revision=OLD), tmp_path / "store")


def test_a_copy_in_the_data_folder_goes_before_the_hub(
    tmp_path: Path, tiny_models: list[Any]
) -> None:
    put(tmp_path / "data" / "org" / "mine")
    lock = staged(study_file(tmp_path, tiny_models), tmp_path / "store", tmp_path / "data")
    assert lock.revisions == {}


def test_a_published_size_is_checked_and_can_be_accepted(
    tmp_path: Path, tiny_models: list[Any]
) -> None:
    put(tmp_path / "data" / "org" / "mine", test=3)
    path = study_file(tmp_path, tiny_models, sizes={"train": 8, "test.en": 4})
    with pytest.raises(
        BadData, match=r"mine, test.en: 3 examples where 4 are published.*--accept size"
    ):
        staged(path, tmp_path / "store", tmp_path / "data")
    with pytest.raises(ValueError, match=r"Unknown defect 'sizes'. Did you mean 'size'"):
        staged(path, tmp_path / "store", tmp_path / "data", ("sizes",))
    staged(path, tmp_path / "store", tmp_path / "data", ("size",))
    (found,) = staged_tasks(load_study(path), Store.open(tmp_path / "store"))
    assert (found.rows, found.defects) == ({"train": 8, "dev": 4, "test": 3}, {"size": 1})
    # Once accepted it stays so: the rows are in the lock file.
    staged(path, tmp_path / "store", tmp_path / "data")


def test_a_defect_accepted_by_the_flag_is_counted_and_shown(
    tmp_path: Path, tiny_models: list[Any]
) -> None:
    folder = tmp_path / "data" / "org" / "mine"
    put(folder, test=60)
    with (folder / "test.jsonl").open("a") as file:
        file.write('{"text": " ", "label": "a"}\n')
    path = study_file(tmp_path, tiny_models)
    with pytest.raises(
        BadData, match=r"test.jsonl:61: 'text' is empty. To count .*`--accept empty_text`.*to 2%"
    ):
        staged(path, tmp_path / "store", tmp_path / "data")
    staged(path, tmp_path / "store", tmp_path / "data", ("empty_text",))
    tasks = staged_tasks(load_study(path), Store.open(tmp_path / "store"))
    assert defect_notes(tasks) == [
        "mine: defects of the data, accepted and counted: 1 × empty_text (data/mine/manifest.json"
        " lists them)."
    ]


def test_an_accepted_defect_cannot_move_a_score(tmp_path: Path, tiny_models: list[Any]) -> None:
    folder = tmp_path / "data" / "org" / "mine"
    put(folder, test=60)
    with (folder / "test.jsonl").open("a") as file:
        file.write('{"text": " ", "label": "a"}\n' * 2)
    with pytest.raises(
        BadData, match=r"test.en: 2 × empty_text of 62 are more than 2%.*empty_text: {test.en: 2}"
    ):
        staged(
            study_file(tmp_path, tiny_models), tmp_path / "s", tmp_path / "data", ("empty_text",)
        )
    for count, message in ((2, ""), (3, "2 × empty_text where 3 are expected")):
        path = study_file(tmp_path, tiny_models, defects={"empty_text": {"test": count}})
        if message:
            with pytest.raises(BadData, match=message):
                staged(path, tmp_path / f"{count}", tmp_path / "data")
        else:
            staged(path, tmp_path / f"{count}", tmp_path / "data")


def test_a_branch_name_is_no_revision(tmp_path: Path, tiny_models: list[Any]) -> None:
    path = study_file(tmp_path, tiny_models, data_revision="main")
    with pytest.raises(
        ValueError,
        match=r"study.yaml:\d+: .*revision: not a commit of 40 hex digits.*\(got 'main'\)",
    ):
        load_study(path)


def test_a_hub_model_without_network(
    tmp_path: Path, tiny_models: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    put(tmp_path / "data" / "org" / "mine")
    model = {**tiny_models[0], "source": "hub:org/model"}
    path = study_file(tmp_path, [model])
    with pytest.raises(
        BadData, match=r"model 'tiny-1': hub model 'org/model': nobody states its revision"
    ):
        staged(path, tmp_path / "store", tmp_path / "data")
    path = study_file(tmp_path, [{**model, "revision": OLD}])
    with pytest.raises(BadData, match=rf"'org/model' at revision {OLD} is neither in the cache"):
        staged(path, tmp_path / "store", tmp_path / "data")
    snapshot = tmp_path / "cache" / "models--org--model" / "snapshots" / OLD
    make_model(snapshot, "xlm-roberta", 1)
    assert staged(path, tmp_path / "store", tmp_path / "data").models["tiny-1"]["revision"] == OLD
    with pytest.raises(
        BadData, match=rf"the spec says revision {NEW}, the store's lock file {OLD}"
    ):
        staged(
            study_file(tmp_path, [{**model, "revision": NEW}]),
            tmp_path / "store",
            tmp_path / "data",
        )


def test_the_architecture_is_named_never_guessed(tmp_path: Path) -> None:
    """The stored config.json of XLM-R XXL has named the wrong model type."""
    put(tmp_path / "data" / "org" / "mine")
    spec = {"name": "xl", **make_model(tmp_path / "xl", "xlm-roberta-xl", 1)}
    config = json.loads((tmp_path / "xl" / "config.json").read_text())
    (tmp_path / "xl" / "config.json").write_text(
        json.dumps({**config, "model_type": "xlm-roberta"})
    )
    staged(study_file(tmp_path, [spec]), tmp_path / "store", tmp_path / "data")
    written = json.loads((tmp_path / "store" / "models" / "xl" / "config.json").read_text())
    assert written["model_type"] == "xlm-roberta-xl"
    wrong = {**spec, "architecture": "xlm-roberta"}
    with pytest.raises(
        BadData,
        match="names the architecture 'xlm-roberta', but the weights end with the last layer",
    ):
        staged(study_file(tmp_path, [wrong]), tmp_path / "other", tmp_path / "data")


def content_of(store: Path) -> dict[str, bytes]:
    """Every file of a store but the lock of who stages."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and path.name not in ("staging.json", ".replacing")
    }


def finished(path: Path, store: Path) -> None:
    """Have all steps of a staged study done, by nobody."""
    opened = Store.open(store)
    plan = make_plan(load_study(path), opened.read_lock())
    for step in plan.steps:
        assert opened.commit(record_of(plan, step))


def test_a_refused_staging_has_written_nothing(tmp_path: Path, tiny_models: list[Any]) -> None:
    put(tmp_path / "data" / "org" / "mine")
    path, store = study_file(tmp_path, tiny_models), tmp_path / "store"
    lock = staged(path, store, tmp_path / "data")
    before = content_of(store)
    put(tmp_path / "other" / "org" / "mine", words="three four")
    changed = study_file(tmp_path, tiny_models, ceiling=0.9, ceiling_source="other data")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"rows of .*test.en.* differ .*Nothing was written"):
            staged(changed, store, tmp_path / "other")
        assert content_of(store) == before
    # The manifest of a staging that was refused by an older version, over its rows.
    staged(changed, tmp_path / "refused", tmp_path / "other")
    for file in (tmp_path / "refused" / "data" / "mine").iterdir():
        (store / "data" / "mine" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(StoreError, match="differ"):
        staged(changed, store, tmp_path / "other")
    assert staged(study_file(tmp_path, tiny_models), store, tmp_path / "data") == lock
    assert staged(study_file(tmp_path, tiny_models), store) == lock


def test_damaged_rows_are_named_and_made_again(tmp_path: Path, tiny_models: list[Any]) -> None:
    put(tmp_path / "data" / "org" / "mine")
    path, store = study_file(tmp_path, tiny_models), tmp_path / "store"
    lock = staged(path, store, tmp_path / "data")
    rows = store / "data" / "mine" / "test.en.parquet"
    good, expected = rows.read_bytes(), lock.data["mine"]["test.en"]
    # Whole rows of another content, as a wrong copy leaves them.
    rows.write_bytes((rows.parent / "train.en.parquet").read_bytes())
    (rows.parent / "manifest.json").write_text(
        (rows.parent / "manifest.json").read_text().replace('"file"', '"older"')
    )
    for damage in (rows.read_bytes(), good[:-40], b"", None):
        rows.unlink() if damage is None else rows.write_bytes(damage)
        with pytest.raises(StoreError, match=r"test.en.parquet: .*`scaling stage STUDY --store"):
            read_table(Store.open(store), "mine", Key("test", "en"), expected)
        with pytest.raises(BadData, match="--from"):
            staged(path, store)
        assert staged(path, store, tmp_path / "data") == lock
        assert (
            content_hash(read_table(Store.open(store), "mine", Key("test", "en"), expected))
            == expected
        )


def test_no_flipped_bit_is_read_as_other_content(tmp_path: Path, tiny_models: list[Any]) -> None:
    put(tmp_path / "data" / "org" / "mine")
    path, store = study_file(tmp_path, tiny_models), Store.open(tmp_path / "store")
    lock = staged(path, tmp_path / "store", tmp_path / "data")
    study = load_study(path)
    task, recipe = study.task("mine"), study.recipe("mine")
    tokenizer = tmp_path / "store" / "models" / tiny_models[0]["name"] / "tokenizer.json"
    rng, caught = random.Random(0), 0
    for text, digest in lock.data["mine"].items():
        key = Key.read(text)
        expected = features(store, task, key, digest, recipe, tokenizer)
        cached = tmp_path / "store" / token_cache_name(task, recipe, digest, sha256(tokenizer))
        assert cached.is_file()
        for file in (tmp_path / "store" / data_name("mine", key), cached):
            good = file.read_bytes()
            for _ in range(25):
                bad, at = bytearray(good), rng.randrange(len(good))
                bad[at] ^= 1 << rng.randrange(8)
                file.write_bytes(bytes(bad))
                try:
                    assert features(store, task, key, digest, recipe, tokenizer) == expected
                except StoreError:
                    caught += 1
                assert file == cached or file.read_bytes() == bytes(bad)
                file.write_bytes(good)
    assert caught == 3 * 25
    # The cache of other rows in the place of these.
    one, other = (
        tmp_path
        / "store"
        / token_cache_name(task, recipe, lock.data["mine"][key], sha256(tokenizer))
        for key in ("dev.en", "train.en")
    )
    expected = features(store, task, DEV, lock.data["mine"]["dev.en"], recipe, tokenizer)
    one.write_bytes(other.read_bytes())
    assert features(store, task, DEV, lock.data["mine"]["dev.en"], recipe, tokenizer) == expected


def test_a_model_that_finished_steps_started_from_stays(
    tmp_path: Path, tiny_models: list[Any]
) -> None:
    put(tmp_path / "data" / "org" / "mine")
    path, store = study_file(tmp_path, tiny_models), tmp_path / "store"
    staged(path, store, tmp_path / "data")
    other = {"name": tiny_models[0]["name"], **make_model(tmp_path / "other", "xlm-roberta", 1, 7)}
    changed = study_file(tmp_path, [other])
    # Nothing rests on it yet.
    assert staged(changed, store, tmp_path / "data").models != {}
    path = study_file(tmp_path, tiny_models)
    lock = staged(path, store, tmp_path / "data")
    finished(path, store)
    before = content_of(store)
    with pytest.raises(
        StoreError, match=r"model tiny-1: its weights and tokenizer differ .*1 finished step"
    ):
        staged(study_file(tmp_path, [other]), store, tmp_path / "data")
    assert content_of(store) == before
    assert staged(study_file(tmp_path, tiny_models), store, tmp_path / "data") == lock


def test_two_stagings_at_once_do_not_meet(tmp_path: Path, tiny_models: list[Any]) -> None:
    put(tmp_path / "data" / "org" / "mine")
    path, store = study_file(tmp_path, tiny_models), tmp_path / "store"
    with ThreadPoolExecutor(3) as pool:
        locks = list(pool.map(lambda _: staged(path, store, tmp_path / "data"), range(3)))
    assert locks == [Store.open(store).read_lock()] * 3


WORDS = {"licence": "MIT", "citation": "ham2020kornli", "note": "as it was"}
CITED = {"licence": "CC0", "citation": "ponti2020xcopa"}
NEW_WORDS = {**CITED, "note": "read once more"}


def local_study(folder: Path, models: list[dict[str, Any]], **fields: Any) -> Path:
    """The study of one task, read from `folder/raw/mine`."""
    return study_file(folder, models, data_source="dir:mine", **fields)


def test_new_words_of_a_task_re_read_no_data(tmp_path: Path, tiny_models: list[Any]) -> None:
    put(tmp_path / "raw" / "mine")
    first = staged(
        local_study(tmp_path, tiny_models, **WORDS), tmp_path / "store", tmp_path / "raw"
    )
    rows = tmp_path / "store" / data_name("mine", Key("train", "en"))
    before = rows.stat().st_mtime_ns
    # Nothing could be read again: its files are gone.
    (tmp_path / "raw").rename(tmp_path / "elsewhere")
    (tmp_path / "raw").mkdir()
    path = local_study(tmp_path, tiny_models, **NEW_WORDS)
    assert staged(path, tmp_path / "store", tmp_path / "raw") == first
    assert rows.stat().st_mtime_ns == before
    manifest = Store.open(tmp_path / "store").read_json(manifest_name("mine"))
    assert {field: manifest[field] for field in CITED} == CITED
    assert staged_tasks(load_study(path), Store.open(tmp_path / "store"))[0].licence == "CC0"
    # What is no word is another request still.
    with pytest.raises(BadData):
        staged(
            local_study(tmp_path, tiny_models, **NEW_WORDS, defects={"empty_text": {"train": 1}}),
            tmp_path / "store",
            tmp_path / "raw",
        )


def test_new_words_of_a_model_stage_no_weights(tmp_path: Path, tiny_models: list[Any]) -> None:
    put(tmp_path / "raw" / "mine")
    first = staged(local_study(tmp_path, tiny_models), tmp_path / "store", tmp_path / "raw")
    folder = tmp_path / "store" / "models" / tiny_models[0]["name"]
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    words = {"label": "T", "licence": "MIT", "licence_source": "unseen", "citation": "Me 2025"}
    path = local_study(tmp_path, [{**tiny_models[0], **words}])
    assert staged(path, tmp_path / "store", tmp_path / "raw") == first
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_store_whose_request_has_the_words_is_neither_refused_nor_read_needlessly(
    tmp_path: Path, tiny_models: list[Any]
) -> None:
    put(tmp_path / "raw" / "mine")
    path = local_study(tmp_path, tiny_models, **WORDS)
    first = staged(path, tmp_path / "store", tmp_path / "raw")
    opened = Store.open(tmp_path / "store")
    manifest = opened.read_json(manifest_name("mine"))
    study = load_study(path)
    task = study.task("mine")
    old = fingerprint(
        {
            "task": task.model_dump(mode="json", exclude_defaults=True),
            "splits": [[split, code] for split, code in study.splits_of(task)],
            "limits": dict(study.limits),
        }
    )
    assert old != manifest["request"]
    opened.write_json(manifest_name("mine"), {**manifest, "request": old})
    # Licence and citation of then are in the manifest: nothing is read.
    (tmp_path / "raw").rename(tmp_path / "elsewhere")
    (tmp_path / "raw").mkdir()
    path = local_study(tmp_path, tiny_models, **CITED, note=WORDS["note"])
    assert staged(path, tmp_path / "store", tmp_path / "raw") == first
    assert opened.read_json(manifest_name("mine")) == {**manifest, **CITED}
    # The note of then is nowhere: the task is read once, its rows are the same, no file is written.
    opened.write_json(manifest_name("mine"), {**manifest, "request": old})
    path = local_study(tmp_path, tiny_models, **NEW_WORDS)
    with pytest.raises(BadData):
        staged(path, tmp_path / "store", tmp_path / "raw")
    rows = tmp_path / "store" / data_name("mine", Key("train", "en"))
    before = rows.stat().st_mtime_ns
    assert staged(path, tmp_path / "store", tmp_path / "elsewhere") == first
    assert rows.stat().st_mtime_ns == before
    assert opened.read_json(manifest_name("mine")) == {**manifest, **CITED}
