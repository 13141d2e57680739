"""A step as if it had never run."""

from __future__ import annotations

from scaling.store.paths import WEIGHTS, StepFolder
from scaling.store.store import Store


def forget(store: Store, step: str) -> None:
    folder = StepFolder(step)
    for name in (folder.record, folder.collapsed, folder.lease):
        store.delete(name)
    for name in (folder.attempts, f"{WEIGHTS}/{step}", folder.resume, folder.failures):
        store.delete_folder(name)
