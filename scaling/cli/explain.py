"""scaling explain: one step, from the store."""

from __future__ import annotations

import json

from scaling.cli.app import StoreOption, StudyArgument, app, console, load_all
from scaling.spec import known


@app.command()
def explain(study: StudyArgument, step: str, store: StoreOption = "") -> None:
    """One step: what it is made from, why it is pending or runs again, its attempts, why they
    failed.
    """
    from scaling.planning.progress import attempts_of, why_pending
    from scaling.store.logs import log_lines
    from scaling.store.store import failure_of

    _, place, whole = load_all(study, store)
    found = whole.steps[known("step", step, whole.steps)]
    console.print_json(json.dumps(dict(found.identity)))
    console.print(why_pending(whole, step, place.scan()), soft_wrap=True)
    for attempt in attempts_of(place, step):
        console.print(f"attempt {attempt.owner}  {attempt.what}", soft_wrap=True, markup=False)
    failures = failure_of(place, step)
    for line in failures:
        console.print(f"failed  {line}", soft_wrap=True, markup=False)
    for line in log_lines(place, step)[-20:] if failures else ():
        console.print(f"   {line}", soft_wrap=True, markup=False)
    if place.exists(f"steps/{step}/record.json"):
        console.print_json(place.read(f"steps/{step}/record.json").decode())
