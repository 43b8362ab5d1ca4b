"""JSON lines that readers send in, and the files that go out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mfn_core.errors import ConfigError

T = TypeVar("T", bound=BaseModel)


def read_text(path: Path) -> str:
    """What a file holds. Raises ConfigError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def read_lines(path: Path, kind: type[T]) -> Iterator[tuple[int, T]]:
    """The lines that are not blank, each with its number. Raises ConfigError with the line that is wrong."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield number, parse(kind, line, f"{path}, line {number}")


def parse(kind: type[T], text: str, where: str) -> T:
    """One object. Raises ConfigError, which says `where` and what is wrong with it first."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        inside = "".join(f"{part}: " for part in first["loc"])
        raise ConfigError(f"{where}: {inside}{first['msg'].removeprefix('Value error, ')}") from error


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Raises ConfigError where the file cannot be written."""
    try:
        path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
