"""A store that is no folder of this machine to whoever uses it, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling.store.local_files import LocalFiles
from scaling.store.store import OWNER, Store


class _Far:
    local = None

    def __init__(self, folder: Path) -> None:
        self._files = LocalFiles(folder, OWNER)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)


def far_store(folder: Path) -> Store:
    return Store("remote", _Far(folder))
