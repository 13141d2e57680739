"""Single bits turned in the files of a finished store, each file read as the project reads it.

A flip is refused with a clear error, healed (made again, equal), or harmless (the same is read).
Anything else is content that was never written.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.fault_case import Calm, Case, calm_in, serve
from scaling.catalogue.hardware import Placement
from scaling.catalogue.task import Key
from scaling.data.manifest import staged_tasks
from scaling.data.rows import data_name, manifest_name, read_table
from scaling.data.tokens import features
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import build_model, ds_config, join_world, load
from scaling.encoders.weights import check_staged, model_files
from scaling.kinds import KINDS
from scaling.spec import UserError
from scaling.store.cache import fetch, open_cache
from scaling.store.paths import StepFolder
from scaling.store.sessions import read_sessions
from scaling.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Target:
    """A kind of file, and how it is read."""

    name: str
    files: list[str]
    read: Callable[[str], Any]
    """What a reader of the file gets, as something to compare."""
    heals: bool = False
    """Whether reading writes the file again, where it is damaged."""


def _model(folder: Path, head: Callable[[int], Any], recipe: Any, *, trained: bool) -> str:
    """One digest over everything that is loaded."""
    placement = Placement(workers=1, zero_stage=1, micro_batch=8)
    kept = folder / "kept_rows.npy"
    weights = Weights(
        folder=folder,
        architecture="xlm-roberta",
        kept_rows=kept if kept.is_file() else None,
    )
    model = build_model(weights, head, 0.0, 0, ds_config(recipe, placement))
    load(model, weights, join_world(), recipe, head=trained)
    found = hashlib.sha256(str(model).encode())
    for name, tensor in sorted(model.state_dict().items()):
        if trained or not name.startswith("head"):
            found.update(name.encode() + tensor.float().numpy().tobytes())
    for content in weights.beside().values():
        found.update(content)
    return found.hexdigest()


def targets(calm: Calm, store: Store, trained: str) -> list[Target]:
    """All kinds of files of a store; `trained`: a finished training whose weights are there."""
    plan = calm.plan
    study, lock = plan.study, plan.lock
    model = study.models[0]
    tokenizer = store.local_path(f"models/{model}/tokenizer.json")
    assert tokenizer is not None
    keys = [(task, Key.read(key)) for task, by_key in lock.data.items() for key in by_key]
    rows = {data_name(task, key): (task, key) for task, key in keys}
    recipe = study.recipe("applications")
    task = study.task("applications")
    scored = [step for step in plan.steps if plan.steps[step].action == "eval"]

    def head(hidden: int) -> Any:
        return KINDS[task.kind].head(hidden, task, recipe)

    def read_rows(name: str) -> Any:
        of, key = rows[name]
        return read_table(store, of, key, lock.data[of][str(key)])

    def read_tokens(name: str) -> Any:
        found = []
        for of, key in keys:
            made = features(
                store, study.task(of), key, lock.data[of][str(key)], study.recipe(of), tokenizer
            )
            found.append(made)
        return found

    def read_staged(name: str) -> Any:
        with open_cache() as cache:
            files = model_files(store, model)
            folder = fetch(store, f"models/{model}", files, cache)
            check_staged(folder, files, lock.models[model]["weights"], str(folder))
            raw = (folder / "tokenizer.json").read_bytes()
            return _model(folder, head, recipe, trained=False), raw

    def read_trained(name: str) -> Any:
        record = store.record(trained)
        prefix = "weights/"
        files = {
            file.removeprefix(prefix): digest
            for file, digest in record.files.items()
            if file.startswith(prefix)
        }
        with open_cache() as cache:
            place = StepFolder(trained).weights(record.provenance.attempt)
            return _model(fetch(store, place, files, cache), head, recipe, trained=True)

    def read_record(name: str) -> Any:
        return asdict(store.record(name.split("/")[1]))

    def read_outcomes(name: str) -> Any:
        return store.read_file(store.record(name.split("/")[1]), "outcomes.parquet")

    def below(pattern: str) -> list[str]:
        assert store.local is not None
        found = [path for path in sorted(store.local.glob(pattern)) if path.is_file()]
        return [path.relative_to(store.local).as_posix() for path in found]

    return [
        Target(name="rows", files=sorted(rows), read=read_rows),
        Target(
            name="manifests of rows",
            files=[manifest_name(task) for task in lock.data],
            read=lambda name: staged_tasks(study, store),
        ),
        Target(name="tokens", files=below("tokens/*"), read=read_tokens, heals=True),
        Target(name="staged models", files=below(f"models/{model}/*"), read=read_staged),
        Target(
            name="trained weights",
            files=below(f"attempts/{trained}/*/weights/*"),
            read=read_trained,
        ),
        Target(name="records", files=below("records/*.json"), read=read_record),
        Target(
            name="outcomes",
            files=[
                name for step in scored for name in below(f"attempts/{step}/*/outcomes.parquet")
            ],
            read=read_outcomes,
        ),
        Target(name="lock", files=["lock.json"], read=lambda name: store.read_lock()),
        Target(name="sizes", files=["sizes.json"], read=lambda name: store.read_sizes()),
        Target(
            name="sessions", files=below("sessions/*.json"), read=lambda name: read_sessions(store)
        ),
    ]


def run_flips(calm: Calm, folder: Path, flips: int, seed: int) -> dict[str, Any]:
    """Counts of what became of so many flips, and a line for each that was read as other content.

    Kinds of files take turns, whatever their sizes: most bytes are weights.
    """
    chance = random.Random(seed)
    file = folder / "kept.yaml"
    file.write_text(calm.file.read_text() + "\nkeep_weights: all\n")
    kept = Calm(file=file, staged=calm.staged, plan=calm.plan, expected=calm.expected)
    case = Case(calm=kept, folder=folder, random=chance, store_path=folder / "store").begin()
    case.finish()
    store = case.store
    trained = next(step for step in calm.plan.steps if step.startswith("iii."))
    kinds = targets(calm, store, trained)
    counts: Counter[str] = Counter()
    wrong = []
    calmly: dict[str, Any] = {}
    for number in range(flips):
        target = kinds[number % len(kinds)]
        name = chance.choice(target.files)
        path = store.local_path(name)
        assert path is not None
        whole = path.read_bytes()
        if name not in calmly:
            calmly[name] = target.read(name)
        expected = calmly[name]
        content = bytearray(whole)
        at = chance.randrange(len(content))
        content[at] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        try:
            found = target.read(name)
        except UserError:
            became = "refused"
        # A reader that fails otherwise says nothing to the user; it is counted by itself.
        except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
            became = "another error"
            wrong.append(f"{name}, byte {at}: {type(error).__name__}: {str(error)[:200]}")
        else:
            same = found == expected
            is_whole = path.read_bytes() == whole
            became = "other content" if not same else "healed" if is_whole else "harmless"
            if not same:
                wrong.append(f"{name}, byte {at}")
        counts[became] += 1
        counts[f"of {target.name}"] += 1
        path.write_bytes(whole)
    return {"flips": flips, "counts": dict(counts), "wrong": wrong}


def flips_alone(calm: Calm, folder: Path, flips: int, seed: int) -> dict[str, Any]:
    """The same in a process of its own."""
    words = [str(calm.file.parent), str(folder), str(flips), str(seed)]
    subprocess.run([sys.executable, "-m", "benchmarks.fault_flips", *words], check=True)
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


if __name__ == "__main__":
    serve()
    FOLDER = Path(sys.argv[2])
    FOUND = run_flips(calm_in(Path(sys.argv[1])), FOLDER, int(sys.argv[3]), int(sys.argv[4]))
    (FOLDER / "found.json").write_text(json.dumps(FOUND))
