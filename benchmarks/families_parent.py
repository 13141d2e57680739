"""XLM-R and XLM-R-XL against the commit before architectures were data, given the same inputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.every_arm import DEFINED
from tests.helpers.tiny import TEXT, make_model, tiny_content

ROOT = Path(__file__).parents[1]
PARENT = "7c9002b"
"""The commit before `scaling/catalogue/architectures.py`."""
SHIPPED = ("arms", "demo", "low_resource", "phang2020", "rates", "real", "xtreme_r")
"""Studies of XLM-R and of E5's depths that both commits have."""
LANGUAGES = ("en", "de", "sw")


def _sentences(number: int, seed: int) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    return [[str(word) for word in rng.choice(TEXT.split(), 9)] for _ in range(number)]


def _tags(words: Sequence[str]) -> list[str]:
    """Words of the message catalogue's nouns are places, so that there is something to learn."""
    return ["B-LOC" if word in ("user", "page", "la") else "O" for word in words]


def _write(folder: Path) -> None:
    """Data of five kinds in three languages, so many rows a split."""
    parts = (("train", 40, 0), ("dev", 12, 1), ("test", 12, 2))
    for code in LANGUAGES:
        for split, number, seed in parts:
            rows = _sentences(number, seed * 10 + LANGUAGES.index(code))
            texts = [" ".join(words) for words in rows]
            conll = (
                "\n".join(f"{w}\t{t}" for w, t in zip(words, _tags(words), strict=True))
                for words in rows
            )
            choices = (
                {
                    "question": " ".join(words[:3]),
                    "A": words[3],
                    "B": "page",
                    "key": "B" if at % 2 else "A",
                    "passage": text if at % 2 else f"{text} page",
                }
                for at, (words, text) in enumerate(zip(rows, texts, strict=True))
            )
            answers = [
                {
                    "context": text,
                    "qas": [
                        {
                            "id": f"{code}{at}",
                            "question": words[2],
                            "answers": [{"text": words[2], "answer_start": text.index(words[2])}],
                        }
                    ],
                }
                for at, (words, text) in enumerate(zip(rows, texts, strict=True))
            ]
            labels = (f"{at}\t{('yes', 'no')[at % 2]}\t{text}" for at, text in enumerate(texts))
            files = {
                "tags": "\n\n".join(conll) + "\n",
                "choices": "\n".join(map(json.dumps, choices)),
                "answers": json.dumps({"data": [{"paragraphs": answers}]}),
                "text": "\n".join(texts) + "\n",
                "nli": "\n".join(labels) + "\n",
            }
            for name, content in files.items():
                (folder / name).mkdir(parents=True, exist_ok=True)
                ending = {"text": "txt", "nli": "tsv"}.get(name, "data")
                (folder / name / f"{split}.{code}.{ending}").write_text(content)


def _task(name: str, kind: str, metric: str, reader: dict[str, Any], **more: Any) -> dict[str, Any]:
    files = {split: [f"{split}.{{lang}}.data"] for split in ("train", "dev", "test")}
    data = {"source": f"dir:{name}", "files": files, **reader}
    own = {"name": name, "kind": kind, "metric": metric, "train_languages": ["en"], **more}
    return {**own, "languages": ["de", "sw"], "data": [data]}


TASKS = [
    *DEFINED,
    _task(
        "tags",
        "tagging",
        "span_f1",
        {"reader": "conll", "options": {"word_column": 0, "tag_column": 1}},
        labels=["O", "B-LOC", "I-LOC"],
    ),
    _task(
        "choices",
        "multiple_choice",
        "accuracy",
        {
            "reader": "jsonl",
            "options": {
                "context": "passage",
                "question": "question",
                "choices": ["A", "B"],
                "label": "key",
                "label_map": {"A": "0", "B": "1"},
            },
        },
    ),
    _task("answers", "span_qa", "squad1", {"reader": "squad_json"}),
]


def _asked(folder: Path) -> dict[str, Any]:
    """Two studies, full and with adapters, of a tiny XLM-R and a tiny XLM-R-XL."""
    models = [
        {"name": name, **make_model(folder / name, architecture, 3, seed=seed)}
        for seed, (name, architecture) in enumerate(
            (("tiny-r", "xlm-roberta"), ("tiny-xl", "xlm-roberta-xl"))
        )
    ]
    content = tiny_content(models)
    recipe = {**content["recipes"]["default"], "epochs": 4, "dropout": 0.1}
    shared = {
        **content,
        "languages": ["de", "sw"],
        "limits": {"train": 24, "dev": 12, "test": 12},
        "recipes": {"default": recipe},
        "define": {"models": models, "tasks": TASKS},
        "placement": {
            "tiny-r": {"workers": 1, "zero_stage": 1, "micro_batch": 4},
            "tiny-xl": {
                "workers": 1,
                "zero_stage": 3,
                "micro_batch": 8,
                "packed": True,
                "checkpoint_activations": True,
            },
        },
    }
    full = {
        **shared,
        "name": "full",
        "arms": [
            "none",
            {"name": "mlm-mix", "train_on": ["nli"], "mlm": {"task": "text", "ratio": 0.5}},
        ],
        "targets": ["applications", "messages", "tags", "choices", "answers"],
    }
    lora = {**shared, "name": "lora", "method": "lora", "lora": {"rank": 4}}
    lora |= {"arms": ["none"], "targets": ["tags"]}
    return {"shipped": SHIPPED, "studies": [full, lora]}


def _probe(tree: Path, folder: Path, out: Path) -> dict[str, Any]:
    """What a tree makes of what lies in a folder."""
    out.mkdir()
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "families_probe.py", folder, out],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{tree}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads((out / "found.json").read_text())
    return found


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))


def _parts(found: Mapping[str, Any], model: str) -> dict[str, dict[str, Any]]:
    """What is compared of one tiny model: what → name → value."""
    parts: dict[str, dict[str, Any]] = {"fingerprints": {}, "losses": {}, "weights": {}}
    for study, own in found["studies"].items():
        for step, science in own["science"].items():
            # The others are of the other model.
            if f".{model}." in step:
                parts["fingerprints"][f"{study} {step}"] = science["identity"]
                parts["losses"][f"{study} {step}"] = (science["training"], science["rows"])
                # Hashes of what the step wrote: trained weights are gone once they are scored.
                if science["files"]:
                    parts["weights"][f"{study} {step}"] = science["files"]
        for name, value in own["tensors"].items():
            if f"/{model}/" in f"/{name}" or f".{model}." in name:
                parts["weights"][f"{study} {name}"] = value
    return parts


_WORDS = {
    "fingerprints": "fingerprints and identities of all steps",
    "losses": "losses and scores of all steps",
    "weights": "staged tensors and files of trained weights",
}


def _rows(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    def compared(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
        different = _differing(before, after)
        some = f"{len(different)} differ: {', '.join(different[:3])}"
        return {
            "figure": f"{what}, against commit {PARENT}",
            "target": "equal",
            "value": some if different else f"{len(after)} equal",
            "met": not different and len(after) > 0,
        }

    plans = (
        {f"{s} {step}": 0 for s in SHIPPED for step in one["shipped"][s]} for one in (then, now)
    )
    yield compared("fingerprints of the shipped studies of XLM-R", *plans)
    features = (
        {
            f"{study} {key}": value
            for study, own in one["studies"].items()
            for key, value in own["features"].items()
        }
        for one in (then, now)
    )
    yield compared("features of six kinds, by XLM-R's form", *features)
    for model, name in (("tiny-r", "XLM-R"), ("tiny-xl", "XLM-R-XL")):
        before, after = _parts(then, model), _parts(now, model)
        for part, words in _WORDS.items():
            yield compared(f"{name}, tiny: {words}", before[part], after[part])


def against_parent(_: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row per figure: figure, target, value, met."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "inputs"
        folder.mkdir()
        _write(folder / "raw")
        (folder / "asked.json").write_text(json.dumps(_asked(folder)))
        tree = Path(made) / "parent"
        subprocess.run(["git", "worktree", "add", "--detach", tree, PARENT], cwd=ROOT, check=True)
        try:
            then = _probe(tree, folder, Path(made) / "then")
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
        yield from _rows(then, _probe(ROOT, folder, Path(made) / "now"))


PARTS = {"parent": against_parent}
