"""What a task's definition must be, before any file is opened: names, options, labels, splits.

Each check raises FieldError with the path of the field that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol

from scaling.catalogue.languages import get_language
from scaling.catalogue.metrics import METRIC_KINDS, MLQA_LANGUAGES
from scaling.catalogue.readers import (
    DEFECTS,
    PACKAGE_READERS,
    READER_KINDS,
    KindName,
    option_fault,
    options_of,
)
from scaling.spec import FieldError, known
from scaling.typos import did_you_mean

_ENTITY = re.compile(r"[BIESM]-.+")
_PREFIXED = re.compile(r"[A-Z]-.+|.+-[A-Z]")
_LABELLED = ("classification", "tagging")


def check_languages(path: tuple[str | int, ...], codes: Collection[str]) -> None:
    """FieldError for the first code that is no language."""
    for at, code in enumerate(codes):
        try:
            get_language(code)
        except FieldError as error:
            raise error.below((*path, at)) from error


def check_metric(metric: str, kind: KindName, languages: Sequence[str]) -> None:
    """A metric that exists, scores this kind, and knows the languages."""
    fits = [name for name, kinds in METRIC_KINDS.items() if kind in kinds]
    if metric not in METRIC_KINDS:
        known("metric", metric, fits, "metrics", ("metric",))
    if metric not in fits:
        raise FieldError(
            ("metric",), f"{metric} does not score {kind}; valid: {', '.join(sorted(fits))}"
        )
    strange = [code for code in languages if metric == "mlqa" and code not in MLQA_LANGUAGES]
    if strange:
        raise FieldError(
            ("metric",),
            f"mlqa has no rules for {strange[0]!r}; it knows {' '.join(MLQA_LANGUAGES)}",
        )


def check_labels(labels: Sequence[str], kind: KindName, metric: str) -> None:
    """At least two labels where there are any; of `span_f1` bare tags, or a scheme of entities.

    The scorer reads the first letter of a tag. Beside `O` a bare `ORG` would be outside, and
    `PER-B` of the type B: a set of entities has `O`, and all its other labels are B-, I-, E-, S- or
    M- with a type (BIO, BIOES, BMES).
    """
    if kind not in _LABELLED:
        if labels:
            raise FieldError(("labels",), f"a task of kind {kind} has none")
        return
    if len(labels) < 2:
        raise FieldError(("labels",), f"a task of kind {kind} needs at least two")
    for at, label in enumerate(labels):
        if not label.strip():
            raise FieldError(("labels", at), "an empty name")
    if metric != "span_f1" or not ("O" in labels or any(map(_PREFIXED.fullmatch, labels))):
        return
    if "O" not in labels:
        raise FieldError(
            ("labels",),
            "tags of entities without `O`, which span_f1 reads as outside: rename yours with"
            " `label_map`",
        )
    for at, label in enumerate(labels):
        if label != "O" and not _ENTITY.fullmatch(label):
            raise FieldError(
                ("labels", at),
                f"span_f1 cannot read {label!r} beside `O`: entities are B-, I-, E-, S- or M- and a"
                " type, as B-PER. Rename the tags with the reader's `label_map`",
            )


def check_source(
    path: tuple[str | int, ...],
    reader: str,
    source: str,
    files: Mapping[str, Sequence[str]],
    kind: KindName,
) -> None:
    """A reader that exists, makes rows of this kind, and has files to read.

    Args:
        path: to the reference.
        reader: name of the reader.
        source: where the files lie, or `package:MODULE`.
        files: patterns by split.
        kind: of the task.
    """
    fits = [name for name, kinds in READER_KINDS.items() if kind in kinds]
    if reader not in READER_KINDS:
        known("reader", reader, fits, "readers", (*path, "reader"))
    if reader not in fits:
        raise FieldError(
            (*path, "reader"),
            f"{reader} reads {', '.join(READER_KINDS[reader])}, not {kind}; readers of {kind}:"
            f" {', '.join(fits)}",
        )
    is_package = source.startswith("package:")
    if is_package != (reader in PACKAGE_READERS):
        raise FieldError(
            (*path, "source"),
            f"the reader {reader} reads {'files' if is_package else 'a package:MODULE'}",
        )
    if is_package and files:
        raise FieldError((*path, "files"), "a package has none to name")
    if not is_package and not files:
        raise FieldError((*path, "files"), "names no file")
    for split, patterns in files.items():
        if not patterns:
            raise FieldError((*path, "files", split), "names no file")
        for at, pattern in enumerate(patterns):
            parts = PurePosixPath(pattern).parts
            if not parts or ".." in parts or pattern.startswith("/"):
                raise FieldError(
                    (*path, "files", split, at), f"{pattern!r} is no pattern below the source"
                )


def check_options(
    path: tuple[str | int, ...],
    reader: str,
    kind: KindName,
    options: Mapping[str, Any],
    labels: Sequence[str],
) -> None:
    """Options that the reader has for this kind, all that it needs, of the right type.

    Names of classes must end in labels.

    Args:
        path: to the reference.
        reader: name of the reader.
        kind: of the task.
        options: as they are given.
        labels: of the task.
    """
    valid = options_of(reader, kind)
    for name, value in options.items():
        here = (*path, "options", name)
        if name not in valid:
            raise FieldError(
                here,
                f"the reader {reader} has no such option. {did_you_mean(name, valid)}",
                name,
                valid,
            )
        if fault := option_fault(valid[name], value):
            raise FieldError(here, fault)
        if allowed := valid[name].values:
            for at, item in enumerate([value] if isinstance(value, str) else value):
                if item not in allowed:
                    raise FieldError(
                        here if isinstance(value, str) else (*here, at),
                        f"knows no {item!r}. {did_you_mean(item, allowed)}",
                        item,
                        allowed,
                    )
    missing = [name for name, option in valid.items() if option.required and name not in options]
    if missing:
        raise FieldError(
            (*path, "options"), f"the reader {reader} needs {', '.join(missing)} for {kind}"
        )
    mapping = options.get("label_map", {})
    for raw, label in mapping.items():
        here = (*path, "options", "label_map", raw)
        if kind in _LABELLED and label not in labels:
            raise FieldError(
                here,
                f"{label!r} is not among the labels. {did_you_mean(label, labels)}",
                label,
                labels,
            )
        if kind == "multiple_choice" and not (label.isascii() and label.isdecimal()):
            raise FieldError(here, f"{label!r} is no number of a choice, from 0")
    for at, name in enumerate(options.get("label_names", ())):
        if name not in (mapping or labels):
            where = "a key of label_map" if mapping else "among the labels"
            names = tuple(mapping or labels)
            raise FieldError(
                (*path, "options", "label_names", at),
                f"{name!r} is not {where}. {did_you_mean(name, names)}",
                name,
                names,
            )


def check_codes(
    path: tuple[str | int, ...], codes: Mapping[str, str], languages: Collection[str]
) -> None:
    """Codes of known languages, no two of which are read from the same files."""
    given: dict[str, str] = {}
    for language, code in codes.items():
        here = (*path, "codes", language)
        try:
            get_language(language)
        except FieldError as error:
            raise error.below(here) from error
        if not code.strip():
            raise FieldError(here, "an empty code")
    for language in languages:
        code = codes.get(language, language)
        other = given.setdefault(code, language)
        if other != language:
            raise FieldError(
                (*path, "codes"), f"{other} and {language} have the same code {code!r}"
            )


def check_counts(
    sizes: Mapping[str, int],
    defects: Mapping[str, Mapping[str, int]],
    splits: Collection[str],
    languages: Collection[str],
) -> None:
    """Counts by `split` or `split.lang` that the task has.

    Args:
        sizes: published counts.
        defects: counted defects, by name.
        splits: that the task has.
        languages: that the task has.
    """
    for path, counts in (
        (("sizes",), sizes),
        *((("defects", name), counts) for name, counts in defects.items()),
    ):
        if len(path) == 2:
            known("defect", path[1], DEFECTS, path=path)
        for key, count in counts.items():
            split, _, code = key.partition(".")
            if split not in splits or (code and code not in languages) or key.endswith("."):
                valid = [f"{name}.{one}" for name in splits for one in languages]
                valid = valid if "." in key else list(splits)
                raise FieldError(
                    (*path, key),
                    "is no split of this task, or SPLIT.LANGUAGE. " + did_you_mean(key, valid),
                    key,
                    valid,
                )
            if count < (path == ("sizes",)):
                raise FieldError((*path, key), f"{count} examples")


class Trained(Protocol):
    """What a task must say of itself to be trained for another one: a TaskSpec."""

    @property
    def name(self) -> str:
        """What studies call it."""

    @property
    def kind(self) -> KindName:
        """Of the task."""

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the head's outputs."""

    @property
    def trains_on(self) -> tuple[str, ...]:
        """The tasks that train this one, in sequence."""


def check_training(
    path: tuple[str | int, ...], task: Trained, tasks: Mapping[str, Trained]
) -> None:
    """The tasks that train this one exist, and the last of them leaves a head that fits.

    That is the same kind and the same labels, in any order.
    """
    for name in task.trains_on:
        known(f"training task of {task.name}", name, tasks, "tasks", path)
    if not task.trains_on:
        return
    last = tasks[task.trains_on[-1]]
    if last.kind != task.kind:
        raise FieldError(
            path, f"{task.name} is of kind {task.kind} and trains on {last.name}, {last.kind}"
        )
    if set(last.labels) != set(task.labels):
        raise FieldError(
            path,
            f"{task.name} has the labels {' '.join(task.labels)} and trains on {last.name}, which"
            f" has {' '.join(last.labels)}",
        )
