"""The card of an exported step, made from its record."""

from __future__ import annotations

from huggingface_hub import ModelCard, ModelCardData

from scaling.store.records import StepRecord
from scaling.study.steps import Step
from scaling.study.study import Study


def card_of(study: Study, step: Step, record: StepRecord, opened_by: str, *, trimmed: bool) -> str:
    """Markdown with the metadata that the hub reads.

    Args:
        study: Of which the step is a part.
        step: The training.
        record: What came of it.
        opened_by: The class that opens the folder.
        trimmed: Whether rows of the vocabulary were dropped in training.
    """
    model = study.model(step.model)
    scheme, _, source = model.source.partition(":")
    data = ModelCardData(
        library_name="transformers",
        base_model=source if scheme == "hub" else None,
        tags=["stilts-scaling", step.arm, step.task],
    )
    training, cost, made = record.training, record.cost, record.provenance
    recipe = ", ".join(f"{field} {value}" for field, value in step.recipe.model_dump().items())
    lines = [
        f"# {step.id}",
        "",
        f"A step of the study `{study.name}`: {step.model} (`{model.source}`), arm `{step.arm}`,"
        f" trained on `{step.task}`, seed {step.seed}.",
        "",
        f"Opened by `{opened_by}.from_pretrained` and `AutoTokenizer.from_pretrained`.",
        "",
        "| | |",
        "|---|---|",
        f"| fingerprint | `{record.fingerprint}` |",
        f"| starts from | {f'`{step.parent}`' if step.parent else 'the pretrained weights'} |",
        f"| recipe | {recipe} |",
    ]
    if training is not None:
        lines.append(f"| examples | {training.examples:,} |")
        if training.dev_score is not None:
            lines.append(
                f"| English dev | {training.dev_metric} {100 * training.dev_score:.1f} over"
                f" {training.dev_n:,} examples |"
            )
    lines += [
        f"| cost | {cost.wall_seconds:,.0f} s on {cost.num_devices:g} × {cost.device} |",
        f"| finished | {made.finished_at} |",
        f"| versions | {', '.join(map(' '.join, made.versions.items()))} |",
        f"| commit | `{made.commit}` |",
    ]
    task = study.task(step.task)
    if task.licence:
        lines += ["", f"Trained on data under this licence: {task.licence} ({task.citation})."]
    if trimmed:
        lines += [
            "",
            "Rows of the vocabulary that no text of the study used were not trained: they are those"
            " of the pretrained model.",
        ]
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(lines) + "\n"))
