"""What a task is: its data, its kind and its metric."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

from pydantic import Field, model_validator

from scaling.catalogue.definition import (
    check_codes,
    check_counts,
    check_labels,
    check_languages,
    check_metric,
    check_options,
    check_source,
)
from scaling.catalogue.readers import KindName
from scaling.spec import Commit, FieldError, Name, Spec, UserError, known

# Retrieval: pairs that are each other's negatives, and share a pass.
PAIRS_TOGETHER = 8


Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


class Key(NamedTuple):
    """A split of a language of a task. In names and files it is `SPLIT.LANGUAGE`."""

    split: Split
    language: str

    def __str__(self) -> str:
        return f"{self.split}.{self.language}"

    @classmethod
    def read(cls, text: str) -> Key:
        """The key that a name or a file has as `text`; UserError if there is no such split."""
        split, _, language = text.partition(".")
        return cls(cast(Split, known("split", split, SPLITS)), language)


DEV = Key("dev", "en")
"""What collapse is judged by, and weights are selected by: no other language has dev data."""


# Raised when a kind's features, head, loss, decoding or score change meaning: it is part of every
# step's identity.
# 2: names of special tokens in a text are text; retrieval: equal passages are no negatives, chance
# by the number of right candidates; span_qa: answers shed marks without width at their ends.
KIND_VERSIONS: dict[KindName, int] = {
    "classification": 2,
    "multiple_choice": 2,
    "tagging": 2,
    "span_qa": 2,
    "retrieval": 2,
    "masked_lm": 2,
}


class DataRef(Spec):
    """Where the raw data of a task lies and how it is read."""

    reader: str
    """A name in scaling.data.readers.READERS."""
    source: str = Field(pattern=r"^(hub|dir|package):.+")
    """`hub:ORG/NAME`, `dir:FOLDER` (below the folder given to `scaling stage --from`) or
    `package:MODULE`.
    """
    revision: Commit | None = None
    """40-hex commit of a hub source; resolved once into the lock file where it is not given."""
    files: dict[Split, tuple[str, ...]] = Field(default_factory=dict)
    """File patterns by split; `{lang}` is the upstream language code. Parallel files are listed in
    order.
    """
    codes: dict[str, str] = Field(default_factory=dict)
    """Our language code → the code in upstream file names, where they differ."""
    options: dict[str, str | int | float | bool | tuple[str, ...] | dict[str, str]] = Field(
        default_factory=dict
    )
    """For the reader: column names, label maps."""

    @property
    def origin(self) -> str:
        """What a commit is locked for: the source, and the branch of it where one is named."""
        branch = self.options.get("ref")
        return f"{self.source}@{branch}" if branch else self.source


class TaskSpec(Spec):
    """Data, a kind and a metric. Intermediate and target are roles that a study gives it.

    Checked whole when a study is read (definition.py).
    """

    name: Name
    kind: KindName
    data: tuple[DataRef, ...] = ()
    labels: tuple[str, ...] = ()
    """Class or tag names, in the order of the head's outputs."""
    languages: tuple[str, ...] = ()
    """Languages with a test split; English is always scored as well where it has one."""
    train_languages: tuple[str, ...] = ("en",)
    """Languages with a train split. Rows of other languages than English have the ids of the
    English rows that they translate (masked_lm: no such rule); dev is English where English is
    among them."""
    translations: tuple[DataRef, ...] = ()
    """Where the training rows of other languages lie; () for `data`, by `{lang}`."""
    train_on: tuple[str, ...] | None = None
    """Tasks whose English data trains this one, in sequence; None: its own; (): nothing is
    trained.
    """
    metric: str
    licence: str = ""
    citation: str = ""
    sizes: dict[str, int] = Field(default_factory=dict)
    """Published example counts by `split` or `split.lang`, checked when staged without a limit."""
    ceiling: float | None = Field(default=None, gt=0, le=1)
    """The best score that is attainable, 0..1, by human or label-noise bounds: an analysis on the
    scale of what is left to reach uses it, no training does.
    """
    ceiling_source: str = ""
    """Where `ceiling` is stated."""
    defects: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Counted faults of the upstream data: name → `split` or `split.lang` → how often. Accepted
    where there are exactly so many."""
    identical: Literal["right", "apart"] = "right"
    """Retrieval: candidates of one text are one answer (`right`), or each only its own query's
    (`apart`), where a published protocol scores by id."""
    note: str = ""

    @model_validator(mode="after")
    def _check(self) -> TaskSpec:
        if self.ceiling is not None and not self.ceiling_source:
            raise FieldError(("ceiling",), "needs ceiling_source: where it is stated")
        if self.ceiling is not None and self.ceiling * len(self.labels) <= 1 and self.labels:
            raise FieldError(
                ("ceiling",),
                f"{self.ceiling:g} is no better than guessing among {len(self.labels)} labels",
            )
        check_languages(("languages",), self.languages)
        check_languages(("train_languages",), self.train_languages)
        check_metric(self.metric, self.kind, self.languages)
        check_labels(self.labels, self.kind, self.metric)
        languages = tuple(dict.fromkeys((*self.languages, *self.train_languages)))
        for field in ("data", "translations"):
            for at, ref in enumerate(getattr(self, field)):
                path = (field, at)
                check_source(path, ref.reader, ref.source, ref.files, self.kind)
                check_options(path, ref.reader, self.kind, ref.options, self.labels)
                check_codes(path, ref.codes, languages)
        splits = tuple(dict.fromkeys(split for ref in self.data for split in ref.files))
        check_counts(self.sizes, self.defects, splits or SPLITS, {*languages, "en"})
        return self

    @property
    def has_dev(self) -> bool:
        """Whether training on it is judged on English dev data: not if it has no English at all."""
        return "en" in self.train_languages

    @property
    def trains_on(self) -> tuple[str, ...]:
        """The tasks whose English data trains this one, in sequence; () if nothing is trained."""
        return (self.name,) if self.train_on is None else self.train_on


def refs_of(task: TaskSpec, split: Split, language: str) -> tuple[DataRef, ...]:
    """Where a split of a language lies."""
    return (
        task.translations
        if task.translations and split == "train" and language != "en"
        else task.data
    )


def check_pairs(task: str, batch: int) -> None:
    """UserError unless a global batch of pairs is whole groups."""
    group = min(PAIRS_TOGETHER, batch)
    if batch % group:
        raise UserError(
            f"{task} has a batch of {batch} pairs: give a multiple of {group}, or fewer than that"
        )
