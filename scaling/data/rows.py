"""Raw data → normalised Parquet in the store, once; its hashes → the lock file.

Everything after staging reads only that, and only if it still is what the lock file says.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scaling.catalogue.task import WORDS, DataRef, Key, Split, TaskSpec, refs_of
from scaling.data.checks import (
    check_defects,
    check_distinct,
    check_words,
    content_digest,
    settle_retrieval,
)
from scaling.data.hub import commit_of, files_of, local_copy, sha256_of
from scaling.data.readers import READERS, find_files
from scaling.data.schema import SCHEMAS, BadData, ReadRequest, Row, fault_of
from scaling.spec import UserError, known
from scaling.store.files import StoreError
from scaling.store.store import Store
from scaling.study.identity import fingerprint
from scaling.study.study import Study

# Of which sources may be, beside folders and the hub.
PACKAGES = ("django", "pycountry")
# Rows that are Python objects at one time while they are hashed.
_ROWS_AT_ONCE = 4096


def data_name(task: str, key: Key) -> str:
    """Store name of the normalised rows of a split."""
    return f"data/{task}/{key}.parquet"


def _root(
    ref: DataRef, revision: str, patterns: Collection[str], folder: Path | None, place: str
) -> Path:
    """The folder that a DataRef's patterns are looked up in."""
    scheme, _, name = ref.source.partition(":")
    if scheme == "package":
        # Looking for a module imports the packages around it, so not any name will do.
        known("package", name, PACKAGES)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise BadData(
                f"the package {name!r} is not installed; this project's extra [demo] brings it"
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
    task: TaskSpec, key: Key, rows: Iterable[Row], accept: Collection[str], defects: list[str]
) -> None:
    """BadData where a split has not as many examples as were published.

    Of retrieval queries are counted. Where the defect is accepted it is noted in `defects`.

    Args:
        task: The task.
        key: Which split.
        rows: Its rows.
        accept: Names of defects that this run accepts beside the task's own.
        defects: Grows by the defect.
    """
    published = task.sizes.get(str(key), task.sizes.get(key.split))
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
    # The canonical text of rows without floats, of which no kind has any, is json's own.
    encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            digest.update(encode(row).encode("ascii"))
            digest.update(b"\n")
    return digest.hexdigest()


def _words(task: TaskSpec) -> dict[str, str]:
    """What a manifest repeats of a task's words."""
    return {"licence": task.licence, "citation": task.citation}


def _request(study: Study, task: TaskSpec, words: Mapping[str, str]) -> str:
    """What decides whether a task must be read again: all of it but its words.

    Args:
        study: The study: its languages and limits.
        task: The task.
        words: Words that count all the same, as they did when older stores were staged.
    """
    told = {field: word for field, word in words.items() if word}
    return fingerprint(
        {
            "task": {
                **task.model_dump(mode="json", exclude=set(WORDS), exclude_defaults=True),
                **told,
            },
            "splits": [[split, code] for split, code in study.splits_of(task)],
            "limits": {split: limit for split, limit in study.limits.items()},
        }
    )


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
    expected: Mapping[str, str] | None = None,
    accept: Collection[str] = (),
) -> dict[str, str]:
    """Write all splits of a task; `SPLIT.LANGUAGE` → hash.

    Reads nothing if the same request was staged before and is whole; words of the task that are new
    (licence, citation) go into its manifest then. StoreError, before anything is
    written, if rows differ from those of the lock file.

    Args:
        study: The study: its languages and limits.
        task: The task.
        store: Where the rows go.
        folder: Where local sources lie; None without one.
        locked: Commit by `DataRef.origin`, from the lock file.
        expected: Hash by `SPLIT.LANGUAGE`, from the lock file.
        accept: Names of defects of the data to count and not refuse.
    """
    expected = expected or {}
    splits = study.splits_of(task)
    request = _request(study, task, {})
    before = _whole_splits(store, task.name, expected)
    if before is not None and not before.damaged and before.asked_by(study, task):
        if before.words != _words(task) or before.request != request:
            manifest = store.read_json(manifest_name(task.name))
            store.write_json(
                manifest_name(task.name), {**manifest, "request": request, **_words(task)}
            )
        return {key: entry["sha256"] for key, entry in before.splits.items()}
    place = f"task {task.name}"
    revisions = {
        ref.origin: _revision(ref, locked or {}, folder, place)
        for ref in (*task.data, *task.translations)
    }
    roots = {
        ref.origin: _root(
            ref, revisions[ref.origin], wanted_patterns(task, ref.origin, splits), folder, place
        )
        for ref in (*task.data, *task.translations)
    }
    hashes = {
        f"{ref.origin}/{path.relative_to(roots[ref.origin])}": sha256_of(path)
        for ref, path in _files(task, splits, roots)
    }
    entries: dict[str, dict[str, Any]] = {}
    made: dict[str, bytes] = {}
    defects: dict[Key, list[str]] = {key: [] for key in splits}
    counts: dict[Key, Counter[str]] = {key: Counter() for key in defects}
    accepted = {*accept, *task.defects, *(name for ref in task.data for name in _accepted(ref))}

    def read() -> Iterator[tuple[Key, list[Row]]]:
        for key in splits:
            yield key, list(read_rows(task, *key, roots, accept, defects[key], counts[key]))

    read_splits: Iterable[tuple[Key, list[Row]]] = read()
    if task.kind == "retrieval":
        # A language may look among the candidates of another.
        read_splits = settle_retrieval(task, dict(read_splits), accepted, defects, counts).items()
    chosen: set[str] = set()
    whole: set[str] = set()
    digests: dict[Key, str] = {}
    for key, available in read_splits:
        split, code = key
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
        made[str(key)] = buffer.getvalue()
        entries[str(key)] = {
            "rows": table.num_rows,
            "available": len(available),
            "sha256": content_hash(table),
            "file": hashlib.sha256(buffer.getvalue()).hexdigest(),
            "defects": defects[key],
            "counts": dict(sorted(counts[key].items())),
            **({"of_english": len(chosen)} if translated else {}),
        }
    _check_unchanged(place, expected, entries)
    for text, entry in entries.items():
        there = None if before is None or text in before.damaged else before.splits.get(text)
        if there is not None and there["sha256"] == entry["sha256"] and "file" in there:
            # Who is reading this file now keeps it.
            entry["file"] = there["file"]
        else:
            store.write(data_name(task.name, Key.read(text)), made[text])
    store.write_json(
        manifest_name(task.name),
        {
            "request": request,
            **_words(task),
            "sources": [[origin, revision] for origin, revision in revisions.items()],
            "files": hashes,
            "splits": entries,
        },
    )
    return {key: entry["sha256"] for key, entry in entries.items()}


def add_counts(store: Store, task: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Write into a staged task's manifest what its texts lose as tokens, by SPLIT.LANGUAGE."""
    manifest = store.read_json(manifest_name(task))
    for key, found in counts.items():
        manifest["splits"][key]["tokens"] = dict(found)
    store.write_json(manifest_name(task), manifest)


def _files(
    task: TaskSpec, splits: Iterable[Key], roots: Mapping[str, Path]
) -> Iterator[tuple[DataRef, Path]]:
    """Every file that is read, once, of sources that are no package."""
    seen: set[Path] = set()
    for split, code in splits:
        for ref in refs_of(task, split, code):
            if ref.source.startswith("package:"):
                continue
            for path in find_files(ref, split, ref.codes.get(code, code), roots[ref.origin]):
                if path not in seen:
                    seen.add(path)
                    yield ref, path


def _holds_out(task: TaskSpec) -> bool:
    return any("hold_out" in ref.options for ref in task.data)


def wanted_patterns(task: TaskSpec, origin: str, splits: Iterable[Key]) -> set[str]:
    """The files of a source that a study reads: what has to be fetched of it."""
    return {
        pattern.replace("{lang}", ref.codes.get(code, code))
        for split, code in splits
        for ref in refs_of(task, split, code)
        if ref.origin == origin
        for pattern in ref.files.get(split, ())
    }


@dataclass(frozen=True, kw_only=True)
class _Splits:
    """What an earlier staging of a task left."""

    request: str
    splits: Mapping[str, Mapping[str, Any]]
    damaged: frozenset[str]
    """Keys whose file is gone, or holds something else than the manifest or the lock file says."""
    words: Mapping[str, str]
    """As `_words` gives them, when it was staged."""

    def asked_by(self, study: Study, task: TaskSpec) -> bool:
        """Whether this is what the study asks for.

        Older stores have the words of then in their request. Two of them are in their
        manifest; a note of then that differs from today's means that the task is read once more.
        """
        asked: tuple[Mapping[str, str], ...] = ({}, {**self.words, "note": task.note})
        return self.request in [_request(study, task, words) for words in asked]


def _whole_splits(store: Store, task: str, expected: Mapping[str, str]) -> _Splits | None:
    """What an earlier staging left, every file of it read; None where nothing whole is there."""
    raw = _read_manifest(store, task)
    if raw is None:
        return None
    damaged = set()
    for key, entry in raw["splits"].items():
        try:
            read_table(store, task, Key.read(key), expected.get(key, entry["sha256"]))
        except UserError:
            damaged.add(key)
    words = {field: str(raw.get(field, "")) for field in ("licence", "citation")}
    return _Splits(
        request=raw["request"], splits=raw["splits"], damaged=frozenset(damaged), words=words
    )


def _read_manifest(store: Store, task: str) -> dict[str, Any] | None:
    """The manifest of a staged task; None where there is none, or none that can be read."""
    try:
        raw = store.read_json(manifest_name(task))
        splits = {
            key: {**entry, "sha256": str(entry["sha256"])} for key, entry in raw["splits"].items()
        }
        return {**raw, "request": str(raw["request"]), "splits": splits}
    except (FileNotFoundError, StoreError, KeyError, TypeError, AttributeError):
        return None


def _check_unchanged(
    place: str, expected: Mapping[str, str], entries: Mapping[str, Mapping[str, Any]]
) -> None:
    """StoreError if rows are not those of the lock file, on which finished steps may rest."""
    changed = sorted(
        key
        for key, digest in expected.items()
        if key in entries and entries[key]["sha256"] != digest
    )
    if changed:
        raise StoreError(
            f"{place}: the rows of {', '.join(changed)} differ from those in the store's lock file."
            " Data, limits or reader changed; use a new --store, so that two versions never mix in"
            " one report. Nothing was written."
        )


def read_table(store: Store, task: str, key: Key, expected: str) -> pa.Table:
    """Normalised rows of a staged split, if they are those of the hash in the lock file.

    StoreError names the file otherwise, and what brings it back. Damaged bytes are not parsed where
    the manifest knows the file's own hash: Parquet's reader may hang or crash over them.

    Args:
        store: Where the study was staged.
        task: Name of the task.
        key: Which split, in which language.
        expected: Content hash of the rows, of the lock file.
    """
    name = data_name(task, key)
    try:
        raw = store.read(name)
    except FileNotFoundError as error:
        raise _damaged(store, name, "it is missing") from error
    manifest = _read_manifest(store, task)
    entry = {} if manifest is None else manifest["splits"].get(str(key), {})
    file = entry.get("file") if entry.get("sha256") == expected else None
    found = hashlib.sha256(raw).hexdigest()
    if file is not None and found != file:
        raise _damaged(store, name, f"its SHA-256 is {found}, staged was {file}")
    try:
        table = pq.read_table(io.BytesIO(raw))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(store, name, f"it is no Parquet file: {error}") from error
    if (rows := content_hash(table)) != expected:
        raise _damaged(store, name, f"its rows have the hash {rows}, the lock file says {expected}")
    return table


def _damaged(store: Store, name: str, what: str) -> StoreError:
    return StoreError(
        f"{store.uri}/{name}: {what}. `scaling stage STUDY --store {store.uri}` (with the --from of"
        " the first time) makes it again."
    )
