"""Bodies of the preset routes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field, model_validator

from mfn_server.schemas import JsonObject, Schema, Text


class PresetScope(Schema):
    """Where an intervention acts."""

    kind: Literal["both", "prompt", "generation", "range"] = "both"
    start: int | None = Field(default=None, ge=0)
    stop: int | None = Field(default=None, ge=0)


class PresetIntervention(Schema):
    """One intervention on a feature, as POST /api/generate takes it."""

    source: Text = Field(max_length=200)
    index: int = Field(ge=0, le=2**31 - 1)
    mode: Literal["set", "add", "scale", "ablate"]
    value: float = 0.0
    scope: PresetScope = PresetScope()
    condition: int | None = Field(default=None, ge=0, le=2**31 - 1)


class NewPreset(Schema):
    """Settings of the Steer page to be kept."""

    name: Text = Field(min_length=1, max_length=100)
    description: Text = Field(default="", max_length=1000)
    prompt: Text = Field(default="", max_length=20_000)
    interventions: list[PresetIntervention] = Field(default_factory=list, max_length=64)
    settings: JsonObject = Field(default_factory=dict, description="Sampling settings, as the page keeps them.")

    @model_validator(mode="after")
    def _named(self) -> NewPreset:
        if not self.name.strip():
            raise ValueError("name must not be blank")
        return self


class PresetView(NewPreset):
    """A kept preset. `builtin` ones came with the model and cannot be deleted."""

    id: UUID
    builtin: bool
    created_at: datetime


class PresetList(Schema):
    """All presets of the served model: built-in ones first, then by name."""

    items: list[PresetView]
