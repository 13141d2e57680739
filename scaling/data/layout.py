"""What the sources of a study look like today, before anything is downloaded.

Lists of files, the ends of Parquet files, and the first rows of each split, which the readers
themselves read. Where the hub is not to be asked, what its cache has. Counts of defects are
staging's: here only a few rows are seen.
"""

from __future__ import annotations

import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from scaling.catalogue.models import ModelSpec
from scaling.catalogue.readers import DEFECTS
from scaling.catalogue.task import DataRef, Key, TaskSpec, refs_of
from scaling.data.hub import FAILURES, commit_of, local_copy, why
from scaling.data.listed import Source, folder_files, model_files, opened_source
from scaling.data.ranges import first_lines, first_rows, footer
from scaling.data.readers.hub_parquet import names_of_classes
from scaling.data.readers.raw import json_lines
from scaling.data.rows import read_rows
from scaling.data.schema import BadData
from scaling.study.study import Study
from scaling.typos import did_you_mean

_FIRST = 8
_AT_ONCE = 8
# Whose rows are read of each split; of the others columns and classes only.
_LANGUAGES = 3
# Of a file that is not what its name says.
_BROKEN = (pa.ArrowException, tarfile.TarError, zlib.error, ValueError, KeyError)
# Options that name a column, or several.
_COLUMNS = (
    "text_a text_b label context question choices choice_keys words tags answers starts query"
    " candidate text id"
).split()
_LEFT_OUT = {"unlabelled", "masked_text"}


@dataclass(frozen=True, kw_only=True)
class SourceLook:
    """One source of a task, or of a model, as it is now."""

    what: str
    """`task NAME` or `model NAME`."""
    source: str
    revision: str
    """The commit that would be read; '' where none is known or needed."""
    files: int
    ending: str
    """Of the files' names."""
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """Names of the classes, where the files state them."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """By split, where the ends of all files tell them."""
    notes: tuple[str, ...] = ()
    """What differs from the catalogue and would be read nevertheless."""
    faults: tuple[str, ...] = ()
    """What would stop staging, and what to do."""


@dataclass(kw_only=True)
class _Found:
    """What a look at one source collects."""

    columns: dict[str, None] = field(default_factory=dict)
    labels: dict[str, None] = field(default_factory=dict)
    rows: Counter[Key] = field(default_factory=Counter)
    untold: set[Key] = field(default_factory=set)
    """Splits of which some file does not tell its rows."""
    notes: dict[str, list[str]] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    """Message → where it holds."""


def look_at(
    study: Study, folder: Path | None, locked: Mapping[str, str], accept: Collection[str]
) -> Iterator[SourceLook]:
    """Every source of a study's tasks, then its models, without a download.

    Args:
        study: the study.
        folder: where local sources lie; None without one.
        locked: commit by `DataRef.origin` or `model NAME`, from the lock file.
        accept: names of defects that this run would accept.
    """
    for name in study.used_tasks:
        yield from _task(study, study.task(name), folder, locked, accept)
    for name in study.models:
        yield _model(study.model(name), folder, locked.get(f"model {name}", ""))


def _task(
    study: Study,
    task: TaskSpec,
    folder: Path | None,
    locked: Mapping[str, str],
    accept: Collection[str],
) -> Iterator[SourceLook]:
    keys = study.splits_of(task)
    looks: list[tuple[DataRef, Source | None, _Found, int, str]] = []
    for ref in (*task.data, *task.translations):
        own = [key for key in keys if ref in refs_of(task, *key)]
        found, source, num_files, ending = _Found(), None, 0, ""
        try:
            source = opened_source(ref, f"task {task.name}", folder, locked.get(ref.origin, ""))
        except BadData as error:
            found.faults[str(error)] = []
        if source is not None and not ref.source.startswith("package:"):
            files = _files(ref, own, source, found)
            num_files = len({path for paths in files.values() for path in paths})
            ending = "".join(PurePosixPath(next(iter(files.values()), [""])[0]).suffixes)
            _read(task, ref, files, source, found)
        looks.append((ref, source, found, num_files, ending))
    _sizes(task, keys, [found for _, _, found, _, _ in looks], accept)
    for ref, source, found, num_files, ending in looks:
        rows: Counter[str] = Counter()
        for key, count in found.rows.items():
            rows[key.split] += count
        told = {split for split, _ in found.rows} - {split for split, _ in found.untold}
        yield SourceLook(
            what=f"task {task.name}",
            source=ref.origin,
            revision=source.revision if source else "",
            files=num_files,
            ending=ending,
            columns=tuple(found.columns),
            labels=tuple(found.labels),
            rows={split: rows[split] for split in rows if split in told},
            notes=(*(source.notes if source else ()), *_said(found.notes)),
            faults=_said(found.faults),
        )


def _files(
    ref: DataRef, keys: Iterable[Key], source: Source, found: _Found
) -> dict[tuple[Key, str], list[str]]:
    """(split, pattern) → the files that would be read; faults for those that are not there."""
    files: dict[tuple[Key, str], list[str]] = {}
    for key in keys:
        if key.split not in ref.files:
            has = ", ".join(ref.files)
            found.faults.setdefault(f"no {key.split} split; it has {has}", []).append(str(key))
            continue
        code = ref.codes.get(key.language, key.language)
        for pattern in ref.files[key.split]:
            pattern = pattern.replace("{lang}", code)
            paths = _matching(source, pattern) or _matching(source, f"{pattern}.gz")
            if paths:
                files[key, pattern] = paths
                continue
            parent = PurePosixPath(pattern).parent
            beside = [path for path in source.sizes if PurePosixPath(path).parent == parent]
            there = did_you_mean(pattern, beside or sorted({_top(path) for path in source.sizes}))
            found.faults.setdefault(f"no file {pattern!r}. {there}", []).append(str(key))
    return files


def _top(path: str) -> str:
    first, _, rest = path.partition("/")
    return f"{first}/" if rest else first


def _matching(source: Source, pattern: str) -> list[str]:
    return sorted(path for path in source.sizes if _matches(path, pattern))


def _matches(path: str, pattern: str) -> bool:
    """As Path.glob: a star stays inside one folder."""
    parts, wanted = PurePosixPath(path).parts, PurePosixPath(pattern).parts
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _read(
    task: TaskSpec,
    ref: DataRef,
    files: Mapping[tuple[Key, str], Sequence[str]],
    source: Source,
    found: _Found,
) -> None:
    """Columns, classes, rows and the first rows of the files, into `found`."""
    readers: dict[str, list[Key]] = {}
    for (key, _), paths in files.items():
        for path in paths:
            readers.setdefault(path, []).append(key)
    # Files whose first rows are read → for whom.
    first: dict[str, list[Key]] = {}
    for key, pattern in _some(files):
        first.setdefault(files[key, pattern][0], []).append(key)

    def one(path: str) -> tuple[str, pq.FileMetaData | None, bytes, str]:
        try:
            with source.open(path) as file:
                if path.endswith(".parquet"):
                    end = footer(file)
                    there = end.schema.to_arrow_schema().names
                    wanted = [name for key in first.get(path, ()) for name in _columns(ref, key)]
                    may_lack = {name for key in first.get(path, ()) for name in _optional(ref, key)}
                    wanted = [
                        name
                        for name in dict.fromkeys(wanted or there if path in first else ())
                        if name in there or name not in may_lack
                    ]
                    known = bool(wanted) and set(wanted) <= set(there)
                    return path, end, first_rows(file, end, wanted, _FIRST) if known else b"", ""
                if ".jsonl" in PurePosixPath(path).suffixes and path in first:
                    return path, None, first_lines(file, path, _FIRST), ""
                return path, None, b"", ""
        except (*FAILURES, *_BROKEN) as error:
            name = ref.source.partition(":")[2]
            return path, None, b"", f"{path}: {why(error, 'dataset', name, source.revision)}"

    heads: dict[str, bytes] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for path, end, head, fault in pool.map(one, readers):
            if head:
                heads[path] = head
            schema = None if end is None else end.schema.to_arrow_schema()
            for key in dict.fromkeys(readers[path]):
                if fault:
                    found.faults.setdefault(fault, []).append(str(key))
                if schema is None or end is None:
                    found.untold.add(key)
                    continue
                found.rows[key] += end.num_rows
                found.columns |= dict.fromkeys(schema.names)
                _classes(ref, schema, key, found)
                there = {*schema.names, *_optional(ref, key)}
                missing = [name for name in _columns(ref, key) if name not in there]
                if missing:
                    text = f"no column {missing[0]!r}; there: {', '.join(sorted(schema.names))}"
                    found.faults.setdefault(text, []).append(str(key))
    _try_rows(task, ref, files, heads, found)


def _some(files: Iterable[tuple[Key, str]]) -> Iterator[tuple[Key, str]]:
    """Those whose rows are read: of each split the first few languages'."""
    seen: dict[str, list[str]] = {}
    for key, pattern in files:
        languages = seen.setdefault(key.split, [])
        if key.language not in languages:
            languages.append(key.language)
        if languages.index(key.language) < _LANGUAGES:
            yield key, pattern


def _columns(ref: DataRef, key: Key) -> list[str]:
    """The outermost columns that the options name for a language."""
    return _named(ref, key, [*_COLUMNS, "where"])


def _optional(ref: DataRef, key: Key) -> list[str]:
    """Those of them that a row may lack."""
    return _named(ref, key, list(cast(Any, ref.options.get("optional", ()))))


def _named(ref: DataRef, key: Key, options: Sequence[str]) -> list[str]:
    named: list[str] = []
    for option in options:
        # Of a filter the names of its columns.
        value = ref.options.get(option, ())
        named += [value] if isinstance(value, str) else list(cast(Any, value))
    code = ref.codes.get(key.language, key.language)
    tops = (name.replace("{lang}", code).partition(".")[0] for name in named)
    return list(dict.fromkeys(tops))


def _classes(ref: DataRef, schema: pa.Schema, key: Key, found: _Found) -> None:
    """The names of the classes; a note where their order is not the task's."""
    column = ref.options.get("tags", ref.options.get("label"))
    if column is None or "choices" in ref.options:
        return
    names = names_of_classes(schema, str(column))
    found.labels |= dict.fromkeys(names)
    stated = ref.options.get("label_names")
    if isinstance(stated, tuple | list) and list(stated) != names and set(stated) == set(names):
        note = (
            f"its files number the classes of {column!r} {', '.join(names)}, the task"
            f" {', '.join(stated)}: the files' order is read"
        )
        found.notes.setdefault(note, []).append(str(key))


def _try_rows(
    task: TaskSpec,
    ref: DataRef,
    files: Mapping[tuple[Key, str], Sequence[str]],
    heads: Mapping[str, bytes],
    found: _Found,
) -> None:
    """Let the reader read the first rows of each split; what it refuses is a fault."""
    # Which rows of a file are a split's may not show in its first ones.
    if "where" in ref.options:
        return
    options = {name: value for name, value in ref.options.items() if name != "hold_out"}
    own = ref.model_copy(update={"options": options})
    alone = task.model_copy(update={"data": (own,), "translations": (), "defects": {}})
    accepted = set(DEFECTS) - {"size"}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for path, head in heads.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(head)
            if ".jsonl" in PurePosixPath(path).suffixes:
                found.columns |= _fields(root / path)
        for key in dict.fromkeys(key for key, _ in _some(files)):
            firsts = [paths[0] for (other, _), paths in files.items() if other == key]
            if not all(path in heads for path in firsts):
                continue
            try:
                list(read_rows(alone, *key, {own.origin: root}, accepted, [], Counter()))
            except BadData as error:
                message = str(error).replace(f"{root}/", "")
                found.faults.setdefault(message, []).append(str(key))


def _fields(path: Path) -> dict[str, None]:
    """The names in the first line of a file of JSON lines; none where it is broken."""
    try:
        return dict.fromkeys(next(json_lines(path))[1])
    except (BadData, StopIteration):
        return {}


def _sizes(
    task: TaskSpec, keys: Iterable[Key], looks: Sequence[_Found], accept: Collection[str]
) -> None:
    """Rows that the ends of files tell against the published ones, over all sources of a task."""
    options = [ref.options for ref in task.data]
    if any("where" in one or "hold_out" in one for one in options):
        return
    left_out = _LEFT_OUT & {
        *task.defects,
        *(str(name) for one in options for name in cast(Any, one.get("accept", ()))),
    }
    for key in keys:
        due = task.sizes.get(str(key), task.sizes.get(key.split))
        told = [found for found in looks if key in found.rows or key in found.untold]
        if due is None or not told or any(key in found.untold for found in told):
            continue
        rows = sum(found.rows[key] for found in told)
        if rows == due or (left_out and rows > due):
            continue
        message = f"{rows:,} rows where {due:,} are published"
        if "size" in accept:
            told[0].notes.setdefault(f"{message}: accepted", []).append(str(key))
            continue
        advice = "another version: correct `sizes` of the task, or `--accept size`"
        told[0].faults.setdefault(f"{message}: {advice}", []).append(str(key))


def _said(messages: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Each message once, with the splits that it holds for."""
    return tuple(
        f"{_places(list(dict.fromkeys(places)))}{message}" for message, places in messages.items()
    )


def _places(places: Sequence[str]) -> str:
    more = f" and {len(places) - 2} more" if len(places) > 2 else ""
    return f"{', '.join(places[:2])}{more}: " if places else ""


def _model(spec: ModelSpec, folder: Path | None, locked: str) -> SourceLook:
    """Whether a model's repository has weights and a tokenizer."""
    scheme, _, name = spec.source.partition(":")
    what = f"model {spec.name}"
    if scheme == "package":
        return SourceLook(what=what, source=spec.source, revision="", files=0, ending="")
    faults: tuple[str, ...] = ()
    source, revision = None, ""
    try:
        path = local_copy(name, folder) if scheme == "hub" else (folder or Path()) / name
        if path is not None:
            source = folder_files(path)
        else:
            revision = commit_of("model", name, "main", spec.revision, locked, what)
            source = model_files(name, revision, what)
    except BadData as error:
        faults = (str(error),)
    except FAILURES as error:
        faults = (why(error, "model", name, revision),)
    there = list(source.sizes) if source else []
    weights = [item for item in there if item.endswith((".safetensors", ".bin"))]
    if not faults and not weights:
        faults = ("no *.safetensors and no pytorch_model*.bin",)
    if not faults and "tokenizer.json" not in there:
        faults = (
            "no tokenizer.json: `AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)` writes"
            " it into a copy, which `--from` finds",
        )
    return SourceLook(
        what=what,
        source=spec.source,
        revision=revision,
        files=len(there),
        ending="".join(sorted({PurePosixPath(item).suffix for item in weights})),
        notes=source.notes if source else (),
        faults=faults,
    )
