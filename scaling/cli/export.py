"""scaling export: a trained step as a folder that transformers opens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, app, begun_study, console, step_called
from scaling.spec import UserError
from scaling.study.steps import Plan
from scaling.study.terms import sharing_doubts, terms_of


@app.command()
def export(
    name: StudyArgument,
    step: Annotated[str, typer.Argument(help="A training's id, or any part of it that is unique.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="A new folder.")],
    uri: StoreOption = "",
    folder: Annotated[
        Path | None, typer.Option("--from", help="Folder of local sources, as for `stage`.")
    ] = None,
) -> None:
    """Write a trained step as a folder that `AutoModelFor…` and `AutoTokenizer` open."""
    from scaling.encoders.encoder import Weights
    from scaling.encoders.handover import head_form, write_auto_model
    from scaling.encoders.model_card import card_of
    from scaling.encoders.weights import KEPT_ROWS, model_files, pretrained_words
    from scaling.store.cache import fetch, open_cache

    study, store, plan = begun_study(name, uri)
    chosen = plan.steps[step_called(plan, step)]
    if chosen.phase == "eval":
        raise UserError(f"{chosen.id} scores and trains nothing; {chosen.parent} is what it scored")
    if not store.is_done(chosen.id):
        raise UserError(f"{chosen.id} is not done")
    record = store.record(chosen.id)
    if not store.has_weights(record):
        raise UserError(
            f"the weights of {chosen.id} were deleted once nothing needed them (keep_weights:"
            f" {study.keep_weights}). `keep_weights: all` in the study file keeps them from the"
            " start; a store that is filled anew has the same ones"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists; name a new folder")
    model, task = study.model(chosen.model), study.task(chosen.task)
    form = head_form(task, chosen.recipe, model.architecture)
    tokenizer = {"tokenizer.json": model_files(store, chosen.staged)["tokenizer.json"]}
    with open_cache() as cache:
        trained = store.folder_of(record).weights(record.provenance.attempt)
        at = fetch(store, trained, record.weight_files, cache)
        beside = fetch(store, f"models/{chosen.staged}", tokenizer, cache)
        kept = at / KEPT_ROWS
        opened_by = write_auto_model(
            Weights(
                folder=at,
                architecture=model.architecture,
                kept_rows=kept if kept.is_file() else None,
            ),
            form,
            task.labels,
            lambda: pretrained_words(
                model, folder, plan.lock.models[chosen.staged].get("revision", "")
            ),
            beside / "tokenizer.json",
            out,
        )
        trimmed = kept.is_file()
    (out / "README.md").write_text(
        card_of(study, chosen, record, opened_by, trimmed=trimmed), encoding="utf-8"
    )
    console.print(f"{out}: {opened_by}.from_pretrained opens it", soft_wrap=True)
    if isinstance(form, str):
        console.print(f"· the encoder alone: {form}", soft_wrap=True)
    if trimmed:
        console.print(
            "· rows of the vocabulary that no text of the study used are the pretrained ones",
            soft_wrap=True,
        )
    used = _trained_on(plan, chosen.id)
    terms = [one for one in terms_of(study, plan.lock) if one.name in used]
    for doubt in sharing_doubts(terms):
        console.print(f"· look before you give these weights away: {doubt}", soft_wrap=True)


def _trained_on(plan: Plan, step: str) -> set[str]:
    """Names of the model and of every task that the weights of a step were made from."""
    used: set[str] = set()
    at: str | None = step
    while at is not None:
        one = plan.steps[at]
        used |= {one.model, *(member.task for member in one.mixture.members)}
        at = one.parent
    return used
