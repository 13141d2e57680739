"""Small files that hardly change are read once: in this process, and by everybody through one file.

index.json.gz     name → [tag, text] of records and sessions

It is a cache and never the truth: a file whose tag is another than the index's is read itself, so
that an edit by hand is seen. A broken index is deleted and made again. Folders have none, since
reading there takes no request.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from scaling.store.files import Entry, StoreError
from scaling.store.place import Place

NAME = "index.json.gz"
# More files than these to read: the index is asked first. More that it lacks: it is written again.
WORTH = 8
# Unpacked; 5,000 records have 11 MB.
_MOST_BYTES = 1 << 30
_KEPT = ("records/", "sessions/", "steps/")
_GZIP = 16 + zlib.MAX_WBITS


@dataclass
class Index:
    """Texts of files that this process knows, by name and tag."""

    place: Place
    _texts: dict[str, tuple[str, str]] = field(default_factory=dict)
    _tag: str | None = None
    """Of the index as it was read."""
    _is_read: bool = False
    _unsaved: int = 0
    """Files that this process read itself since it read or wrote the index."""

    def texts(self, entries: Iterable[Entry]) -> dict[str, str]:
        """Name → text of files as a listing shows them; without those that are gone since."""
        entries = list(entries)
        missing = self._missing(entries)
        if self._kept(missing) > WORTH and not self._is_read:
            self._read()
            missing = self._missing(entries)
        with ThreadPoolExecutor(16) as pool:
            for entry, found in zip(missing, pool.map(self._text, missing), strict=True):
                if found is not None:
                    self._texts[entry.name] = found
        self._unsaved += self._kept(missing)
        if self._unsaved > WORTH:
            self._write()
        gone = {entry.name for entry in missing if self._texts.get(entry.name) is None}
        return {
            entry.name: self._texts[entry.name][1] for entry in entries if entry.name not in gone
        }

    def _missing(self, entries: list[Entry]) -> list[Entry]:
        return [entry for entry in entries if self._texts.get(entry.name, ("", ""))[0] != entry.tag]

    def _kept(self, missing: list[Entry]) -> int:
        """How many of these files an index would hold; 0 in a folder, which has none."""
        if self.place.local is not None:
            return 0
        return sum(entry.name.startswith(_KEPT) for entry in missing)

    def _text(self, entry: Entry) -> tuple[str, str] | None:
        try:
            content = self.place.read_tagged(entry.name)
        except FileNotFoundError:
            self._texts.pop(entry.name, None)
            return None
        return content.tag, content.body.decode(errors="replace")

    def _read(self) -> None:
        self._is_read = True
        try:
            content = self.place.read_tagged(NAME)
        except FileNotFoundError:
            return
        self._tag = content.tag
        try:
            unpacking = zlib.decompressobj(_GZIP)
            raw = json.loads(unpacking.decompress(content.body, _MOST_BYTES))["files"]
            found = {str(name): (str(tag), str(text)) for name, (tag, text) in raw.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error):
            self._tag = None
            # Whoever may not write reads the files themselves.
            with suppress(OSError):
                self.place.delete(NAME)
            return
        # What this process read itself is newer.
        self._texts = found | self._texts

    def _write(self) -> None:
        """Write what is known, unless somebody else did since this process read the index."""
        self._unsaved = 0
        files = {name: one for name, one in self._texts.items() if name.startswith(_KEPT)}
        raw = json.dumps({"nonce": uuid.uuid4().hex, "files": files}).encode()
        packing = zlib.compressobj(wbits=_GZIP)
        packed = packing.compress(raw) + packing.flush()
        # People who may only read ask for status too.
        with suppress(OSError, StoreError):
            if self._tag is None:
                self._tag = self.place.create(NAME, packed)
            else:
                self._tag = self.place.replace(NAME, packed, self._tag)
