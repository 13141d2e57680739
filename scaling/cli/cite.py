"""scaling cite: licence, source and BibTeX of a study's data and models."""

from __future__ import annotations

from scaling.catalogue.references import references
from scaling.cli.app import JsonOption, StoreOption, StudyArgument, app, console, open_store
from scaling.cli.tables import FoldedTable
from scaling.study.study import load_study
from scaling.study.terms import bibtex, terms_of, unchecked


@app.command()
def cite(
    name: StudyArgument,
    store: StoreOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say what a study's data and models are: source, commit, licence, and BibTeX to cite them."""
    study = load_study(name)
    opened = open_store(study, store)
    opened.is_of(study.name)
    terms = terms_of(study, opened.read_lock())
    entries = bibtex(terms)
    unseen = unchecked(terms)
    if as_json:
        from scaling.cli.outputs import CiteOutput, ReferenceOutput, print_json

        shown = {
            key: ReferenceOutput(source=references()[key].source, bibtex=entry)
            for key, entry in entries.items()
        }
        print_json(CiteOutput(study=study.name, terms=terms, references=shown, unseen=unseen))
        return
    columns = ("what", "name", "licence", "stated at", "source", "commit", "cite")
    table = FoldedTable(columns, title=f"{study.name}: data and models")
    for one in terms:
        table.add_row(
            one.kind,
            one.name,
            one.licence,
            one.licence_source,
            "\n".join(source for source, _ in one.sources) or "-",
            "\n".join(revision[:12] or "-" for _, revision in one.sources) or "-",
            "\n".join(one.citation) or "-",
        )
    console.print(table)
    if unseen:
        console.print(
            "· not compared with a source, licence or citation (`unseen`): look before you"
            f" publish: {', '.join(unseen)}",
            soft_wrap=True,
        )
    for entry in entries.values():
        console.print(f"\n{entry}", soft_wrap=True)
