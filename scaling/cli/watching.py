"""scaling status · explain: from the store alone."""

from __future__ import annotations

import json

from scaling.cli.app import StoreOption, StudyArgument, app, console, load_all


@app.command()
def status(study: StudyArgument, store: StoreOption = "") -> None:
    """Done, running, failed and collapsed steps, time left, and where the time went. From the store alone."""
    from scaling.show import status_lines, status_table
    from scaling.status import study_status

    _, place, whole = load_all(study, store)
    found = study_status(whole, place)
    console.print(status_table(whole, found))
    for line in status_lines(found):
        console.print(f"· {line}", soft_wrap=True)


@app.command()
def explain(study: StudyArgument, step: str, store: StoreOption = "") -> None:
    """One step: what it is made from, whether it is done and why not, its tries."""
    from scaling.spec import known
    from scaling.status import failure_of, why_pending

    _, place, whole = load_all(study, store)
    found = whole.steps[known("step", step, whole.steps)]
    console.print_json(json.dumps(dict(found.identity)))
    console.print(why_pending(whole, step, place.scan()))
    for line in failure_of(place, step):
        console.print(f"failed  {line}", soft_wrap=True, markup=False)
    if place.exists(f"steps/{step}/record.json"):
        console.print_json(place.read(f"steps/{step}/record.json").decode())
