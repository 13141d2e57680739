"""The plan of a study as its store stands: what staging resolved, and re-runs of trainings that
collapsed.
"""

from __future__ import annotations

from scaling.store.store import Store
from scaling.study.identity import Lock
from scaling.study.plan import Plan, make_plan
from scaling.study.study import Study


def current_plan(study: Study, store: Store, lock: Lock | None = None) -> Plan:
    """One lock file and one listing; nothing but the study's own cells before anything ran."""
    return make_plan(study, lock or store.read_lock(), store.scan().collapsed)
