"""What is to be trained, in which order, and what runs have from each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mfn_core.ablations.grid import Grid, merged
from mfn_core.errors import ConfigError
from mfn_core.training.branch import without_layers
from mfn_core.training.checkpoint import newest_step
from mfn_core.training.config import TrainConfig
from mfn_core.training.config.reading import read_toml


@dataclass(frozen=True)
class Planned:
    """One training run.

    Attributes:
        run, seed: which of the grid.
        config: all settings.
        begin: the run that its steps before layers enter are taken from; empty for none.
        data: the run that its vocabulary and rows are taken from; empty for none.
    """

    run: str
    seed: int
    config: TrainConfig
    begin: str = ""
    data: str = ""

    @property
    def name(self) -> str:
        """Of the run, and of its folder."""
        return self.config.name

    def trained(self, folder: Path) -> bool:
        """Whether it has come to its end there."""
        return newest_step(folder / self.name / "checkpoints") == self.config.steps


def plan(grid: Grid) -> list[Planned]:
    """All runs of a grid: in its order, the first seed of each before the second of any.

    The steps before layers enter, which are the same whatever the layers are, are trained once for each seed; runs of
    several seeds share vocabulary and rows.

    Raises:
        ConfigError: a run's settings are no config, or the runs do not read the same text.
    """
    base = read_toml(Path(grid.base), ())
    columns = [[_config(grid, base, run, seed) for seed in grid.seeds_of(run)] for run in grid.runs]
    found = [each for row in zip_longest(*columns) for each in row if each is not None]
    _check(grid, found)
    return list(_shared(found))


def check_folders(planned: Sequence[Planned], folder: Path) -> None:
    """Refuses folders that hold runs with other settings, before anything is trained.

    Raises:
        ConfigError: one does.
    """
    for each in planned:
        path = folder / each.name / "config.json"
        if not path.exists():
            continue
        try:
            theirs = TrainConfig.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read ({error}): delete {path.parent} to train it anew") from error
        if not each.config.same_run(theirs):
            other = ", ".join(_differences(theirs.to_json(), each.config.to_json()))
            raise ConfigError(
                f"{path.parent} was trained with other settings ({other}): delete it to train it anew, or choose "
                "another folder"
            )


def _config(grid: Grid, base: dict[str, Any], run: str, seed: int) -> Planned:
    own = {"name": f"{run}-s{seed}", "seed": seed}
    try:
        config = TrainConfig.from_json(merged(merged(merged(base, grid.set), grid.runs[run].set), own))
    except ConfigError as error:
        raise ConfigError(f"run {run}: {error}") from error
    return Planned(run, seed, config)


def _check(grid: Grid, planned: Sequence[Planned]) -> None:
    texts = {json.dumps(_text(each.config)) for each in planned}
    if len(texts) > 1:
        raise ConfigError("the runs would not read the same text: give all of them one vocabulary, data and data.seed")
    for each in planned:
        if bool(each.config.mfn.layers) == (each.run == grid.dense) or each.config.sae.layers:
            has = "no layers of features" if each.run != grid.dense else "layers of features, and is the dense one"
            raise ConfigError(f"run {each.run} has {has}")


def _text(config: TrainConfig) -> Any:
    """What vocabulary and held-out text follow from."""
    data = config.to_json()["data"]
    sources = {name: source | {"about": ""} for name, source in data["sources"].items()}
    shape = (config.model.context, config.model.vocabulary, config.base.path, config.text_seed)
    return [data | {"sources": sources, "seed": 0}, shape]


def _shared(planned: Sequence[Planned]) -> Iterator[Planned]:
    """Who has what from whom. A run takes over only from such as stand before it."""
    makers: dict[int, str] = {}
    trunks: list[Planned] = []
    for each in planned:
        rows = each.config.steps * each.config.tokens_per_step
        maker = makers.setdefault(rows, each.name)
        trunk = next((one for one in trunks if _same_beginning(one.config, each.config)), None)
        yield replace(each, begin=trunk.name if trunk else "", data="" if maker == each.name else maker)
        if trunk is None and each.config.mfn.layers and each.config.entry:
            trunks.append(each)


def _same_beginning(trunk: TrainConfig, config: TrainConfig) -> bool:
    fits = not config.mfn.equips or config.entry == trunk.entry
    return fits and without_layers(config).same_run(without_layers(trunk))


def _differences(first: Any, second: Any, where: str = "") -> Iterator[str]:
    """Settings that differ, as "mfn.k 8, now 16"."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in first.keys() | second.keys():
            if where + key not in ("machine", "description") and key != "about":
                yield from _differences(first.get(key), second.get(key), f"{where}{key}.")
    elif first != second:
        yield f"{where.rstrip('.')} {json.dumps(first)}, now {json.dumps(second)}"
