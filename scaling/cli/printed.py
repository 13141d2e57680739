"""What every JSON output is made of: strict parts, and a number that says which form it has."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    """An object of an output: no key is missing, and none is there that its schema lacks."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )


class Printed(Part):
    """What every output has."""

    form: Literal[1] = Field(default=1, alias="schema")
    """Grows when a key changes its meaning or goes; new keys may come without."""
