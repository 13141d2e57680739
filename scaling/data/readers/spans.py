"""Answers and their offsets, checked against the context."""

from __future__ import annotations

import unicodedata
from typing import Any

from scaling.data.readers.raw import defect
from scaling.data.schema import ReadRequest


def checked_answer(
    request: ReadRequest, place: str, context: str, text: str, start: int
) -> dict[str, Any]:
    """{text, start} with the text at start, or start -1 for an accepted missing answer.

    Offsets count code points, as in all of SQuAD's descendants. The text itself is never changed,
    since it is scored.

    Args:
        request: The defects that it accepts.
        place: `file:line`.
        context: The text that should have the answer.
        text: The answer.
        start: Where it should be.
    """
    if text and start >= 0 and context[start : start + len(text)] == text:
        return {"text": text, "start": start}
    found = _occurrences(context, text)
    if not found:
        form = _other_form(context, text)
        only = f": only in another Unicode form; bring both to {form} first" if form else ""
        defect(
            request,
            "answer_missing",
            place,
            f"the answer {text!r} does not occur in its context{only}",
        )
        return {"text": text, "start": -1}
    nearest = min(found, key=lambda at: abs(at - start))
    defect(
        request,
        "answer_elsewhere",
        place,
        f"the answer {text!r} is at {nearest}, not at its offset {start}",
    )
    return {"text": text, "start": nearest}


def _other_form(context: str, text: str) -> str:
    """The Unicode form in which context and answer agree; '' where none does."""
    return next(
        (
            form
            for form in ("NFC", "NFKC")
            if text and unicodedata.normalize(form, text) in unicodedata.normalize(form, context)
        ),
        "",
    )


def _occurrences(context: str, text: str) -> list[int]:
    found: list[int] = []
    at = context.find(text) if text else -1
    while at >= 0:
        found.append(at)
        at = context.find(text, at + 1)
    return found
