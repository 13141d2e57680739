"""Whatever is wrong with a study file, a data file or a model's folder: rows, or one line."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scaling.catalogue.models import ModelSpec
from scaling.encoders.weights import stage_model, tokenizer_file
from scaling.store.store import Store
from scaling.study.study import STUDIES
from tests.helpers.mutations import SAMPLES, judge, spoil, spoilt_data, spoilt_inputs
from tests.helpers.tiny import make_model

STUDY = (STUDIES / "arms.yaml").read_text(encoding="utf-8")


def test_the_samples_are_right_as_they_are(tmp_path: Path) -> None:
    class Never(random.Random):
        """Spoils nothing."""

        def randint(self, a: int, b: int) -> int:
            return 0

        def random(self) -> float:
            return 1.0

    for sample in SAMPLES:
        assert spoilt_data(sample, tmp_path, Never(0))()


@pytest.mark.parametrize("count", [300, pytest.param(4_000, marks=pytest.mark.slow)])
def test_spoilt_files_are_read_or_refused(count: int, tmp_path: Path) -> None:
    verdict = judge(spoilt_inputs(tmp_path, STUDY, count, seed=count))
    assert verdict.broken == []
    assert verdict.without_file == []
    assert verdict.total == count
    assert verdict.refused > count / 4


def folders(
    root: Path, spec: ModelSpec, count: int
) -> Iterator[tuple[str, Path, Callable[[], bool]]]:
    source = Path(spec.source.removeprefix("dir:"))
    contents = {file.name: file.read_bytes() for file in source.iterdir()}
    rng = random.Random(7)
    for number in range(count):
        chosen = rng.choice([*contents, *[name for name in contents if name == "config.json"] * 3])
        for name, content in contents.items():
            spoilt = name == chosen
            if spoilt and name.endswith(".safetensors"):
                # Most of it are numbers, which may be any: the header is what can be wrong.
                head = 8 + int.from_bytes(content[:8], "little")
                content = spoil(content[:head], rng) + content[head:]
            elif spoilt:
                content = spoil(content, rng)
            (source / name).write_bytes(content)

        def read(number: int = number) -> bool:
            store = Store.open(root / f"store-{number}")
            tokenizer = tokenizer_file(spec, None)
            stage_model(spec, store, None, None, name="mine", tokenizer=tokenizer)
            return True

        yield f"model {number}, {chosen}", source, read


@pytest.mark.parametrize("count", [60, pytest.param(400, marks=pytest.mark.slow)])
def test_spoilt_models_are_staged_or_refused(count: int, tmp_path: Path) -> None:
    spec = ModelSpec(name="mine", **make_model(tmp_path / "model", "xlm-roberta", 1))
    verdict = judge(folders(tmp_path, spec, count))
    assert verdict.broken == []
    assert verdict.without_file == []
    assert verdict.refused > count / 4
