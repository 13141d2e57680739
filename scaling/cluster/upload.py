"""What a cluster is sent: a checkout, or what is installed here, put together like one."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from scaling.cluster.check import ClusterError, pinned_versions, wanted_versions
from scaling.cluster.ray_private import uploaded_files
from scaling.study.study import STUDIES

# What the cluster does not need of a checkout; Ray leaves out what .gitignore names as well.
EXCLUDES = (
    ".git",
    ".venv",
    "runs",
    "report",
    "dist",
    "build",
    "tests",
    "benchmarks",
    "docs",
    "*.egg-info",
)
UPLOAD_LIMIT_BYTES = 100 * 2**20
ENTRY = "jobs/run_study.py"
PROJECT = "pyproject.toml"
# Where a wheel puts the jobs' files, below the environment's own folder.
SHARED = "share/stilts-scaling/jobs"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A folder as Ray's job server gets it."""

    folder: Path
    study: str
    """As the job finds it: a shipped name, or a path below the folder."""
    num_bytes: int
    wanted: Mapping[str, str]
    """Distribution → version that this code runs with."""


@contextmanager
def upload_for(study_file: str, folder: Path | None) -> Iterator[Upload]:
    """What to send for a study; ClusterError if it is too much, or if something is not in it.

    Without a folder it is the current one if that is a checkout, else a temporary one with what is
    installed here and the study's file.
    """
    here = Path.cwd()
    if folder is None and (here / ENTRY).is_file() and (here / PROJECT).is_file():
        folder = here
    if folder is not None:
        yield _checkout(study_file, folder.resolve())
        return
    with tempfile.TemporaryDirectory(prefix="scaling-upload-") as made:
        yield _installed(study_file, Path(made))


def _checkout(study_file: str, folder: Path) -> Upload:
    files = upload_of(folder)
    for needed in (ENTRY, PROJECT):
        if needed not in files:
            raise ClusterError(
                f"{folder} has no {needed}; give a checkout of this project as --working-dir, or"
                " leave that out in a folder that is none: then what is installed is sent"
            )
    return Upload(
        folder=folder,
        study=_seen_there(study_file, folder, files),
        num_bytes=sum(files.values()),
        wanted=wanted_versions(folder / PROJECT),
    )


def _installed(study_file: str, folder: Path) -> Upload:
    root = Path(__file__).parents[2]
    for package in ("scaling", "analysis"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / package, folder / package, ignore=ignored)
    jobs, wanted = _jobs_and_versions(root)
    (folder / "jobs").mkdir()
    for file in jobs:
        shutil.copy(file, folder / "jobs")
    study = study_file
    if not _is_shipped(study_file):
        study = Path(study_file).name
        shutil.copy(study_file, folder / study)
    return Upload(
        folder=folder, study=study, num_bytes=sum(upload_of(folder).values()), wanted=wanted
    )


def _jobs_and_versions(root: Path) -> tuple[list[Path], dict[str, str]]:
    """The files of jobs/ that belong to the running code, and the versions that it pins."""
    if (root / ENTRY).is_file() and (root / PROJECT).is_file():
        return sorted((root / "jobs").glob("*.py")), wanted_versions(root / PROJECT)
    try:
        installed = distribution("stilts-scaling")
    except PackageNotFoundError as error:
        raise ClusterError(
            f"{root} is neither a checkout of this project nor an installed wheel of it"
        ) from error
    listed = [file for file in installed.files or () if SHARED in file.as_posix()]
    jobs = [Path(str(file.locate())) for file in listed if file.suffix == ".py"]
    if not all(file.is_file() for file in jobs) or Path(ENTRY).name not in [f.name for f in jobs]:
        raise ClusterError(
            f"the installed wheel in {root} has no {SHARED}; give a checkout as --working-dir"
        )
    return jobs, pinned_versions(installed.requires or ())


def upload_of(folder: Path) -> dict[str, int]:
    """Relative name → bytes of all that Ray would upload.

    ClusterError with the largest folders if that is too much.
    """
    files = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in uploaded_files(folder, EXCLUDES)
    }
    total = sum(files.values())
    if total > UPLOAD_LIMIT_BYTES:
        by_top: Counter[str] = Counter()
        for name, size in files.items():
            by_top[name.partition("/")[0]] += size
        largest = ", ".join(
            f"{name} {size / 2**20:,.0f} MiB" for name, size in by_top.most_common(3)
        )
        raise ClusterError(
            f"the upload of {folder} has {total / 2**20:,.0f} MiB, the limit is"
            f" {UPLOAD_LIMIT_BYTES / 2**20:.0f}; largest: {largest}. Move them away or name them in"
            " .gitignore or .rayignore"
        )
    return files


def _is_shipped(study_file: str) -> bool:
    path = Path(study_file)
    return not path.suffix and not path.is_file() and (STUDIES / f"{study_file}.yaml").is_file()


def _seen_there(study_file: str, folder: Path, files: Mapping[str, int]) -> str:
    """The study as the job finds it: a shipped name, or a path below the working directory."""
    if _is_shipped(study_file):
        return study_file
    path = Path(study_file).resolve()
    if not path.is_relative_to(folder):
        raise ClusterError(
            f"{study_file} is not below {folder}, so the cluster would not see it; copy it there"
        )
    name = path.relative_to(folder).as_posix()
    if name not in files:
        raise ClusterError(
            f"{study_file} would not be uploaded: {', '.join(EXCLUDES)} and .gitignore are left out"
        )
    return name
