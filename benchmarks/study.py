"""`make bench-study`: the demo study from nothing, again, and what a laptop without torch can do.
About 15 minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results_table import write_results
from scaling.planning.progress import current_plan, study_status
from scaling.store.store import Store
from scaling.store.tidy import tidy_rows
from scaling.study.study import load_study

ROOT = Path(__file__).parents[1]
# What planning may not need.
HEAVY = ("torch", "ray", "transformers", "deepspeed", "datasets", "tokenizers")


def timed(command: Sequence[str | Path], **options: object) -> tuple[float, str]:
    """Seconds and output of a command that must succeed."""
    start = time.monotonic()
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **options,
    )  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stdout[-4000:]}")
    return time.monotonic() - start, done.stdout


def make_study(store: Path) -> tuple[float, str]:
    """What `make study` does once everything is installed."""
    scaling = [sys.executable, "-m", "scaling.cli"]
    run, output = timed([*scaling, "run", "demo", "--store", store], cwd=ROOT)
    report, more = timed([*scaling, "report", "demo", "--store", store], cwd=ROOT)
    return run + report, output + more


def plan_without_torch() -> float:
    hide = f"import sys; [sys.modules.__setitem__(name, None) for name in {HEAVY}];"
    code = hide + "sys.argv = ['scaling', 'plan', 'xtreme_r']; from scaling.cli import main; main()"
    return min(timed([sys.executable, "-c", code], cwd=ROOT)[0] for _ in range(3))


def wheel_works(folder: Path) -> bool:
    """Build the wheel, install it alone in an empty environment, and plan outside the
    repository.
    """
    timed([sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", ROOT])
    venv.create(folder / "venv", with_pip=True)
    wheel = next((folder / "dist").glob("*.whl"))
    # A PYTHONPATH that shows the checkout would make pip believe that the package is there already.
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    timed([folder / "venv" / "bin" / "pip", "install", "--quiet", wheel], cwd=folder, env=plain)
    scaling = folder / "venv" / "bin" / "scaling"
    timed([scaling, "--help"], cwd=folder, env=plain)
    _, output = timed([scaling, "plan", "xtreme_r"], cwd=folder, env=plain)
    return "unique steps" in output


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        store = folder / "store"
        first, _ = make_study(store)
        second, output = make_study(store)
        opened = Store.open(store)
        plan = current_plan(load_study("demo"), opened)
        status = study_status(plan, opened)
        rows = [row for row in tidy_rows(plan, opened) if row.split == "test" and row.main]
        trained = [row for row in rows if row.target == "applications" and row.arm == "none"]
        above = sum(row.value > row.chance for row in rows)
        english = [row for row in trained if row.language == "en"]
        plan_seconds = plan_without_torch()
        wheel = wheel_works(folder)
        share = status.seconds.start_share
    figures = [
        (
            "first `make study` after installation, minutes",
            "≤ 15",
            round(first / 60, 1),
            first <= 900,
        ),
        (
            "second `make study`, seconds",
            "≤ 20",
            round(second, 1),
            second <= 20 and "nothing to run" in output,
        ),
        (
            "start-up and loading, share of all worker-group seconds",
            "≤ 0.35",
            round(share, 2),
            share <= 0.35,
        ),
        (
            "`scaling plan xtreme_r` without torch, seconds",
            "≤ 2",
            round(plan_seconds, 2),
            plan_seconds <= 2,
        ),
        ("wheel in an empty venv: --help and plan outside the repository", "works", wheel, wheel),
        ("scores above chance", "most", f"{above} of {len(rows)}", above > 0.8 * len(rows)),
        (
            "English scores above chance, arm none, trained target",
            "all",
            f"{sum(row.value > row.chance for row in english)} of {len(english)}",
            all(row.value > row.chance for row in english),
        ),
        (
            "collapsed trainings",
            "few",
            sum(status.collapsed.values()),
            sum(status.collapsed.values()) <= 6,
        ),
    ]
    keys = ("figure", "target", "value", "met")
    write_results("study", [dict(zip(keys, figure, strict=True)) for figure in figures])


if __name__ == "__main__":
    main()
