"""One reader per raw format. Adding a format is one file here and one entry in READERS."""

from __future__ import annotations

from scaling.data.readers.django import read_django_messages
from scaling.data.readers.pycountry import read_pycountry_names
from scaling.data.schema import Reader

READERS: dict[str, Reader] = {
    "django_messages": read_django_messages,
    "pycountry_names": read_pycountry_names,
}
