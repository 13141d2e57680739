"""What a study asks, fixed before any number exists: the axis, the languages, the margins."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scaling.catalogue.resources import TABLES
from scaling.spec import Spec, known


class Question(Spec):
    """Analysis choices that a reader must know were not made after seeing the data."""

    x_axis: Literal["total_params", "backbone_params", "train_flops"] = "total_params"
    """The scale of the curve, in log10. The other two are always shown as sensitivities."""
    low_resource: Literal["cc100", "joshi"] = "cc100"
    """`cc100`: little or none of the family's own pretraining text, which for XLM-R is CC-100 and
    5 GiB (others: scaling/catalogue/resources.py; `joshi` where a family has no table); `joshi`:
    classes 0 to 2.
    """
    text_of: str | None = None
    """The family whose pretraining text counts, for models that start from another's weights; None:
    the models' own.
    """
    low_resource_languages: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """An explicit list instead of the definition."""
    margin: float = Field(default=0.8, gt=0, le=100)
    """Equivalence margin of the change from the smallest to the largest size, points. On the scales
    of log odds it is what so many points are at the population's mean score.
    """
    margin_at_largest: float = Field(default=0.5, gt=0, le=100)
    """Equivalence margin of the gain at the largest size, points."""
    point_worth: float | None = Field(default=None, gt=0)
    """What one point of the mean over the targets is worth, in dollars (device hours where cells
    have no price): from which size on phase ii costs more is said with its interval. None: any
    cost is worth a gain.
    """
    examples: Literal["these", "such"] = "these"
    """What the verdict speaks of: `these` test examples, which every run is scored on, or `such`
    examples, of which these are a sample. `such` widens the intervals of the slope, of the gain at
    the largest size and of the change by what other examples would have shown.
    """
    resamples: int = Field(default=10_000, ge=0, le=1_000_000)
    """Bootstrap draws, for display only: three to five seeds are too few for a bootstrap
    interval.
    """
    seed: int = Field(default=0, ge=0)
    """Seed of everything random in the analysis."""

    @model_validator(mode="after")
    def _check(self) -> Question:
        if self.text_of is not None:
            known("family", self.text_of, TABLES, path=("text_of",))
        return self
