"""From TOML, or any plain data, to the dataclasses of a config, with every key and type checked."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from mfn_core.errors import ConfigError

T = TypeVar("T")


def read_toml(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """A TOML file with some values replaced, each given as `key.path=value`.

    Raises:
        ConfigError: the file cannot be read, or an override is none.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(f"an override looks like mfn.k=16, not {override!r}")
        *parents, last = key.strip().split(".")
        place = data
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{override!r}: {parent} is a value, not a section")
        place[last] = _value(text.strip())
    return data


def _value(text: str) -> Any:
    """In TOML's notation; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def build(cls: type[T], data: Mapping[str, Any], where: str = "") -> T:
    """A dataclass from plain data, its nested dataclasses too.

    Args:
        cls: the dataclass.
        data: its values by name; what is left out takes its default.
        where: the name of the section with a dot behind it, for messages.

    Raises:
        ConfigError: an unknown key or a value of another type.
    """
    hints = get_type_hints(cls)
    unknown = set(data) - set(hints)
    if unknown:
        name = f"{where}{sorted(unknown)[0]}"
        raise ConfigError(f"unknown setting {name}; known here: {', '.join(sorted(hints))}")
    values = {key: _convert(hints[key], value, f"{where}{key}") for key, value in data.items()}
    try:
        return cls(**values)
    except TypeError as error:  # a setting without default was left out
        raise ConfigError(f"{where.rstrip('.') or 'the config'}: {str(error).split('() ')[-1]}") from error


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is a section, not a value")
        return build(cast("type[Any]", kind), value, f"{where}.")
    if get_origin(kind) is not None and issubclass(get_origin(kind), Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is a section, not a value")
        return {name: _convert(get_args(kind)[1], item, f"{where}.{name}") for name, item in value.items()}
    if kind == tuple[int, ...]:
        if not isinstance(value, list | tuple) or not all(type(n) is int for n in value):
            raise ConfigError(f"{where} must be a list of whole numbers, not {value!r}")
        return tuple(value)
    if kind is Any:
        return value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where} must be of type {kind.__name__}, not {value!r}")
    return value
