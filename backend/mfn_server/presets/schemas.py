"""Bodies of the preset routes, and the file that presets travel in."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field, model_validator

from mfn_server.intervention_bodies import MOST_INTERVENTIONS, InterventionBody
from mfn_server.schemas import JsonObject, Schema, Text

MOST_IN_A_FILE = 1000


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


class ChangedPreset(NewPreset):
    """What a preset is to say from now on: its next version."""

    base_version: int = Field(ge=1, description="The version that was changed; a conflict where there is a later one.")

    def content(self) -> NewPreset:
        """What is kept."""
        return NewPreset.model_validate(self.model_dump(exclude={"base_version"}))


class RestoreBody(Schema):
    """Which version a preset is to go back to."""

    version: int = Field(ge=1)
    base_version: int = Field(ge=1, description="The version that is shown now; a conflict where there is a later one.")


class PresetView(Schema):
    """A kept preset. `builtin` ones came with the model, whose file alone changes them."""

    id: UUID
    version: int = Field(description="Counts from 1; every change adds one.")
    name: str
    description: str
    prompt: str
    interventions: list[JsonObject] = Field(description="As POST /api/generate takes them.")
    settings: JsonObject
    builtin: bool
    created_at: datetime = Field(description="Of the preset.")
    changed_at: datetime = Field(description="Of this version.")


class PresetList(Schema):
    """All presets of the served model: built-in ones first, then by name."""

    items: list[PresetView]


class PresetVersions(Schema):
    """All versions of a preset, the latest first."""

    items: list[PresetView]


class FileModel(Schema):
    """The model that presets in a file are for."""

    name: Text
    fingerprint: Text


class PresetFile(Schema):
    """Presets as they travel from one app to another."""

    format: Literal["mfn-presets"] = "mfn-presets"
    format_version: Literal[1] = 1
    model: FileModel
    presets: list[NewPreset] = Field(max_length=MOST_IN_A_FILE)


class Imported(Schema):
    """What came of an import, by the presets' names."""

    created: list[str]
    changed: list[str] = Field(description="There was one of that name, which has a new version now.")
    unchanged: list[str]
