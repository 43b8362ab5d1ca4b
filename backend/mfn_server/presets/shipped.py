"""Presets that come with a model, in a file: those of the API, each with a test of what it is meant to write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from mfn_core.errors import ConfigError
from mfn_server.presets.schemas import NewPreset, PresetFile
from mfn_server.schemas import JsonObject, Schema, Text

if TYPE_CHECKING:
    from mfn_core.text_tests import TextTest


class TextTestBody(Schema):
    """Whether a text is what the preset is meant to write; see `mfn_core.text_tests.TextTest`."""

    words: list[Text] = Field(default_factory=list, description="So many different ones must occur as at_least says.")
    at_least: int = Field(default=2, ge=1)
    script: Text | None = Field(default=None, description="At least half of the letters are of it.")
    pattern: Text | None = Field(default=None, description="A regular expression that is found.")

    @model_validator(mode="after")
    def _one(self) -> TextTestBody:
        self.test()
        return self

    def test(self) -> TextTest:
        """The same for `mfn_core`. Imports torch."""
        from mfn_core.text_tests import TextTest

        try:
            return TextTest(frozenset(word.lower() for word in self.words), self.script, self.pattern, self.at_least)
        except ConfigError as error:
            raise ValueError(str(error)) from None


class ShippedPreset(NewPreset):
    """A preset, and how to tell that it works."""

    test: TextTestBody | None = None
    measured: JsonObject | None = Field(default=None, description="What `mfn find-presets` found. Not kept.")

    def preset(self) -> NewPreset:
        """What is kept in the database."""
        return NewPreset.model_validate(self.model_dump(exclude={"test", "measured"}))


def read_shipped(path: Path) -> list[ShippedPreset]:
    """The presets of a file: a JSON list, or what `GET /api/presets/export` gives.

    Raises:
        ConfigError: it cannot be read, and why.
    """
    try:
        content = path.read_bytes()
        if content.lstrip()[:1] == b"{":
            return [ShippedPreset(**dict(preset)) for preset in PresetFile.model_validate_json(content).presets]
        return TypeAdapter(list[ShippedPreset]).validate_json(content)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where}: {first['msg']}") from error
