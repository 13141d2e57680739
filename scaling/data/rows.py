"""Raw data → normalised Parquet in the store, once; its hashes → the lock file.

Everything after staging reads only that.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scaling.catalogue.task import DataRef, Split, TaskSpec, refs_of
from scaling.data.checks import (
    check_defects,
    check_distinct,
    check_words,
    content_digest,
    settle_retrieval,
)
from scaling.data.hub import commit_of, files_of, local_copy
from scaling.data.readers import READERS, find_files
from scaling.data.schema import SCHEMAS, BadData, ReadRequest, Row, fault_of
from scaling.spec import known
from scaling.store.store import Store
from scaling.study.identity import canonical_json, fingerprint
from scaling.study.study import Study


def data_name(task: str, key: str) -> str:
    """Store name of the normalised rows of `SPLIT.LANGUAGE`."""
    return f"data/{task}/{key}.parquet"


def _root(
    ref: DataRef, revision: str, patterns: Collection[str], folder: Path | None, place: str
) -> Path:
    """The folder that a DataRef's patterns are looked up in."""
    scheme, _, name = ref.source.partition(":")
    if scheme == "package":
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise BadData(
                f"the package {name!r} is not installed; `pip install 'stilts-scaling[demo]'`"
                " brings it"
            )
        return Path(spec.origin).parent
    found = local_copy(name, folder)
    if found is not None:
        return found
    if scheme == "dir":
        raise BadData(
            f"{ref.source}: give `--from DIR`, the folder that holds {name!r}"
            + (f"; {folder} does not" if folder else "")
        )
    return files_of("dataset", name, revision, sorted(patterns), place)


def _revision(ref: DataRef, locked: Mapping[str, str], folder: Path | None, place: str) -> str:
    """The commit that a hub source is read at; '' for other sources and for a local copy."""
    scheme, _, name = ref.source.partition(":")
    if scheme != "hub" or local_copy(name, folder) is not None:
        return ""
    # Some data sets are read from the hub's own Parquet conversion, a branch; what is locked is its
    # commit.
    branch = str(ref.options.get("ref", "main"))
    return commit_of("dataset", name, branch, ref.revision, locked.get(ref.origin, ""), place)


def read_rows(
    task: TaskSpec,
    split: Split,
    language: str,
    roots: Mapping[str, Path],
    accept: Collection[str],
    defects: list[str],
    counts: Counter[str],
) -> Iterator[Row]:
    """Rows of all DataRefs of a task, in order, each of them what the kind's schema says.

    Args:
        task: whose rows.
        split: train, dev or test.
        language: our code.
        roots: folder by `DataRef.origin`.
        accept: names of defects that this run accepts beside the task's own.
        defects: grows by the accepted faults of the upstream data.
        counts: grows by what is no fault and worth a line.
    """
    refs = refs_of(task, split, language)
    for index, ref in enumerate(refs):
        root = roots[ref.origin]
        code = ref.codes.get(language, language)
        files = [root] if ref.source.startswith("package:") else find_files(ref, split, code, root)
        options = {**ref.options}
        if accepted := {*_accepted(ref), *accept, *task.defects} - {"size"}:
            options["accept"] = tuple(sorted(accepted))
        if is_translation(task, split, language):
            # Its English twin was held out or not.
            options.pop("hold_out", None)
        request = ReadRequest(
            language=language,
            split=split,
            files=files,
            upstream_code=code,
            options=options,
            labels=task.labels,
            defects=defects,
            counts=counts,
        )
        for row in READERS[known("reader", ref.reader, READERS)](request):
            if fault := fault_of(row, SCHEMAS[task.kind]):
                place = ", ".join(map(str, files))
                raise BadData(f"{place}: row {row.get('id')!r} {fault}")
            # Several data sets in one task may use the same ids.
            yield row if len(refs) == 1 else _numbered(row, index)


def _numbered(row: Row, index: int) -> Row:
    """The row with its ids, and those that it refers to, under the number of its source."""
    own = {"relevant": [f"{index}/{name}" for name in row["relevant"]]} if "side" in row else {}
    return {**row, **own, "id": f"{index}/{row['id']}"}


def is_translation(task: TaskSpec, split: Split, language: str) -> bool:
    """Whether a split holds translations of the English training rows, under their ids."""
    return split == "train" and language != "en" and task.kind != "masked_lm"


def aligned(rows: Iterable[Row], english: set[str], whole: set[str], place: str) -> list[Row]:
    """The translations of some English rows.

    BadData for a row that is no translation of any English row.

    Args:
        rows: Translated rows, which have the ids of English ones.
        english: Ids of the English rows whose translations are wanted.
        whole: Ids of all English rows.
        place: What is read, for messages.
    """
    rows = list(rows)
    alone = [row["id"] for row in rows if row["id"] not in whole]
    if alone:
        raise BadData(
            f"{place}: {len(alone)} of {len(rows)} rows have no English twin, the first with the id"
            f" {alone[0]!r}; translations carry the ids of the English rows"
        )
    return [row for row in rows if row["id"] in english]


def _accepted(ref: DataRef) -> list[str]:
    found = ref.options.get("accept", ())
    return list(found) if isinstance(found, list | tuple) else []


def check_size(
    task: TaskSpec, key: str, rows: Iterable[Row], accept: Collection[str], defects: list[str]
) -> None:
    """BadData where a split has not as many examples as were published.

    Of retrieval queries are counted. Where the defect is accepted it is noted in `defects`.

    Args:
        task: The task.
        key: The `SPLIT.LANGUAGE`.
        rows: Its rows.
        accept: Names of defects that this run accepts beside the task's own.
        defects: Grows by the defect.
    """
    published = task.sizes.get(key, task.sizes.get(key.partition(".")[0]))
    found = sum(row.get("side", "query") == "query" for row in rows)
    if published is None or found == published:
        return
    message = f"task {task.name}, {key}: {found:,} examples where {published:,} are published"
    if "size" not in {*accept, *(name for ref in task.data for name in _accepted(ref))}:
        raise BadData(
            f"{message}: another version of the data, or a file cut short. Correct `sizes` of the"
            " task, or count it as a defect with `--accept size`"
        )
    defects.append(f"size: {message}")


def sample(rows: Iterable[Row], limit: int | None, task: TaskSpec) -> list[Row]:
    """At most `limit` rows, chosen by the hash of their id, in file order.

    Classes take turns, so that a small sample is as balanced as the data allow. Retrieval keeps
    every candidate.
    """
    rows = list(rows)
    if limit is None:
        return rows
    chosen = [row for row in rows if task.kind != "retrieval" or row["side"] == "query"]
    chosen.sort(key=lambda row: hashlib.sha256(f"{task.name}/{row['id']}".encode()).digest())
    if task.kind == "classification":
        turn: Counter[str] = Counter()
        turns = {}
        for row in chosen:
            turns[row["id"]] = turn[row["label"]]
            turn[row["label"]] += 1
        chosen.sort(key=lambda row: turns[row["id"]])
    keep = {row["id"] for row in chosen[:limit]}
    return [row for row in rows if row["id"] in keep or row.get("side", "query") != "query"]


def to_table(rows: list[Row], task: TaskSpec, place: str) -> pa.Table:
    """Rows as the kind's schema; BadData for duplicates, unknown labels and nothing at all."""
    if not rows:
        raise BadData(f"{place} is empty")
    seen: set[str] = set()
    for row in rows:
        if row["id"] in seen:
            raise BadData(f"{place}: two rows have the id {row['id']!r}")
        seen.add(row["id"])
        if task.kind == "classification" and row["label"] not in task.labels:
            raise BadData(
                f"{place}: row {row['id']!r} has the label {row['label']!r}; valid:"
                f" {', '.join(task.labels)}"
            )
    return pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMAS[task.kind])


def content_hash(table: pa.Table) -> str:
    """SHA-256 of the rows' canonical text, so that Parquet's own encoding does not matter."""
    digest = hashlib.sha256()
    for row in table.to_pylist():
        digest.update(canonical_json(row).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def manifest_name(task: str) -> str:
    """Store name of what staging counted of a task."""
    return f"data/{task}/manifest.json"


def stage_task(
    study: Study,
    task: TaskSpec,
    store: Store,
    folder: Path | None,
    *,
    locked: Mapping[str, str] | None = None,
    accept: Collection[str] = (),
) -> dict[str, str]:
    """Write all splits of a task; `SPLIT.LANGUAGE` → hash.

    Does nothing if the same request was staged before.

    Args:
        study: The study: its languages and limits.
        task: The task.
        store: Where the rows go.
        folder: Where local sources lie; None without one.
        locked: Commit by `DataRef.origin`, from the lock file.
        accept: Names of defects of the data to count and not refuse.
    """
    splits = study.splits_of(task)
    request = fingerprint(
        {
            "task": task.model_dump(mode="json", exclude_defaults=True),
            "splits": [[split, code] for split, code in splits],
            "limits": {split: limit for split, limit in study.limits.items()},
        }
    )
    if store.exists(manifest_name(task.name)):
        manifest = json.loads(store.read(manifest_name(task.name)))
        if manifest["request"] == request:
            return {key: entry["sha256"] for key, entry in manifest["splits"].items()}
    place = f"task {task.name}"
    revisions = {
        ref.origin: _revision(ref, locked or {}, folder, place)
        for ref in (*task.data, *task.translations)
    }
    roots = {
        ref.origin: _root(
            ref, revisions[ref.origin], _patterns(task, ref.origin, splits), folder, place
        )
        for ref in (*task.data, *task.translations)
    }
    entries: dict[str, dict[str, Any]] = {}
    defects: dict[str, list[str]] = {f"{split}.{code}": [] for split, code in splits}
    counts: dict[str, Counter[str]] = {key: Counter() for key in defects}
    accepted = {*accept, *task.defects, *(name for ref in task.data for name in _accepted(ref))}

    def read() -> Iterator[tuple[str, list[Row]]]:
        for split, code in splits:
            key = f"{split}.{code}"
            yield (
                key,
                list(read_rows(task, split, code, roots, accept, defects[key], counts[key])),
            )

    read_splits: Iterable[tuple[str, list[Row]]] = read()
    if task.kind == "retrieval":
        # A language may look among the candidates of another.
        read_splits = settle_retrieval(task, dict(read_splits), accepted, defects, counts).items()
    chosen: set[str] = set()
    whole: set[str] = set()
    digests: dict[str, str] = {}
    for (split, code), (key, available) in zip(splits, read_splits, strict=True):
        check_defects(task, key, available, defects[key], accepted)
        check_words(task, key, available)
        digests[key] = content_digest(task, available)
        check_distinct(task, digests)
        translated = is_translation(task, split, code)
        if translated:
            rows = aligned(available, chosen, whole, f"{place}, {key}")
        else:
            check_size(task, key, available, accept, defects[key])
            rows = sample(available, study.limits.get(split), task)
        if code == "en" and split == "train":
            chosen = {row["id"] for row in rows}
        if code == "en" and (split == "train" or _holds_out(task)):
            whole |= {row["id"] for row in available}
        table = to_table(rows, task, f"{place}, {key}")
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        store.write(data_name(task.name, key), buffer.getvalue())
        entries[key] = {
            "rows": table.num_rows,
            "available": len(available),
            "sha256": content_hash(table),
            "defects": defects[key],
            "counts": dict(sorted(counts[key].items())),
            **({"of_english": len(chosen)} if translated else {}),
        }
    store.write(
        manifest_name(task.name),
        json.dumps(
            {
                "request": request,
                "licence": task.licence,
                "citation": task.citation,
                "sources": [[origin, revision] for origin, revision in revisions.items()],
                "splits": entries,
            },
            indent=1,
        ),
    )
    return {key: entry["sha256"] for key, entry in entries.items()}


def add_counts(store: Store, task: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Write into a staged task's manifest what its texts lose as tokens, by SPLIT.LANGUAGE."""
    manifest = json.loads(store.read(manifest_name(task)))
    for key, found in counts.items():
        manifest["splits"][key]["tokens"] = dict(found)
    store.write(manifest_name(task), json.dumps(manifest, indent=1))


def _holds_out(task: TaskSpec) -> bool:
    return any("hold_out" in ref.options for ref in task.data)


def _patterns(task: TaskSpec, origin: str, splits: Iterable[tuple[Split, str]]) -> set[str]:
    """The files of a source that a study reads: what has to be fetched of it."""
    return {
        pattern.replace("{lang}", ref.codes.get(code, code))
        for split, code in splits
        for ref in refs_of(task, split, code)
        if ref.origin == origin
        for pattern in ref.files.get(split, ())
    }


def read_table(store: Store, task: str, key: str) -> pa.Table:
    """Normalised rows of a staged split."""
    return pq.read_table(io.BytesIO(store.read(data_name(task, key))))
