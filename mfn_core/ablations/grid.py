"""A grid of runs as data, read from TOML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfn_core.errors import ConfigError
from mfn_core.training.config.checks import require
from mfn_core.training.config.reading import build, read_toml

PRESSURES = ("recon", "rate", "comp", "stab", "util", "auxk")
FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class GroupConfig:
    """Runs that belong together, on one table and one figure.

    Attributes:
        title: in words.
        setting: the number that differs among them, as `--set` names it, such as `mfn.k`; empty where they differ
            otherwise. The full setting is one of the group then.
    """

    title: str
    setting: str = ""


@dataclass(frozen=True)
class RunConfig:
    """What one run of the grid has of its own.

    Attributes:
        group: which it belongs to; empty for none.
        about: what differs, in a few words.
        off: the pressure that it does without; empty where it has all.
        seeds: of its repetitions; those of the grid if left out.
        set: settings in place of the base's and the grid's, nested as in a config.
    """

    group: str = ""
    about: str = ""
    off: str = ""
    seeds: tuple[int, ...] = ()
    set: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(self.off in ("", *PRESSURES), f"off is one of {', '.join(PRESSURES)}, not {self.off!r}")
        require(len(set(self.seeds)) == len(self.seeds), f"seeds names one twice: {list(self.seeds)}")


@dataclass(frozen=True)
class Grid:
    """The runs of an experiment.

    Attributes:
        name: of the evidence document.
        base: the config that all runs begin with; relative to the grid's file.
        title: of the document.
        set: settings of all runs in place of the base's, nested as in a config.
        seeds: of runs that name none.
        full: the run that others are held against.
        dense: the run without layers of features.
        groups: by name, in the order in which they are shown.
        runs: by name, in the order in which they are trained.
    """

    name: str
    base: str
    title: str = "Ablations"
    set: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    full: str = "full"
    dense: str = "dense"
    groups: Mapping[str, GroupConfig] = field(default_factory=dict)
    runs: Mapping[str, RunConfig] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(bool(self.seeds), "seeds names none")
        for name in (self.name, *self.runs, *self.groups):
            require(FOLDER_NAME.fullmatch(name) is not None, f"{name!r} is no name: letters, digits, '.', '_' and '-'")
        for name, run in self.runs.items():
            require(
                run.group in ("", *self.groups), f"run {name} is of the group {run.group!r}, which is not described"
            )
        for role, name in (("full", self.full), ("dense", self.dense)):
            require(name in self.runs, f"{role} names the run {name!r}, which is not described")

    def seeds_of(self, run: str) -> tuple[int, ...]:
        """Of one run."""
        return self.runs[run].seeds or self.seeds


def load_grid(path: Path) -> Grid:
    """Reads a grid file, its `base` made a path of its own.

    Raises:
        ConfigError: it cannot be read, or says what is not known.
    """
    data = read_toml(path, ())
    try:
        grid = build(Grid, data)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return build(Grid, data | {"base": str(path.parent / grid.base)})


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings, those of the second in place of the first's."""
    out = dict(first)
    for key, value in second.items():
        before = out.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        out[key] = merged(before, value) if both else value  # type: ignore[arg-type]
    return out
