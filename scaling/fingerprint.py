"""Identity → short hash. What is in the dict could change a number; what is not, could not.

The encoder is strict on purpose: a value whose text form could differ between two runs or machines
(a set, a path, NaN, an object) raises instead of hashing to something that looks fine today.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping

Identity = Mapping[str, object]

NUM_HEX = 12


def canonical(value: object, place: str = "identity") -> object:
    """`value` reduced to JSON types, recursively; TypeError or ValueError names the place that is
    not stable.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{place} is {value}, which has no stable text form")
        # 1.0 and 1 are the same recipe; YAML readers disagree about which one the user wrote.
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{place} has the key {key!r}, which is not a string")
        return {key: canonical(item, f"{place}.{key}") for key, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [canonical(item, f"{place}[{index}]") for index, item in enumerate(value)]
    raise TypeError(
        f"{place} is a {type(value).__name__}, which has no stable text form: {value!r}"
    )


def canonical_json(identity: Identity) -> str:
    """The exact text that is hashed."""
    return json.dumps(canonical(identity), ensure_ascii=True, separators=(",", ":"), sort_keys=True)


def fingerprint(identity: Identity) -> str:
    """The first 12 hex digits of the SHA-256 of the canonical identity."""
    return hashlib.sha256(canonical_json(identity).encode("ascii")).hexdigest()[:NUM_HEX]
