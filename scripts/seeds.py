"""Compares several seeds of a model, each with its dense twin, by what they came to on held-out text.

    python -m scripts.seeds RUN TWIN [RUN TWIN …]

Takes folders of finished runs in pairs. Prints a line for each pair, and means with the range over the seeds: three
seeds say how much is luck, not more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mfn_core.errors import ConfigError, MFNError
from mfn_core.training.config import TrainConfig
from mfn_core.training.export import load_run
from mfn_core.training.metrics import Metrics, read_metrics

SAME = ("tokens", "batch", "model", "data")  # what a pair, and all pairs, must have in common


def main(arguments: Sequence[str] | None = None) -> int:
    """Gives the exit status."""
    parser = argparse.ArgumentParser(description="Compares several seeds of a model, each with its dense twin.")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN TWIN", help="folders of runs, in pairs")
    folders: list[Path] = parser.parse_args(arguments).runs
    if len(folders) % 2:
        parser.error("runs come in pairs: a model, then its dense twin")
    try:
        table = compare(list(zip(folders[::2], folders[1::2], strict=True)))
    except MFNError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    Console(highlight=False).print(table)
    return 0


def compare(pairs: Sequence[tuple[Path, Path]]) -> Table:
    """A row for each pair, then mean, lowest and highest.

    Raises:
        MFNError: a folder is no finished run, or two of them were not trained alike.
    """
    table = Table(box=None, header_style="bold")
    table.add_column("seed")
    for head in ("cross-entropy", "dense twin", "above", "FVU by block", "dead by block"):
        table.add_column(head, justify="right")
    losses: list[tuple[float, float, float]] = []
    common: dict[str, object] | None = None
    for run, twin in pairs:
        (config, model), (twin_config, dense) = _finished(run), _finished(twin)
        settings = {name: config.to_json()[name] for name in SAME}
        common = common or settings
        if not settings == common == {name: twin_config.to_json()[name] for name in SAME}:
            raise ConfigError(f"{run} and {twin} were not trained alike, or not like the runs before them")
        if config.seed != twin_config.seed or dense["layers"] or not model["layers"]:
            raise ConfigError(f"{twin} is not the dense twin of {run}")
        losses.append((model["loss"], dense["loss"], model["loss"] - dense["loss"]))
        layers = model["layers"].values()
        fvu = " ".join(f"{layer['fvu']:.2f}" for layer in layers)
        dead = " ".join(f"{layer['dead']:.0%}" for layer in layers)
        table.add_row(str(config.seed), *(f"{value:.3f}" for value in losses[-1]), fvu, dead)
    table.add_section()
    for name, of in (("mean", lambda values: sum(values) / len(values)), ("lowest", min), ("highest", max)):
        table.add_row(name, *(f"{of(column):.3f}" for column in zip(*losses, strict=True)), "", "")
    return table


def _finished(folder: Path) -> tuple[TrainConfig, Metrics]:
    """The config of a run, and what was measured at its end."""
    saved = load_run(folder)
    last = [
        line
        for line in read_metrics(folder / "metrics.jsonl")
        if "valid" in line and line["step"] == saved.config.steps
    ]
    if not last:
        raise ConfigError(f"{folder} has not been trained to its end")
    return saved.config, last[-1]["valid"]


if __name__ == "__main__":
    sys.exit(main())
