"""Studies of published models that are only planned, and what is locked of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling.study.identity import Lock
from scaling.study.study import Study

HARM = Path(__file__).with_name("harm.yaml")
"""The study file of the demo as it was until November 2026."""
BASE: dict[str, Any] = {
    "name": "s",
    "models": ["xlm-r-base"],
    "arms": ["none", "mnli", "squad1"],
    "targets": ["xnli", "xquad", "mlqa", "tatoeba"],
    "seeds": [0, 1],
}
LOCK = Lock(
    models={"xlm-r-base": {"weights": "w" * 64, "tokenizer": "t" * 64, "revision": ""}},
    data={
        "mnli": {"train.en": "a", "dev.en": "b"},
        "squad1": {"train.en": "c", "dev.en": "d"},
        "xnli": {"test.en": "e", "test.sw": "f"},
        "xquad": {"test.en": "g"},
        "mlqa": {"test.en": "h"},
        "tatoeba": {"test.sw": "i"},
    },
)
BASE_AND_XXL = Study(
    name="s",
    models=("xlm-r-base", "xlm-r-xxl"),
    arms=("none", "mnli"),
    targets=("xnli",),
    seeds=(0,),
)  # type: ignore[arg-type]
