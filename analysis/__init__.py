"""What turns the records of a study into its report: estimates, tests, tables and figures.

The names here are public: they keep their meaning from release to release. Everything else may
move.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.answer import Answer, answers
    from analysis.gains import pair_gains
    from analysis.load import BadInput, load_tidy
    from analysis.report import write_report

__all__ = ["Answer", "BadInput", "answers", "load_tidy", "pair_gains", "write_report"]

# Loaded when first used: a table of gains needs no figures.
_HOMES = {
    "Answer": "analysis.answer",
    "BadInput": "analysis.load",
    "answers": "analysis.answer",
    "load_tidy": "analysis.load",
    "pair_gains": "analysis.gains",
    "write_report": "analysis.report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
