"""What is turned, and where: in requests for text, and in presets."""

from __future__ import annotations

from typing import Annotated, Literal

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


class RampBody(Schema):
    """Brings the value from `start` to the intervention's value, linearly, over `steps` tokens.

    It begins with the scope, or, where that is `both`, with the first new token. That one sees `start`, the `steps`-th
    after it is the first to see the whole value.
    """

    start: float = Field(ge=-LARGEST_VALUE, le=LARGEST_VALUE)
    steps: int = Field(ge=1, le=2**31 - 2)


class ConditionBody(Schema):
    """A feature that must fire, in the untouched code."""

    index: int = Field(ge=0, le=2**31 - 1)
    above: float = Field(default=0.0, ge=0, le=LARGEST_VALUE, description="It must lie further from 0 than this.")
    source: Text | None = Field(
        default=None,
        max_length=200,
        description="Key of its source, of the same layer or an earlier one. Null: the intervention's own.",
    )


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
    condition: Annotated[int, Field(ge=0, le=2**31 - 1)] | ConditionBody | None = Field(
        default=None,
        description="A feature that must fire, in the untouched code, for this intervention to act: one of the same "
        "source, by its number, or one with more said of it.",
    )
    ramp: RampBody | None = Field(
        default=None, description="How the value is reached. Not with `ablate`, nor with the scope `prompt`."
    )

    @model_validator(mode="after")
    def _rampable(self) -> InterventionBody:
        if self.ramp is not None and self.mode == "ablate":
            raise ValueError("ablate has no value to ramp: scale from 1 to 0 instead")
        if self.ramp is not None and self.scope.kind == "prompt":
            raise ValueError("a ramp goes over new tokens: it does not go with the scope prompt")
        return self

    @property
    def asks(self) -> ConditionBody | None:
        """The condition, where there is one; without a source it is one of the intervention's own."""
        return ConditionBody(index=self.condition) if isinstance(self.condition, int) else self.condition

    @property
    def values(self) -> list[tuple[str, float]]:
        """All values that it names, with the fields that name them. `ablate` names none."""
        if self.mode == "ablate":
            return []
        start = [] if self.ramp is None else [("ramp.start", self.ramp.start)]
        return [("value", self.value), *start]
