"""A scaling study of intermediate-task training, as rooms that import one way.

The catalogue says what there is, a study asks for some of it, the store remembers what is done,
planning says what the rest takes; kinds define tasks, data makes batches, encoders make networks,
training does one step, the cluster does all of them, the cli is the door.

The names here are public: they keep their meaning from release to release. Everything else may
move.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.spec import UserError
    from scaling.store.store import Store
    from scaling.study.plan import make_plan
    from scaling.study.steps import Plan
    from scaling.study.study import Study, load_study

__all__ = ["Plan", "Store", "Study", "UserError", "load_study", "make_plan"]

# Loaded when first used: a node's scripts need no pydantic, and a command none of the others.
_HOMES = {
    "Plan": "scaling.study.steps",
    "Store": "scaling.store.store",
    "Study": "scaling.study.study",
    "UserError": "scaling.spec",
    "load_study": "scaling.study.study",
    "make_plan": "scaling.study.plan",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
