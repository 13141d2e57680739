"""Hugging Face's hub, for staging alone: which commit is read, and its files in the local cache.

A commit is, in this order: the one in the spec (a public source states it), the one in the store's
lock file, or today's newest, asked for once and then locked. HF_HUB_OFFLINE=1 asks nothing: what is
not in the cache is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError

from scaling.data.schema import BadData
from scaling.spec import is_commit

# Of the network (the hub client's own HTTP library), of the hub's answers, and of its offline mode.
_FAILURES = (OSError, HTTPError)
Sort = Literal["dataset", "model"]


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
        api = HfApi()
        info = (
            api.dataset_info(name, revision=ref)
            if sort == "dataset"
            else api.model_info(name, revision=ref)
        )
    except (RepositoryNotFoundError, GatedRepoError) as error:
        raise BadData(
            f"{what}: no such repository for you: {_first_line(error)}. {_other_ways(name)}"
        ) from error
    except _FAILURES as error:
        raise BadData(
            f"{what}: nobody states its revision, the lock file has none, and the hub cannot be"
            f" asked for that of {ref!r}: {_first_line(error)}. Stage once with a network, or write"
            f" `revision:` (40 hex digits) into the spec. {_other_ways(name)}"
        ) from error
    return str(info.sha)


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
    except _FAILURES as error:
        raise BadData(
            f"{place}: hub {sort} {name!r} at revision {revision} is neither in the cache"
            f" ({constants.HF_HUB_CACHE}) nor to be had: {_first_line(error)}. With a network: `hf"
            f" download {name} --repo-type {sort} --revision {revision}`. {_other_ways(name)}"
        ) from error


def _other_ways(name: str) -> str:
    return f"Or put its files into DIR/{name} and give `--from DIR`."


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__).rstrip(".")
