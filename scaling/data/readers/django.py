"""Django's message catalogues: user-interface sentences in about a hundred languages.

Without options: the message and its application. `pairs`: a message and its English original, for
retrieval. `shuffled`: English only, each message as it is and with its words in another order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from scaling.data.readers.gettext import (
    message_id,
    pair,
    read_catalogue,
    split_of,
    translation_pairs,
)
from scaling.data.readers.word_order import real_and_shuffled
from scaling.data.schema import ReadRequest, Row

_FOLDERS = {
    "admin": "contrib/admin",
    "admindocs": "contrib/admindocs",
    "auth": "contrib/auth",
    "conf": "conf",
    "gis": "contrib/gis",
}
# The English catalogues are empty by design. A message counts as one of the current ones if at
# least so many of these well-kept languages translate it.
_REFERENCE = ("de", "fr", "es", "ja", "ru", "uk")
_ENOUGH = 3
_MIN_WORDS = 4


def _catalogue(root: Path, application: str, code: str) -> dict[str, str]:
    return read_catalogue(
        root / _FOLDERS[application] / "locale" / code / "LC_MESSAGES" / "django.mo"
    )


def _messages(root: Path) -> dict[str, str]:
    """English message → its application; messages of several applications are left out."""
    found: dict[str, Counter[str]] = {}
    for application in _FOLDERS:
        counts: Counter[str] = Counter()
        for code in _REFERENCE:
            counts.update(_catalogue(root, application, code).keys())
        for message, count in counts.items():
            if count >= _ENOUGH:
                found.setdefault(message, Counter())[application] += 1
    return {
        message: next(iter(owners)) for message, owners in sorted(found.items()) if len(owners) == 1
    }


def read_django_messages(request: ReadRequest) -> Iterator[Row]:
    """Rows of the classification schema, or of the retrieval schema with the option `pairs`."""
    root = request.files[0]
    messages = {m: app for m, app in _messages(root).items() if split_of(m) == request.split}
    if request.language == "en":
        translated = {message: message for message in messages}
    else:
        translated = {}
        for application in _FOLDERS:
            # Not every application is translated into every language; that shows in the row counts.
            path = (
                root
                / _FOLDERS[application]
                / "locale"
                / request.upstream_code
                / "LC_MESSAGES"
                / "django.mo"
            )
            if application in ("admin", "conf") or path.is_file():
                translated.update(read_catalogue(path))
    if request.options.get("pairs") == "halves":
        yield from _halves(messages)
    elif request.options.get("pairs"):
        yield from translation_pairs(messages, translated, request.language)
    elif request.options.get("shuffled"):
        yield from _shuffled(messages)
    else:
        for message, application in messages.items():
            if message in translated:
                yield {
                    "id": message_id(message),
                    "text_a": translated[message],
                    "text_b": "",
                    "label": application,
                }


def _shuffled(messages: dict[str, str]) -> Iterator[Row]:
    for message in messages:
        yield from real_and_shuffled(message, message_id(message))


def _halves(messages: dict[str, str]) -> Iterator[Row]:
    """The first half of a message asks for its second (an inverse cloze, Lee et al. 2019)."""
    for message in messages:
        words = message.split()
        if len(words) >= _MIN_WORDS:
            middle = (len(words) + 1) // 2
            first, second = " ".join(words[:middle]), " ".join(words[middle:])
            yield from pair(message_id(message), "en", first, second)
