"""Staging (read, check, tokenise, write) against `datasets.map` with two processes, on the same
files in one run.

Ours is `scaling stage`'s own code: readers, checks, hashes, normalised Parquet and the token cache.
Theirs is the usual script: load_dataset on CSV and JSON lines, a batched map with the same
tokenizer and truncation, Arrow files on disk. Both start with empty caches and keep their results
on the same disk. Rounds take turns; the median counts.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from tokenizers import Tokenizer

from benchmarks.results_table import write_results
from scaling.catalogue.models import MODELS
from scaling.catalogue.task import Key
from scaling.data.rows import stage_task
from scaling.data.tokens import features, load_tokenizer
from scaling.encoders.weights import tokenizer_file
from scaling.store.store import Store
from scaling.study.study import Study
from tests.helpers.reading import SHARED

TASKS = ("nli_small", "hellaswag_small", "commonsenseqa_files")
# Their loader → files, and the columns that hold the two texts.
THEIRS = {
    "csv": (["nli_en/mnli/dev.csv.gz", "nli_en/snli/dev.csv.gz"], "nli"),
    "json-hellaswag": (["hellaswag/hellaswag_val.from_klosax.jsonl.gz"], "hellaswag"),
    "json-csqa": (
        ["commonsenseqa/train_rand_split.jsonl.gz", "commonsenseqa/dev_rand_split.jsonl.gz"],
        "csqa",
    ),
}
ROUNDS = 3
STUDY = Study(
    name="bench",
    models=("e5-depth-4",),
    arms=("none", *TASKS),
    targets=("xcopa_files",),
    seeds=(0,),
    recipes={"default": {"max_length": 128}},
)


def ours(work: Path, tokenizer: Path) -> int:
    """Sequences written."""
    load_tokenizer.cache_clear()
    store, count = Store.open(str(work)), 0
    for name in TASKS:
        task = STUDY.task(name)
        for key, data_hash in stage_task(STUDY, task, store, SHARED).items():
            count += features(store, task, Key.read(key), data_hash, STUDY.recipe(name), tokenizer)[
                1
            ].num_rows
    return count


def theirs(work: Path, path: Path) -> int:
    import datasets

    datasets.disable_progress_bars()
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(128)
    tokenizer.no_padding()

    def tokenised(
        batch: Mapping[str, list[Any]], texts: Callable[[Any, int], list[tuple[str, str]]]
    ) -> dict[str, Any]:
        size = len(next(iter(batch.values())))
        pairs = [texts(batch, at) for at in range(size)]
        flat = tokenizer.encode_batch([pair for row in pairs for pair in row])
        ids = iter(encoding.ids for encoding in flat)
        return {"input_ids": [[next(ids) for _ in row] for row in pairs]}

    count = 0
    for loader, (files, texts) in THEIRS.items():
        found = datasets.load_dataset(
            loader.split("-")[0],
            data_files=[str(SHARED / name) for name in files],
            split="train",
            cache_dir=str(work / "cache"),
        )
        mapped = found.map(
            tokenised,
            batched=True,
            num_proc=2,
            remove_columns=found.column_names,
            fn_kwargs={"texts": _TEXTS[texts]},
        )
        mapped.save_to_disk(str(work / loader))
        count += sum(len(row) for row in mapped["input_ids"])
    return count


def _nli(batch: Any, at: int) -> list[tuple[str, str]]:
    return [(str(batch["premise"][at]), str(batch["hypothesis"][at]))]


def _hellaswag(batch: Any, at: int) -> list[tuple[str, str]]:
    return [(batch["ctx"][at], ending) for ending in batch["endings"][at]]


def _csqa(batch: Any, at: int) -> list[tuple[str, str]]:
    question = batch["question"][at]
    return [(question["stem"], choice["text"]) for choice in question["choices"]]


_TEXTS = {"nli": _nli, "hellaswag": _hellaswag, "csqa": _csqa}


def main() -> None:
    if not SHARED.is_dir():
        sys.exit(f"{SHARED} is not there: set SCALING_SHARED to the folder that holds data/")
    tokenizer = tokenizer_file(MODELS["e5-depth-4"], None)
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    counts: dict[str, int] = {}
    for turn in range(ROUNDS):
        for name, run in (("ours", ours), ("theirs", theirs)):
            with tempfile.TemporaryDirectory() as work:
                start = time.perf_counter()
                counts[name] = run(Path(work), tokenizer)
                seconds[name].append(time.perf_counter() - start)
            print(
                f"round {turn + 1}: {name:<6} {counts[name]:,} sequences in"
                f" {seconds[name][-1]:.1f} s",
                flush=True,
            )
    rates = {name: counts[name] / statistics.median(seconds[name]) for name in seconds}
    # Round by round: what else runs on the machine then hits both alike.
    paired = zip(seconds["ours"], seconds["theirs"], strict=True)
    ratio = statistics.median(b / a for a, b in paired) * counts["ours"] / counts["theirs"]
    value = (
        f"{ratio:.2f}× ({rates['ours']:,.0f} against {rates['theirs']:,.0f} sequences/s, {ROUNDS}"
        " rounds)"
    )
    row = {
        "figure": "stage throughput against datasets.map with 2 processes",
        "target": "≥ 1.5×",
        "value": value,
        "met": ratio >= 1.5,
    }
    write_results("stage", [row])


if __name__ == "__main__":
    main()
