"""Bodies of the preset routes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field, model_validator

from mfn_server.intervention_bodies import MOST_INTERVENTIONS, InterventionBody
from mfn_server.schemas import JsonObject, Schema, Text


class NewPreset(Schema):
    """Settings of the Steer page to be kept."""

    name: Text = Field(min_length=1, max_length=100)
    description: Text = Field(default="", max_length=1000)
    prompt: Text = Field(default="", max_length=20_000)
    interventions: list[InterventionBody] = Field(default_factory=list, max_length=MOST_INTERVENTIONS)
    settings: JsonObject = Field(default_factory=dict, description="Sampling settings, as the page keeps them.")

    @model_validator(mode="after")
    def _named(self) -> NewPreset:
        if not self.name.strip():
            raise ValueError("name must not be blank")
        return self


class PresetView(Schema):
    """A kept preset. `builtin` ones came with the model and cannot be deleted."""

    id: UUID
    name: str
    description: str
    prompt: str
    interventions: list[JsonObject] = Field(description="As POST /api/generate takes them.")
    settings: JsonObject
    builtin: bool
    created_at: datetime


class PresetList(Schema):
    """All presets of the served model: built-in ones first, then by name."""

    items: list[PresetView]
