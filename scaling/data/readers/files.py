"""Which files a split of a language is read from."""

from __future__ import annotations

from pathlib import Path

from scaling.catalogue.task import DataRef, Split
from scaling.data.schema import BadData
from scaling.typos import did_you_mean


def find_files(ref: DataRef, split: Split, code: str, root: Path) -> list[Path]:
    """Files that match the patterns of `ref`, in the patterns' order, by name within one pattern.

    Where none does, those that do with `.gz` at their end. Raises BadData naming what is there for
    a split that the source does not have, and for a pattern that matches nothing: a missing
    language is never empty.

    Args:
        ref: The source.
        split: Train, dev or test.
        code: The language's code in the upstream files.
        root: The folder of the source.
    """
    if split not in ref.files:
        raise BadData(f"{ref.source} has no {split} split; it has {', '.join(ref.files) or 'none'}")
    found: list[Path] = []
    for pattern in ref.files[split]:
        pattern = pattern.replace("{lang}", code)
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise BadData(f"{ref.source}: the pattern {pattern!r} leads out of {root}")
        matches = _matching(root, pattern) or _matching(root, f"{pattern}.gz")
        for path in matches:
            if not path.resolve().is_relative_to(_home(root)):
                raise BadData(f"{path}: a link that leads out of {_home(root)}")
        if not matches:
            raise BadData(
                f"{root / pattern}: no such file for {split} of {code!r}. {_there(root, pattern)}"
            )
        found += matches
    return found


def _matching(root: Path, pattern: str) -> list[Path]:
    return sorted(path for path in root.glob(pattern) if path.is_file())


def _home(root: Path) -> Path:
    """What files of a source must lie in: its folder, or of a hub's snapshot the repository's.

    Snapshots are links to the `blobs` beside them.
    """
    return (root.parent.parent if root.parent.name == "snapshots" else root).resolve()


def _there(root: Path, pattern: str) -> str:
    folder = (root / pattern).parent
    if not folder.is_dir():
        return f"There is no folder {folder}"
    return did_you_mean(Path(pattern).name, (path.name for path in folder.iterdir()))
