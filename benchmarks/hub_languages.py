"""Languages, own files, a scoring that is killed: the rows of `make bench-hub` that need no hub.

`rows()` is what benchmarks/hub.py adds to its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.results_table import write_results
from scaling.catalogue import CATALOGUE, TASKS
from scaling.catalogue.language_sources import is_iso
from scaling.catalogue.languages import LANGUAGES, get_language
from scaling.data.rows import stage_task
from scaling.store.store import Store
from scaling.study.study import load_study

LEAST_ITEMS = 200
MOST_LINES = 12
ROOT = Path(__file__).parents[1]


def coverage() -> Iterator[dict[str, Any]]:
    """Low and unseen languages with a test set from the hub; members of macrolanguages are not."""
    items: Counter[str] = Counter()
    for task in CATALOGUE:
        if any("test" in ref.files and ref.source.startswith("hub:") for ref in task.data):
            for code in task.languages:
                # A set that states no size counts as a set and not as one of so many items.
                size = task.sizes.get(f"test.{code}", task.sizes.get("test", 1))
                items[code] = max(items[code], size)
    low = {code: n for code, n in items.items() if get_language(code).tier in ("low", "unseen")}
    enough = sum(n >= LEAST_ITEMS for n in low.values())
    yield {
        "figure": "low or unseen languages with a test set from the hub, macrolanguage members out",
        "target": "≥ 130 (14 before)",
        "value": f"{len(low)} of {len(items)}",
        "met": len(low) >= 130,
    }
    yield {
        "figure": f"the same, with {LEAST_ITEMS} items or more",
        "target": "≥ 125",
        "value": str(enough),
        "met": enough >= 125,
    }


def table() -> Iterator[dict[str, Any]]:
    """What the table of languages states, and for how many."""
    languages = LANGUAGES.values()
    num = len(LANGUAGES)
    yield {
        "figure": "languages in the table",
        "target": "≥ 220",
        "value": str(num),
        "met": num >= 220,
    }
    for figure, stated in (
        (
            "with a code of ISO 639-3, or a group's of ISO 639-5",
            [is_iso(one.iso639_3) for one in languages],
        ),
        ("with a script", [one.script != "?" for one in languages]),
        ("with a family", [one.family != "?" for one in languages]),
    ):
        share = sum(stated) / num
        yield {"figure": figure, "target": "100 %", "value": f"{share:.0%}", "met": share == 1}
    joshi = sum(one.joshi is not None for one in languages)
    tiers = Counter(one.tier for one in languages)
    yield {
        "figure": "with Joshi's class by their list; `?` otherwise",
        "target": "printed",
        "value": f"{joshi}; {num - joshi} `?`",
        "met": True,
    }
    yield {
        "figure": "by CC-100",
        "target": "printed",
        "value": ", ".join(f"{count} {tier}" for tier, count in tiers.most_common()),
        "met": True,
    }
    used = {code for task in TASKS.values() for code in task.languages}
    lacking = sorted(used - set(LANGUAGES))
    yield {
        "figure": "languages of a task without a row",
        "target": "0",
        "value": str(len(lacking)),
        "met": not lacking,
    }


def own_files() -> Iterator[dict[str, Any]]:
    """Lines of a study file for one own task, in the forms in which people have data."""
    from tests.helpers.own_files import FORMS

    staged = {}
    for form in FORMS:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            form.write(folder / "data")
            (folder / "own.yaml").write_text(form.study(), encoding="utf-8")
            study = load_study(folder / "own.yaml")
            store = Store.open(folder / "store")
            staged[form.name] = bool(stage_task(study, study.task("mine"), store, folder / "data"))
    most = max(form.lines for form in FORMS)
    yield {
        "figure": f"lines of a study file for one own task, {len(FORMS)} forms, nothing prepared",
        "target": f"≤ {MOST_LINES} each, 10 forms",
        "value": f"{min(form.lines for form in FORMS)} to {most}; {sum(staged.values())} staged",
        "met": most <= MOST_LINES and len(FORMS) >= 10 and all(staged.values()),
    }


def killed_scoring() -> dict[str, Any]:
    """A scoring that gets SIGKILL after half of its languages, against one that is left alone."""
    from scaling.encoders.engine import join_world
    from scaling.training import portions
    from tests.helpers.dying_score import die_by_signal
    from tests.helpers.tiny import make_model, write_study
    from tests.helpers.whole_study import run_all, science, staged

    portions.LEAST_BATCHES = 0
    with tempfile.TemporaryDirectory() as made:
        folder, world = Path(made), join_world()
        model = {"name": "tiny", **make_model(folder / "model", "xlm-roberta", 1)}
        content = {
            "name": "killed",
            "models": ["tiny"],
            "arms": ["none"],
            "targets": ["messages"],
            "seeds": [0],
            "limits": {"test": 40},
            "recipes": {"default": {"max_length": 32, "precision": "fp32"}},
            "placement": {"default": {"workers": 1, "zero_stage": 1, "micro_batch": 8}},
            "define": {"models": [model]},
        }
        plan, store = staged(content, folder / "alone")
        shutil.copytree(folder / "alone", folder / "cut")
        run_all(plan, store, world)
        cut = Store.open(folder / "cut")
        (step,) = plan.steps
        half = len(plan.study.test_languages("messages")) // 2
        arguments = [str(write_study(folder, content)), str(folder / "cut"), step, str(half)]
        died = (
            subprocess.run(
                [sys.executable, "-m", "tests.helpers.dying_score", *arguments],
                cwd=ROOT,
                capture_output=True,
                timeout=600,
                check=False,
            ).returncode
            == die_by_signal
        )
        left = sum(name.endswith(".json") for name in cut.names(f"resume/{step}"))
        run_all(plan, cut, world)
        equal = science(plan, cut) == science(plan, store)
    return {
        "figure": "a scoring killed after half of its languages",
        "target": "continues; rows equal",
        "value": f"{left} of {2 * half} languages kept; rows and outcomes "
        + ("equal" if equal else "differ"),
        "met": died and left == half and equal,
    }


def rows() -> Iterator[dict[str, Any]]:
    """All of them."""
    yield from coverage()
    yield from table()
    yield from own_files()
    yield killed_scoring()


if __name__ == "__main__":
    write_results("hub_languages", list(rows()))
