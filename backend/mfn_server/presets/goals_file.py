"""What a model may be made to write, in a file: the goals of `mfn find-presets`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError, field_validator

from mfn_core.errors import ConfigError
from mfn_server.presets.shipped import TextTestBody
from mfn_server.schemas import Schema, Text

if TYPE_CHECKING:
    from mfn_core.evaluation.steer_search.goals import Goal


class GoalBody(TextTestBody):
    """One entry of the file."""

    id: Text = Field(min_length=1, description="KIND/NAME.")
    name: Text = Field(min_length=1, max_length=100, description="What the preset will be called.")
    description: Text = Field(default="", max_length=800)

    @field_validator("words", mode="before")
    @classmethod
    def _split(cls, words: object) -> object:
        return words.split() if isinstance(words, str) else words

    def goal(self) -> Goal:
        """The same for `mfn_core`."""
        from mfn_core.evaluation.steer_search.goals import Goal

        return Goal(self.id, self.name, self.description, self.test())

    def body(self) -> TextTestBody:
        """The test alone, as a preset keeps it."""
        return TextTestBody(words=self.words, at_least=self.at_least, script=self.script, pattern=self.pattern)


class _File(Schema):
    steer: list[GoalBody] = Field(min_length=1)


def read_goals(path: Path) -> list[GoalBody]:
    """The goals of a TOML file, each a `[[steer]]`.

    Raises:
        ConfigError: it cannot be read, and why; two have one id or name.
    """
    try:
        goals = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).steer
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    for what in ("id", "name"):
        seen = [getattr(goal, what) for goal in goals]
        twice = next((value for value in seen if seen.count(value) > 1), None)
        if twice is not None:
            raise ConfigError(f"{path}: two goals have the {what} {twice!r}")
    return goals
