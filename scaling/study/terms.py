"""Data and models of a study: from where, at which version, under which licence, cited as what."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from scaling.catalogue.references import cited, references
from scaling.study.identity import Lock
from scaling.study.study import Study

_FREE = re.compile(
    r"MIT|Apache-2\.0|BSD-[23]-Clause|L?GPL-[\d.]+|CC0.*|CC-BY(-SA)? [\d.]+( [A-Z]{2})?"
    r"|free for any use.*"
)
"""Licences under which what is made from a work may be given away, on conditions."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What holds for one task or model of a study."""

    kind: str
    """`data` or `model`."""
    name: str
    licence: str
    """`unseen` where nobody has found it stated."""
    licence_source: str
    """An address, `package:NAME`, or `unseen`."""
    sources: tuple[tuple[str, str], ...]
    """(source, commit); '' for what has none, or before it was staged."""
    citation: tuple[str, ...]
    """Keys of the bibliography; words of an own task or model."""


def terms_of(study: Study, lock: Lock) -> list[Terms]:
    """Terms of every task that the study uses and of its models, in the study's order.

    The lock is empty before staging: commits are then those that the study states.
    """
    found = []
    for task in map(study.task, study.used_tasks):
        refs = {ref.origin: ref.revision or "" for ref in (*task.data, *task.translations)}
        found.append(
            Terms(
                kind="data",
                name=task.name,
                licence=task.licence or "unseen",
                licence_source=task.licence_source,
                sources=tuple(
                    (origin, lock.revisions.get(origin, stated)) for origin, stated in refs.items()
                ),
                citation=cited(task.citation),
            )
        )
    for model in map(study.model, study.models):
        locked = lock.models.get(model.name, {}).get("revision", "")
        found.append(
            Terms(
                kind="model",
                name=model.name,
                licence=model.licence or "unseen",
                licence_source=model.licence_source,
                sources=((model.source, locked or model.revision or ""),),
                citation=cited(model.citation),
            )
        )
    return found


def sharing_doubts(terms: Iterable[Terms]) -> list[str]:
    """Why weights made from these may not, or not freely, be given away; one line a licence.

    Read from the licence's name alone: what these weights are under the law is for you to judge.
    """
    found: dict[str, list[str]] = {}
    for one in terms:
        if not _FREE.fullmatch(one.licence.partition(" (")[0]):
            found.setdefault(one.licence, []).append(one.name)
    return [
        f"{', '.join(names)} ({licence}): {_doubt(licence)}" for licence, names in found.items()
    ]


def _doubt(licence: str) -> str:
    if re.search(r"\bND\b|licence only", licence):
        return "forbids to give on what is made from it"
    if re.search(r"\bNC\b|non-?commercial", licence, re.I):
        return "forbids commercial use, also of what is made from it"
    return "does not say that what is made from it may be given away"


def bibtex(terms: Iterable[Terms]) -> dict[str, str]:
    """Entry by key of all that is cited and stands in the bibliography, in its order."""
    wanted = {key for one in terms for key in one.citation}
    return {key: entry.bibtex for key, entry in references().items() if key in wanted}


def unchecked(terms: Iterable[Terms]) -> list[str]:
    """Names of what has a licence or a citation that nobody has compared with a source."""
    known = references()
    return [
        one.name
        for one in terms
        if one.licence_source == "unseen"
        or not one.citation
        or any(key not in known or known[key].source == "unseen" for key in one.citation)
    ]
