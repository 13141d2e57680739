"""What `scaling plan` says below its table: sharing, arms, gaps, assumptions."""

from __future__ import annotations

from scaling.cli.app import duration
from scaling.planning.forecast import Forecast
from scaling.planning.saving import (
    NOTICE_SECONDS,
    UPLOAD_BYTES_PER_SECOND,
    interval,
    saved_by_a_notice,
)
from scaling.study.arms import arm_role
from scaling.study.flops import Sizes, member_sizes
from scaling.study.mixture import member_updates
from scaling.study.steps import Plan, Step


def plan_notes(plan: Plan, sizes: Sizes, outlook: Forecast) -> list[str]:
    """What does not fit, the makespan, what sharing saves, and the assumptions of the table."""
    notes = [
        f"Does not fit, {line.cells:,} cells: {line.problem}"
        for line in outlook.sizes
        if line.problem
    ]
    for line in outlook.sizes:
        others = [
            f"{layout} for {', '.join(tasks)}" for layout, tasks in list(line.layouts.items())[1:]
        ]
        notes += (
            [f"{line.model} is placed otherwise for some tasks: {'; '.join(others)}."]
            if others
            else []
        )
    if outlook.devices:
        longer = outlook.makespan_seconds / max(1.0, outlook.bound_seconds) - 1
        notes.append(
            f"On {outlook.devices} devices: {duration(outlook.makespan_seconds)} from start to end,"
            f" by the queue itself on a simulated clock; {longer:.0%} over the lower bound of"
            f" {duration(outlook.bound_seconds)}."
        )
    trainings = sum(len(cell.intermediate) + len(cell.trained) for cell in plan.cells)
    unique = sum(step.action == "train" for step in plan.steps.values())
    hours = sum(line.device_hours for line in outlook.sizes)
    alone = sum(line.alone_device_hours for line in outlook.sizes)
    price = outlook.dollars(alone - hours)
    if alone >= hours and plan.cells:
        notes.append(
            f"Sharing: {unique:,} trainings instead of {trainings:,} if every cell ran alone;"
            f" {hours:,.1f} device hours instead of {alone:,.1f}"
            + (f", ${price:,.0f} saved." if price is not None else ".")
        )
    again = sum(step.rerun > 0 and step.action == "train" for step in plan.steps.values())
    if again:
        notes.append(
            f"{again:,} trainings are re-runs of collapsed ones, with new seeds; the first ones'"
            " rows stay."
        )
    elif plan.study.reruns and plan.cells:
        notes.append(
            f"A training that collapses is run again at most {plan.study.reruns} times; that is not"
            " in here."
        )
    if plan.study.intermediate_seed != "per_seed":
        notes.append(
            "One phase-ii run is shared by all seeds: every result is conditional on that"
            " checkpoint."
        )
    same = sorted({f"{cell.arm} → {cell.target}" for cell in plan.cells if cell.same_data})
    if same:
        notes.append(
            "Same data in both phases (kept, marked, outside the pooled estimate):"
            f" {', '.join(same)}."
        )
    adapters = plan.study.adapters
    if adapters is not None:
        notes.append(f"Method: LoRA, rank {adapters.rank}, on {', '.join(adapters.targets or ())}.")
    notes += _arm_notes(plan, sizes)
    if not sizes:
        notes.append(
            "Not staged yet: example counts are published ones, token lengths are assumed."
        )
    notes.append("Speed: " + "; ".join(line.basis for line in outlook.sizes) + ".")
    if outlook.dollars_per_hour is not None:
        notes.append(f"{outlook.price_source} ${outlook.dollars_per_hour:g}/h.")
    peaks = ", ".join(f"{line.model} {line.peak_task}" for line in outlook.sizes if line.peak_task)
    notes.append(
        f"GiB: predicted peak of one device in the training that needs most ({peaks}), of what may"
        " be used."
    )
    notes.append("Hours: of all devices. Placement: of most tasks.")
    notes.append(
        "Files of one training, weights and resume point, GB: "
        + ", ".join(
            f"{line.model} {line.checkpoint_bytes / 1e9:.3g} and {line.resume_bytes / 1e9:.3g}"
            for line in outlook.sizes
        )
        + "."
    )
    if outlook.gpu is not None:
        notes += _spot_notes(outlook)
    if plan.provisional:
        notes.append("Step names are provisional until `scaling stage` has resolved every hash.")
    for task in plan.study.targets:
        note = plan.study.task(task).note
        if note:
            notes.append(f"{task}: {note.split('. ')[0].rstrip('.')}.")
    return notes


def _spot_notes(outlook: Forecast) -> list[str]:
    """What a spot notice can save, and what is lost without one."""
    sizes = [line for line in outlook.sizes if line.save_seconds and not line.problem]
    if not sizes:
        return []
    shown = ", ".join(
        f"{line.model} {line.save_seconds:,.0f} s"
        f" ({'saved by' if saved_by_a_notice(line.save_seconds) else 'too long for'} a notice, at"
        f" most {duration(interval(line.save_seconds))} lost without)"
        for line in sizes
    )
    return [
        f"Spot: sending a resume point takes {shown}; assumed {UPLOAD_BYTES_PER_SECOND / 1e6:.0f}"
        f" MB/s a device, measured when a training begins, and {NOTICE_SECONDS:.0f} s of notice."
    ]


def _arm_notes(plan: Plan, sizes: Sizes) -> list[str]:
    """Every arm that is no single task: its role, what is trained in which share and languages."""
    study, notes = plan.study, []
    for arm in study.arms:
        role = arm_role(arm, study.all_tasks)
        if role in ("none", "single"):
            continue
        first = next((cell for cell in plan.cells if cell.arm == arm.name), None)
        if first is None:
            continue
        steps = [
            plan.steps[step]
            for step in (first.trained if role == "pairwise" else first.intermediate)
        ]
        what = ", then ".join(_shares(plan, step, sizes) for step in steps) or "no phase ii"
        control = f" ({arm.control})" if arm.control else ""
        extra = f"; {arm.new_pieces} new pieces" if arm.new_pieces else ""
        extra += "".join(f"; {code} by {table}" for code, table in arm.transliterate.items())
        notes.append(f"{arm.name}: {role}{control}; {what}{extra}.")
        untrained = [
            target for target in study.targets if arm.like and not study.task(target).trains_on
        ]
        if untrained:
            notes.append(
                f"{arm.name}: nothing is trained for {', '.join(untrained)}, so this control is the"
                " baseline."
            )
    return notes


def _shares(plan: Plan, step: Step, sizes: Sizes) -> str:
    """`TASK` or `TASK 40% + TASK 60%` of the updates, with the languages and their sequences."""
    members = step.mixture.members
    counts = [[count for count, _ in member_sizes(plan, member, sizes)] for member in members]
    updates = member_updates(
        [sum(count) for count in counts], step.recipe, step.mixture.sampling, step.mixture.mlm_ratio
    )
    shown = []
    for member, own, count in zip(members, updates, counts, strict=True):
        pairs = zip(member.languages, count, strict=True)
        text = (
            ""
            if member.languages == ("en",)
            else f" in {', '.join(f'{code} {num:,}' for code, num in pairs)}"
        )
        shown.append(
            f"{member.task}{text}" + (f" {own / sum(updates):.0%}" if len(members) > 1 else "")
        )
    return " + ".join(shown)
