"""Figures of `make bench-hub` that the hub of the tests gives: staging, looks, mismatches."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from huggingface_hub.utils import disable_progress_bars
from tokenizers import Tokenizer

from benchmarks.right_training import row
from benchmarks.stage import ours as stage_own
from benchmarks.stage import theirs as map_own
from scaling.catalogue.models import MODELS
from scaling.catalogue.sources import STATED
from scaling.catalogue.task import Key
from scaling.data.hub import files_of
from scaling.data.layout import SourceLook, look_at
from scaling.data.rows import stage_task, wanted_patterns
from scaling.data.schema import BadData
from scaling.data.tokens import features, load_tokenizer
from scaling.encoders.weights import tokenizer_file
from scaling.store.store import Store
from scaling.study.study import Study, load_study
from scaling.training.stage import stage
from tests.helpers import hub_layouts
from tests.helpers.hub_layouts import content, fill, layouts, local_files, parquet
from tests.helpers.hub_server import Hub, serving
from tests.helpers.hub_study import shipped

FLAGSHIPS = ("xtreme_r", "phang2020")
PUBLISHED = ("mnli", "panx", "mewslix", "candidates")
ROUNDS = 3
# Rows of MNLI in the comparison of speed: enough for a steady rate.
MNLI_ROWS = 60_000
QQP, XQUAD = "nyu-mll/glue", "google/xquad"


@contextmanager
def local_hub(folder: Path) -> Iterator[Hub]:
    """An empty hub, which this process's client asks, with an empty cache."""
    disable_progress_bars()
    names = ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "ENDPOINT", "HUGGINGFACE_CO_URL_TEMPLATE")
    before = {name: getattr(constants, name) for name in names}
    with serving(Hub(folder / "hub")) as hub:
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        values = (False, str(folder / "cache"), hub.url, template)
        for name, value in zip(names, values, strict=True):
            setattr(constants, name, value)
        try:
            yield hub
        finally:
            for name, value in before.items():
                setattr(constants, name, value)


@contextmanager
def flagship(name: str) -> Iterator[tuple[Hub, Path, Study]]:
    """(a hub with all that it needs, a folder with its local files below, the study)."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with local_hub(folder) as hub:
            fill(hub)
            local_files(folder / "local")
            yield hub, folder, load_study(shipped(hub, folder, name))


def staged() -> Iterator[dict[str, Any]]:
    """Both flagship studies, every task of them."""
    done, used, local = set(), set(), set()
    for name in FLAGSHIPS:
        with flagship(name) as (_, folder, study):
            store = Store.open(str(folder / "store"))
            lock = stage(study, store, folder / "local", lambda what: None, ("size",))
        used |= set(study.used_tasks)
        done |= set(lock.data)
        local |= {
            task
            for task in study.used_tasks
            if all(ref.source.startswith("dir:") for ref in study.task(task).data)
        }
    yield row(
        "tasks of xtreme_r and phang2020 staged through the client code from the local hub",
        "all",
        f"{len(done)} of {len(used)} ({', '.join(sorted(local))} from a path: no hub has them"
        " whole; CCG is in neither)",
        done == used,
    )
    found = layouts()
    memory = [layout.hub for layout in found if "memory" in layout.seen]
    yield row(
        "layouts of their repositories by a public source",
        "n of N; from memory: named",
        f"{len(found) - len(memory)} of {len(found)}; in part from memory: {', '.join(memory)}",
        True,
    )


LOOKED = Study(
    name="s",
    models=("xlm-r-base",),
    arms=("none", "qqp"),
    targets=("xcopa", "xquad"),
    seeds=(0,),
)


def _put(hub: Hub, name: str, published: bool = True, **changed: Any) -> None:
    (layout,) = (one for one in layouts() if one.hub == name)
    few = {"copa", "xcopa", "xquad"} if published else set()
    files = {f.path: content(f, hub_layouts.num_rows(f, few)) for f in layout.files}
    for part, other in changed.items():
        for path in [path for path in files if part in path]:
            files.pop(path)
            if other is not None:
                files[path] = other
    hub.commit(name, files, ref=layout.ref, commit=STATED.get(name, ""))


def _looks(accept: tuple[str, ...], locked: dict[str, str]) -> dict[str, SourceLook]:
    return {look.what: look for look in look_at(LOOKED, None, locked, accept)}


def _qqp(label: Any, first: str = "question1", count: int = 8) -> bytes:
    columns = hub_layouts.features(
        **{first: "string"}, question2="string", label=label, idx="int32"
    )
    rows = [
        {first: f"one {at}?", "question2": f"two {at}?", "label": at % 2, "idx": at}
        for at in range(count)
    ]
    return parquet(rows, columns)


def planted() -> Iterator[dict[str, Any]]:
    """Each mismatch alone, and whether its own words name it."""
    named = ("not_duplicate", "duplicate")
    plants: dict[str, tuple[Callable[[Hub], Any], str, str]] = {
        "column renamed": (
            lambda hub: _put(hub, QQP, train=_qqp(named, first="q1")),
            "task qqp",
            "no column 'question1'; there: ",
        ),
        "label order changed": (
            lambda hub: _put(hub, QQP, train=_qqp(named[::-1])),
            "task qqp",
            "number the classes of 'label' duplicate, not_duplicate, the task",
        ),
        "split gone": (
            lambda hub: _put(hub, QQP, validation=None),
            "task qqp",
            "no file 'qqp/validation/*.parquet'",
        ),
        "size off": (
            lambda hub: _put(hub, "aps/super_glue", published=False),
            "task copa",
            "16 rows where 400 are published",
        ),
        "script only": (partial(_script), "task qqp", "it has a script only (glue.py)"),
        "revision moved": (
            lambda hub: _put(hub, QQP, train=_qqp(named, count=9)),
            "task qqp",
            "refs/convert/parquet has moved to ",
        ),
    }
    found = []
    for what, (plant, task, words) in plants.items():
        with tempfile.TemporaryDirectory() as temporary, local_hub(Path(temporary)) as hub:
            for name in (QQP, XQUAD, "cambridgeltl/xcopa", "allenai/social_i_qa"):
                _put(hub, name)
            for name in ("aps/super_glue", "rajpurkar/squad"):
                _put(hub, name)
            model = {"model.safetensors": b"0", "tokenizer.json": b"{}"}
            commit = LOOKED.model("xlm-r-base").revision or ""
            hub.commit("FacebookAI/xlm-roberta-base", model, kind="models", commit=commit)
            old = hub.repositories["datasets", QQP].refs["refs/convert/parquet"]
            plant(hub)
            moved = what == "revision moved"
            locked = {f"hub:{QQP}@refs/convert/parquet": old} if moved else {}
            look = _looks(() if what == "size off" else ("size",), locked)[task]
        said = [*look.faults, *look.notes]
        if any(words in one for one in said):
            found.append(what)
    yield row(
        "planted mismatches found by --check: column renamed, label order changed, split gone, size"
        " off, script only, revision moved",
        "all, each named",
        f"{len(found)} of {len(plants)}: {', '.join(found)}",
        len(found) == len(plants),
    )
    yield _defects()


def _script(hub: Hub) -> None:
    del hub.repositories["datasets", QQP].refs["refs/convert/parquet"]
    hub.commit(QQP, {"glue.py": b"import datasets\n"})


def _defects() -> dict[str, Any]:
    """500 answers of XQuAD's Arabic in the wrong place, where 26 are expected."""
    said = "staged"
    with tempfile.TemporaryDirectory() as temporary, local_hub(Path(temporary)) as hub:
        (layout,) = (one for one in layouts() if one.hub == XQUAD)
        (arabic,) = (file for file in layout.files if file.code == "ar")
        wrong = parquet([hub_layouts.shifted(500)(at, "ar") for at in range(1_190)], arabic.columns)
        _put(hub, XQUAD, **{"xquad.ar": wrong})
        try:
            stage_task(LOOKED, LOOKED.task("xquad"), Store.open(temporary + "/store"), None)
        except BadData as error:
            said = str(error)
    return row(
        "500 defects instead of 26, found by stage",
        "named",
        said[:70] + "…",
        "test.ar: 500 × answer_elsewhere where 26 are expected" in said,
    )


def looked() -> Iterator[dict[str, Any]]:
    """Bytes that the hub sends for a look, and for a staging, of files of published row counts."""
    study = Study(
        name="s",
        models=("xlm-r-base",),
        arms=("none", "mnli"),
        targets=("panx", "mewslix"),
        seeds=(0,),
    )
    names = {"mnli": "nyu-mll/multi_nli", "panx": "unimelb-nlp/wikiann", "mewslix": "izhx/mewsli-x"}
    with tempfile.TemporaryDirectory() as temporary, local_hub(Path(temporary)) as hub:
        fill(hub, published=PUBLISHED, only=tuple(names.values()))
        paths = {
            str(path.resolve()): name
            for (_, name), held in hub.repositories.items()
            for files in held.commits.values()
            for path in files.values()
        }
        looks = {look.what: look for look in look_at(study, None, {}, ("size",))}
        look_bytes = _by_repository(hub, paths)
        hub.requests.clear()
        for task in names:
            spec = study.task(task)
            (ref,) = spec.data
            patterns = sorted(wanted_patterns(spec, ref.origin, study.splits_of(spec)))
            files_of("dataset", names[task], looks[f"task {task}"].revision, patterns, task)
        stage_bytes = _by_repository(hub, paths)
    parts = [
        (task, look_bytes[name], stage_bytes[name], looks[f"task {task}"].files)
        for task, name in names.items()
    ]
    worst = max(sent / whole for _, sent, whole, _ in parts)
    yield row(
        "bytes for --check against staging, files of published row counts (mnli, panx, mewslix)",
        "≤ 5 %",
        "; ".join(
            f"{task} {sent / 1e6:.2f} of {whole / 1e6:.1f} MB ({sent / whole:.1%})"
            for task, sent, whole, _ in parts
        ),
        worst <= 0.05,
    )
    most = 0
    for name in FLAGSHIPS:
        with flagship(name) as (hub, folder, study):
            list(look_at(study, folder / "local", {}, ("size",)))
            sent = Counter()
            for _, file, count in hub.requests:
                sent[file] += count
            most = max(most, *(count for file, count in sent.items() if file))
    yield row(
        "bytes for --check of any other file of the flagship studies (few rows a file)",
        "≤ 128 kB",
        f"{most / 1e3:.0f} kB at most",
        most <= 128_000,
    )


def _by_repository(hub: Hub, paths: dict[str, str]) -> Counter[str]:
    """Bytes sent, by the repository of the file or of the request."""
    sent: Counter[str] = Counter()
    for asked, file, count in hub.requests:
        name = paths.get(file, "") or next((one for one in paths.values() if one in asked), "")
        sent[name] += count
    return sent


def own_speed() -> Iterator[dict[str, Any]]:
    """The files of `make bench-stage`, which that benchmark's own two functions read."""
    tokenizer = tokenizer_file(MODELS["e5-depth-4"], None)
    yield _ratio(
        "staging throughput against datasets.map with 2 processes, one run: own files",
        1.5,
        partial(stage_own, tokenizer=tokenizer),
        partial(map_own, path=tokenizer),
    )


def hub_speed() -> Iterator[dict[str, Any]]:
    """MNLI's Parquet in the hub's layout, read, checked, tokenised and written by both."""
    tokenizer = tokenizer_file(MODELS["e5-depth-4"], None)
    study = Study(
        name="s",
        models=("e5-depth-4",),
        arms=("none", "mnli"),
        targets=("xcopa",),
        seeds=(0,),
        recipes={"default": {"max_length": 128}},
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (layout,) = (one for one in layouts() if one.hub == "nyu-mll/multi_nli")
        for file, count in zip(layout.files, (MNLI_ROWS, 2_000), strict=True):
            path = folder / layout.hub / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(file, count))
        paths = [str(folder / layout.hub / file.path) for file in layout.files]
        yield _ratio(
            "staging throughput against datasets.map with 2 processes, one run: hub Parquet",
            1.2,
            partial(_stage_mnli, study=study, source=folder, tokenizer=tokenizer),
            partial(_map_mnli, paths=paths, path=tokenizer),
        )


def _stage_mnli(work: Path, study: Study, source: Path, tokenizer: Path) -> int:
    load_tokenizer.cache_clear()
    store, task = Store.open(str(work)), study.task("mnli")
    hashes = stage_task(study, task, store, source, accept=("size",))
    return sum(
        features(store, task, Key.read(key), digest, study.recipe("mnli"), tokenizer)[1].num_rows
        for key, digest in hashes.items()
    )


def _map_mnli(work: Path, paths: list[str], path: Path) -> int:
    import datasets

    datasets.disable_progress_bars()
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(128)
    tokenizer.no_padding()

    def tokenised(batch: dict[str, list[Any]]) -> dict[str, Any]:
        pairs = list(zip(batch["premise"], batch["hypothesis"], strict=True))
        return {"input_ids": [one.ids for one in tokenizer.encode_batch(pairs)]}

    count = 0
    for at, one in enumerate(paths):
        found = datasets.load_dataset(
            "parquet", data_files=[one], split="train", cache_dir=str(work / "cache")
        )
        mapped = found.map(tokenised, batched=True, num_proc=2, remove_columns=found.column_names)
        mapped.save_to_disk(str(work / str(at)))
        count += len(mapped)
    return count


def _ratio(
    figure: str, target: float, ours: Callable[[Path], int], theirs: Callable[[Path], int]
) -> dict[str, Any]:
    """Rounds take turns with empty caches; the median of their ratios counts."""
    # datasets keeps no network of its own for these files.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    ratios, rates = [], []
    for _ in range(ROUNDS):
        speeds = []
        for run in (ours, theirs):
            with tempfile.TemporaryDirectory() as work:
                start = time.perf_counter()
                count = run(Path(work))
                speeds.append(count / (time.perf_counter() - start))
        ratios.append(speeds[0] / speeds[1])
        rates.append(speeds)
        print(f"  {speeds[0]:,.0f} against {speeds[1]:,.0f} sequences/s", flush=True)
    ratio = statistics.median(ratios)
    middle = [statistics.median(one) for one in zip(*rates, strict=True)]
    value = f"{ratio:.2f}× ({middle[0]:,.0f} against {middle[1]:,.0f} sequences/s, {ROUNDS} rounds)"
    return row(figure, f"≥ {target}×", value, ratio >= target)


FIGURES: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
    one.__name__: one for one in (staged, planted, looked, own_speed, hub_speed)
}
