"""The files of a source, to be listed and opened: of the hub, of its cache, or of a folder.

Nothing is downloaded. Where the hub is not to be asked, or does not answer, what its cache has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from scaling.catalogue.task import DataRef
from scaling.data.hub import FAILURES, Sort, commit_of, listing, local_copy, newest, why
from scaling.data.ranges import HubFile
from scaling.data.rows import PACKAGES
from scaling.data.schema import BadData


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files by their paths."""

    sizes: Mapping[str, int]
    """Bytes by path."""
    open: Callable[[str], BinaryIO]
    revision: str = ""
    """The commit; '' where the files are of a folder or a package."""
    notes: tuple[str, ...] = ()
    """What differs from what was asked for."""


def opened_source(ref: DataRef, place: str, folder: Path | None, locked: str) -> Source:
    """The files of a source; BadData where they cannot be listed.

    Args:
        ref: the source.
        place: what reads it, for messages.
        folder: where local sources lie; None without one.
        locked: the commit in the lock file; '' without one.
    """
    scheme, _, name = ref.source.partition(":")
    if scheme == "package":
        if name not in PACKAGES:
            raise BadData(f"unknown package {name!r}")
        return Source(sizes={}, open=_nothing)
    if (local := local_copy(name, folder)) is not None:
        return folder_files(local)
    if scheme == "dir":
        raise BadData(
            f"{ref.source}: give `--from DIR`, the folder that holds {name!r}"
            + (f"; {folder} does not" if folder else "")
        )
    branch = str(ref.options.get("ref", "main"))
    commit = commit_of("dataset", name, branch, ref.revision, locked, place)
    if constants.is_offline_mode():
        return _cached("dataset", name, commit, place, "offline: the hub was not asked")
    try:
        sizes = listing("dataset", name, commit)
    except FAILURES as error:
        reason = why(error, "dataset", name, commit)
        note = f"the hub does not answer: {reason}"
        return _cached("dataset", name, commit, f"{place}: {reason}", note)
    notes: tuple[str, ...] = ()
    try:
        if (today := newest("dataset", name, branch)) != commit:
            known = "the task states" if ref.revision else "the lock file holds"
            notes = (
                f"{branch} has moved to {today[:12]}; {known} {commit[:12]}, which is still read",
            )
    except FAILURES as error:
        notes = (f"{branch}: {why(error, 'dataset', name, branch)}; {commit[:12]} is still read",)

    def opened(path: str) -> BinaryIO:
        return cast(BinaryIO, HubFile(name, path, commit, sizes[path]))

    return Source(sizes=sizes, open=opened, revision=commit, notes=notes)


def _nothing(path: str) -> BinaryIO:
    raise FileNotFoundError(path)


def folder_files(root: Path) -> Source:
    """All files below a folder; none where it does not exist."""
    sizes = {
        path.relative_to(root).as_posix(): path.stat().st_size
        for path in root.rglob("*")
        if path.is_file()
    }
    return Source(sizes=sizes, open=lambda path: (root / path).open("rb"))


def _cached(sort: Sort, name: str, commit: str, place: str, note: str) -> Source:
    """What the hub's cache has of a commit; BadData where it has nothing."""
    cache = Path(constants.HF_HUB_CACHE)
    root = cache / repo_folder_name(repo_id=name, repo_type=sort) / "snapshots" / commit
    if not root.is_dir():
        raise BadData(f"{place}: hub {sort} {name!r} at {commit} is not in the cache ({cache})")
    found = folder_files(root)
    return Source(
        sizes=found.sizes,
        open=found.open,
        revision=commit,
        notes=(f"{note}; read from the cache, whether it has moved is not known",),
    )


def model_files(name: str, revision: str, place: str) -> Source:
    """The files of a model's repository; BadData or one of hub.FAILURES where nobody knows them."""
    if constants.is_offline_mode():
        return _cached("model", name, revision, place, "offline: the hub was not asked")
    return Source(sizes=listing("model", name, revision), open=_nothing, revision=revision)
