"""Hugging Face's hub, for staging alone: which commit is read, and its files in the local cache.

A commit is, in this order: the one in the spec (a public source states it), the one in the store's
lock file, or today's newest, asked for once and then locked. HF_HUB_OFFLINE=1 asks nothing: what is
not in the cache is an error. What has come stays in the cache, so that a staging which the hub or
the disk broke off goes on from there.
"""

from __future__ import annotations

import errno
import hashlib
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from scaling.catalogue.sources import CONVERTED
from scaling.data.schema import BadData
from scaling.spec import is_commit

# Of the network (the hub client's own HTTP library), of the hub's answers, and of its offline mode.
FAILURES = (OSError, HTTPError)
Sort = Literal["dataset", "model"]
# Seconds before asking again a hub that limits or fails; the client itself retries files only.
_WAITS = (1.0, 4.0, 16.0)
_PASSING = (429, 500, 502, 503, 504)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LONGEST_WAIT = 60.0
_Answer = TypeVar("_Answer")


def local_copy(name: str, folder: Path | None) -> Path | None:
    """`FOLDER/ORG/NAME` where it exists: `scaling stage --from` goes before the hub."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise BadData(f"{name!r} is no folder below the one given to --from")
    if folder is not None and (folder / name).is_dir():
        return folder / name
    return None


def commit_of(sort: Sort, name: str, ref: str, stated: str | None, locked: str, place: str) -> str:
    """The 40-hex commit to read of a repository.

    BadData if the spec and the lock file name two commits, if the lock names none, or if the hub
    cannot be asked.

    Args:
        sort: Of repository.
        name: ORG/NAME.
        ref: The branch whose newest commit is asked for where no commit is stated or locked.
        stated: The commit that the spec states.
        locked: The commit in the store's lock file; '' without one.
        place: What reads it, for messages.
    """
    what = f"{place}: hub {sort} {name!r}"
    if locked and not is_commit(locked):
        raise BadData(
            f"{what}: the store's lock file says {locked!r}, which is no commit of 40 hex digits"
        )
    if stated and locked and stated != locked:
        raise BadData(
            f"{what}: the spec says revision {stated}, the store's lock file {locked}. Two versions"
            " never mix: put the old revision back, or use a new --store."
        )
    if stated or locked:
        return stated or locked
    try:
        return newest(sort, name, ref)
    except FAILURES as error:
        raise BadData(
            f"{what}: nobody states its revision, the lock file has none, and the hub cannot be"
            f" asked for that of {ref!r}: {why(error, sort, name, ref)}. Stage once with a network,"
            f" or write `revision:` (40 hex digits) into the spec. {_other_ways(name)}"
        ) from error


def newest(sort: Sort, name: str, ref: str) -> str:
    """The commit at which a branch is today. One of FAILURES if the hub does not say it."""
    info = _asked(lambda: HfApi().repo_info(name, repo_type=sort, revision=ref))
    return str(info.sha)


def listing(sort: Sort, name: str, revision: str) -> dict[str, int]:
    """Bytes of every file of a commit, by path. One of FAILURES if the hub does not say it."""
    tree = _asked(
        lambda: list(
            HfApi().list_repo_tree(name, repo_type=sort, revision=revision, recursive=True)
        )
    )
    return {entry.path: entry.size for entry in tree if hasattr(entry, "size")}


def _asked(ask: Callable[[], _Answer]) -> _Answer:
    """The answer of a hub that may be busy for a moment."""
    for wait in _WAITS:
        try:
            return ask()
        except HfHubHTTPError as error:
            if error.response.status_code not in _PASSING:
                raise
            after = error.response.headers.get("Retry-After", "")
            time.sleep(min(_LONGEST_WAIT, float(after) if after.isdecimal() else wait))
    return ask()


def files_of(sort: Sort, name: str, revision: str, patterns: Sequence[str], place: str) -> Path:
    """Folder with the files of a commit, fetched into the hub's cache if they are not there.

    BadData, naming repository and revision, for an offline cache that lacks them and for what the
    hub refuses.

    Args:
        sort: Of repository.
        name: ORG/NAME.
        revision: The commit, 40 hex digits.
        patterns: Which files.
        place: What reads them, for messages.
    """
    try:
        return Path(
            snapshot_download(
                name,
                repo_type=sort,
                revision=revision,
                allow_patterns=list(patterns),
                max_workers=4,
            )
        )
    except FAILURES as error:
        raise BadData(
            f"{place}: hub {sort} {name!r} at revision {revision} is neither in the cache"
            f" ({constants.HF_HUB_CACHE}) nor to be had: {why(error, sort, name, revision)}. The"
            " files that have come stay there: the same command goes on. With a network: `hf"
            f" download {name} --repo-type {sort} --revision {revision}`. {_other_ways(name)}"
        ) from error


def why(error: Exception, sort: Sort, name: str, ref: str) -> str:
    """What keeps the hub from answering, and what to do where something can be done.

    Args:
        error: one of FAILURES.
        sort: Of repository.
        name: ORG/NAME.
        ref: the branch or commit that was asked for.
    """
    # The client's own words for what is not in its cache; behind them stands why it had to look.
    while isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    address = f"{constants.ENDPOINT}/{'datasets/' if sort == 'dataset' else ''}{name}"
    if isinstance(error, GatedRepoError):
        return (
            f"it is gated: accept its terms at {address} and give your token, by `hf auth login` or"
            " HF_TOKEN"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            "no such repository for you: the name is wrong, or it is private and needs a token that"
            " may read it, by `hf auth login` or HF_TOKEN"
        )
    if isinstance(error, RevisionNotFoundError):
        return _without_revision(sort, name, ref)
    full = error
    while full is not None and getattr(full, "errno", None) not in _FULL:
        full = full.__cause__ or full.__context__  # type: ignore[assignment]
    if full is not None:
        return (
            f"the disk of {constants.HF_HUB_CACHE} is full: make room there, or let HF_HOME name"
            " another folder"
        )
    return _first_line(error)


def _without_revision(sort: Sort, name: str, ref: str) -> str:
    if is_commit(ref):
        return "it has no such commit any more: its history was written anew"
    if ref != CONVERTED:
        return f"it has no branch {ref!r}"
    try:
        there = sorted(listing(sort, name, "main"))
    except FAILURES as error:
        return f"it has no {ref!r}, and what else it has it does not say: {_first_line(error)}"
    scripts = [path for path in there if path.endswith(".py")]
    if scripts and not any(path.endswith((".parquet", ".jsonl", ".csv")) for path in there):
        return (
            f"it has a script only ({scripts[0]}), which is never run here, and the hub has no"
            f" Parquet conversion of it ({ref!r}). Look for a mirror with Parquet files, or convert"
            " it once by `datasets` < 4 and `save_to_disk`"
        )
    return f"it has no {ref!r}; its main branch has {', '.join(there[:6])}"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; BadData if it is one of the hub's cache that is not what its name says.

    The cache names a file by the hash that the hub states: SHA-256, or git's for small ones.
    """
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    blob = path.parent / path.readlink() if path.is_symlink() else path
    if blob.parent.name == "blobs":
        stated, held = blob.name, found
        if re.fullmatch("[0-9a-f]{40}", stated):
            content = blob.read_bytes()
            held = hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()
        if held != stated and re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", stated):
            raise BadData(
                f"{path}: its hash is {held}, the hub states {stated}: damaged in the cache. Delete"
                f" {blob} and stage again"
            )
    return found


def _other_ways(name: str) -> str:
    return f"Or put its files into DIR/{name} and give `--from DIR`."


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__).rstrip(".")
