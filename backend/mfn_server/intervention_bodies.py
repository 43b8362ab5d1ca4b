"""What is turned, and where: in requests for text, and in presets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mfn_server.schemas import Schema, Text

MOST_INTERVENTIONS = 16
LARGEST_VALUE = 1e6  # in units of z, far beyond what any feature reaches


class ScopeBody(Schema):
    """Where in the text an intervention acts.

    `start` and `stop` count tokens: with `range` those of the whole text, with `generation` the new ones, so that
    `stop: 8` acts while the first eight are written.
    """

    kind: Literal["both", "prompt", "generation", "range"] = "both"
    start: int | None = Field(default=None, ge=0, le=2**31 - 1)
    stop: int | None = Field(default=None, ge=1, le=2**31 - 1, description="Not included. Null: to the end.")

    @model_validator(mode="after")
    def _ordered(self) -> ScopeBody:
        if self.kind in ("both", "prompt") and (self.start is not None or self.stop is not None):
            raise ValueError(f"start and stop go with the scopes generation and range, not with {self.kind}")
        if self.stop is not None and self.stop <= (self.start or 0):
            raise ValueError("stop must lie behind start")
        return self


class InterventionBody(Schema):
    """One change to one feature."""

    source: Text = Field(max_length=200, description="Key of the feature's source, as GET /api/model gives it.")
    index: int = Field(ge=0, le=2**31 - 1)
    mode: Literal["set", "add", "scale", "ablate"]
    value: float = Field(
        default=0.0,
        ge=-LARGEST_VALUE,
        le=LARGEST_VALUE,
        description="In units of the code; for `scale` a factor. `ablate` ignores it.",
    )
    scope: ScopeBody = ScopeBody()
    condition: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="A feature of the same source that must fire, in the untouched code, for this intervention to act.",
    )

    @model_validator(mode="after")
    def _can_fire(self) -> InterventionBody:
        if self.mode in ("set", "scale") and self.value < 0:
            raise ValueError(f"{self.mode} takes a value of at least 0, since a feature cannot fire below 0")
        return self
