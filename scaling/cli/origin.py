"""Where a report's numbers come from: data, models, code, and what they cost by size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scaling.store.history import made_note
from scaling.store.records import StepRecord
from scaling.store.sessions import price_paid
from scaling.study.steps import Plan
from scaling.study.terms import bibtex, terms_of

if TYPE_CHECKING:
    from analysis.origin import Origin, SizeCost


def origin_of(plan: Plan, records: Mapping[str, StepRecord]) -> Origin:
    """The origin of a report on the finished steps of a plan.

    Each step is counted once, what failed and what gave way not at all.
    """
    from analysis.origin import Origin

    by_model: dict[str, list[StepRecord]] = defaultdict(list)
    for step, record in records.items():
        by_model[plan.steps[step].model].append(record)
    every = list(records.values())
    ended = sorted(record.provenance.finished_at for record in every)
    terms = terms_of(plan.study, plan.lock)
    labels = {name: plan.study.model(name).label or name for name in by_model}
    order = [name for name in plan.study.models if name in by_model]
    return Origin(
        terms=terms,
        bibtex=list(bibtex(terms).values()),
        first=ended[0],
        last=ended[-1],
        made=made_note(every),
        costs=[
            *(_cost(labels[name], by_model[name], plan) for name in order),
            _cost("all", every, plan),
        ],
    )


def _cost(name: str, records: list[StepRecord], plan: Plan) -> SizeCost:
    from analysis.origin import SizeCost

    seconds = sum(record.cost.wall_seconds * record.cost.num_devices for record in records)
    price = price_paid(plan.study, records)
    known = [record.cost.kwh for record in records if record.cost.kwh is not None]
    return SizeCost(
        name=name,
        steps=len(records),
        devices=", ".join(sorted({record.cost.device for record in records})),
        device_hours=seconds / 3600,
        dollars=None if price is None else price * seconds,
        kwh=sum(known) if len(known) == len(records) else None,
    )
