"""The file of an atlas: JSON lines, a header that names the model and then one feature a line.

    {"format": "mfn-atlas", "version": 1, "model": "<fingerprint>", "how": "who wrote it, and how it was checked"}
    {"layer": 3, "feature": 785, "label": "ships and harbours", "seen": "all of ten contexts ...", "confidence": "high"}
    {"layer": 3, "feature": 17, "unclear": true, "seen": "punctuation in texts of every kind, nothing else in common"}

All or nothing: one line that is wrong, and nothing of the file is taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mfn_core.errors import ConfigError
from mfn_core.files import replace_file
from mfn_server.schemas import Text


def _one_line(text: str) -> str:
    return " ".join(text.split())


Line = Annotated[Text, AfterValidator(_one_line)]


class _Strict(BaseModel):
    """Of the line's own types: a number in quotation marks is refused, and so is a key that nobody knows."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AtlasHeader(_Strict):
    """The first line: what this is, of which model, and how it came about."""

    format: Literal["mfn-atlas"] = "mfn-atlas"
    version: Literal[1] = 1
    model: str = Field(pattern="^[0-9a-f]{64}$", description="Fingerprint, as `mfn info MODEL` prints it.")
    how: Line = Field(
        default="", max_length=2000, description="Who or what wrote the labels, and how they were checked."
    )


class AtlasEntry(_Strict):
    """One feature: a label with a confidence, or the admission that it is unclear. Either way with what was seen."""

    layer: int = Field(ge=0)
    feature: int = Field(ge=0)
    label: Line = Field(default="", max_length=100, description="Short: lists show it in one line.")
    seen: Line = Field(min_length=1, max_length=600, description="One sentence of evidence.")
    confidence: Literal["high", "medium", "low"] | None = None
    unclear: bool = False

    @model_validator(mode="after")
    def _label_or_unclear(self) -> AtlasEntry:
        if not self.seen:
            raise ValueError("seen: must not be blank")
        if self.unclear and self.label:
            raise ValueError("an unclear feature has no label: what it might be belongs into `seen`")
        if self.label.casefold().strip(" .?") == "unclear":
            raise ValueError('a feature that is unclear has "unclear": true and no label')
        if not self.unclear and not self.label:
            raise ValueError('label: must not be blank; a feature that is unclear has "unclear": true')
        if not self.unclear and self.confidence is None:
            raise ValueError('confidence: one of "high", "medium", "low"')
        return self


@dataclass(frozen=True)
class Atlas:
    """A file that was read. `entries` by line number; each feature occurs once."""

    path: Path
    header: AtlasHeader
    entries: Mapping[int, AtlasEntry]

    def check(self, n_features: Mapping[int, int]) -> None:
        """Whether a model whose layers have so many features has all of these. Raises ConfigError with the line."""
        check_features(self.path, self.entries, n_features)


def read_atlas(path: Path) -> Atlas:
    """Read an atlas.

    Raises:
        ConfigError: what is wrong, and in which line.
    """
    lines = _lines(path)
    if not lines:
        raise ConfigError(f"{path} is empty: an atlas begins with a line that names its model")
    first = min(lines)
    header = _parse(AtlasHeader, path, first, lines.pop(first))
    return Atlas(path, header, _entries(path, lines))


def read_part(path: Path) -> dict[int, AtlasEntry]:
    """Read a part of an atlas, by line number: features alone, without a header. Raises ConfigError as `read_atlas`."""
    return _entries(path, _lines(path))


def check_features(path: Path, entries: Mapping[int, AtlasEntry], n_features: Mapping[int, int]) -> None:
    """Whether layers with so many features have all of these. Raises ConfigError with the line."""
    for number, entry in entries.items():
        if entry.layer not in n_features:
            raise ConfigError(f"{path}, line {number}: the model has no features in layer {entry.layer}")
        if entry.feature >= n_features[entry.layer]:
            raise ConfigError(
                f"{path}, line {number}: there is no feature {entry.feature} in layer {entry.layer}: it has features "
                f"0 to {n_features[entry.layer] - 1}"
            )


def write_atlas(path: Path, header: AtlasHeader, entries: Iterable[AtlasEntry]) -> None:
    """Write an atlas, in order of layer and feature. A file of that name is replaced once the new one is complete."""
    ordered = sorted(entries, key=lambda entry: (entry.layer, entry.feature))
    lines = [header.model_dump(), *(entry.model_dump(exclude_defaults=True) for entry in ordered)]
    written = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    replace_file(path, lambda file: file.write(written))


def _lines(path: Path) -> dict[int, bytes]:
    """The lines that are not blank, by number."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    return {number: line for number, line in enumerate(content.split(b"\n"), 1) if line.strip()}


def _entries(path: Path, lines: Mapping[int, bytes]) -> dict[int, AtlasEntry]:
    entries: dict[int, AtlasEntry] = {}
    seen: dict[tuple[int, int], int] = {}
    for number, line in lines.items():
        entry = _parse(AtlasEntry, path, number, line)
        before = seen.setdefault((entry.layer, entry.feature), number)
        if before != number:
            feature = f"feature {entry.feature} of layer {entry.layer}"
            raise ConfigError(f"{path}, line {number}: {feature} stands in line {before} already")
        entries[number] = entry
    return entries


T = TypeVar("T", bound=BaseModel)


def _parse(kind: type[T], path: Path, number: int, line: bytes) -> T:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path}, line {number}: {where}{message}") from error
