"""What a task is: its data, its kind and its metric."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from scaling.catalogue.languages import get_language
from scaling.spec import Commit, Name, Spec, UserError

# Retrieval: pairs that are each other's negatives, and share a pass.
PAIRS_TOGETHER = 8


Kind = Literal["classification", "multiple_choice", "tagging", "span_qa", "retrieval", "masked_lm"]


Split = Literal["train", "dev", "test"]


# Raised when a kind's features, head, loss, decoding or score change meaning: it is part of every
# step's identity.
KIND_VERSIONS: dict[Kind, int] = {
    "classification": 1,
    "multiple_choice": 1,
    "tagging": 1,
    "span_qa": 1,
    "retrieval": 1,
    "masked_lm": 1,
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
    options: dict[str, str | int | float | bool | list[str] | dict[str, str]] = Field(
        default_factory=dict
    )
    """For the reader: column names, label maps."""

    @property
    def origin(self) -> str:
        """What a commit is locked for: the source, and the branch of it where one is named."""
        branch = self.options.get("ref")
        return f"{self.source}@{branch}" if branch else self.source


class TaskSpec(Spec):
    name: Name
    kind: Kind
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
    note: str = ""

    @model_validator(mode="after")
    def _check(self) -> TaskSpec:
        if self.ceiling is not None and not self.ceiling_source:
            raise UserError(f"task {self.name!r} declares a ceiling without ceiling_source")
        for code in (*self.languages, *self.train_languages):
            get_language(code)
        if len(set(self.languages)) != len(self.languages):
            raise UserError(f"task {self.name!r} lists a language twice")
        if self.kind in ("classification", "tagging") and not self.labels:
            raise UserError(f"task {self.name!r} of kind {self.kind} needs labels")
        return self

    @property
    def has_dev(self) -> bool:
        """Whether training on it is judged on English dev data; text in other languages alone is
        not.
        """
        return "en" in self.train_languages

    @property
    def trains_on(self) -> tuple[str, ...]:
        return (self.name,) if self.train_on is None else self.train_on


def check_pairs(task: str, batch: int, workers: int) -> None:
    """ValueError unless a global batch of pairs is whole groups, and at least one for each
    worker.
    """
    group = min(PAIRS_TOGETHER, batch)
    if batch % group:
        raise UserError(
            f"{task} has a batch of {batch} pairs: give a multiple of {group}, or fewer than that"
        )
    if batch // group < workers:
        raise UserError(
            f"{task} has a batch of {batch} pairs, which are {batch // group} groups of {group}"
            f" that are each other's negatives and stay on one device: {workers} workers are too"
            " many"
        )
