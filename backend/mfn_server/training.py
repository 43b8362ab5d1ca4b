"""`mfn train`: a run from a config file, with its progress, and the finished model's folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from mfn_core.training.config import TrainConfig

MODEL = "model"  # the bundle's place in the run folder


def run_training(
    config_path: Path,
    overrides: Sequence[str],
    run: Path | None,
    data: Path,
    console: Console,
    begin: Path | None = None,
) -> None:
    """Train, or go on, and write the model to `RUN/model`.

    Under `torchrun` every process calls this; the first one speaks, and writes.

    Raises:
        MFNError: a wrong config, folder or corpus, or no room to write.
        KeyboardInterrupt: after the state is saved and it is said how to go on.
    """
    from mfn_core.training.config import load_config

    config = load_config(config_path, overrides)
    run_config(config, run or Path("runs") / config.name, data, console, begin)


def run_config(config: TrainConfig, folder: Path, data: Path, console: Console, begin: Path | None = None) -> None:
    """The same from a config that is at hand, in a folder that is chosen."""
    from mfn_core.training.export import export
    from mfn_core.training.run import train

    if int(os.environ.get("RANK", "0")) > 0:
        train(config, folder, data)
        return
    with _progress(config.name, config.steps, console) as (bar, task):
        try:
            train(config, folder, data, reporter(bar, task, config.steps, console), console.print, begin)
        except KeyboardInterrupt:
            bar.stop()
            console.print(
                f"Stopped. The same command goes on from the last step that is saved in {folder}.", style="bold"
            )
            raise
        bar.update(task, description="measuring the model", completed=0, total=None, figures="")
        card = export(
            folder, folder / MODEL, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    console.print(f"held-out cross-entropy {card['held_out']['cross_entropy']:.4f} nats a token")
    console.print(f"The model is in {folder / MODEL}; look at it with: mfn index {folder / MODEL} CORPUS")


@contextmanager
def _progress(name: str, steps: int, console: Console) -> Iterator[tuple[Progress, TaskID]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console) as bar:
        yield bar, bar.add_task(name, total=steps, figures="")


def reporter(bar: Progress, task: TaskID, steps: int, console: Console) -> Callable[[dict[str, Any]], None]:
    """What shows each line of the log: a moving bar on a terminal, lines where the output goes to a file."""

    def report(metrics: dict[str, Any]) -> None:
        if "valid" in metrics:
            console.print(f"step {metrics['step']:,}: held-out cross-entropy {metrics['valid']['loss']:.4f}")
        elif console.is_terminal:
            bar.update(task, completed=metrics["step"], figures=figures_of(metrics))
        else:
            place = f"step {metrics['step']:,} of {steps:,}, {time_left(metrics, steps)} left"
            console.print(f"{place}: {figures_of(metrics)}", soft_wrap=True)

    return report


def time_left(metrics: dict[str, Any], steps: int) -> str:
    """How long the rest will take at the pace so far, as H:MM:SS."""
    tokens_left = metrics["tokens"] * (steps / metrics["step"] - 1.0)
    return str(timedelta(seconds=round(tokens_left / metrics["tokens_per_second"])))


def figures_of(metrics: dict[str, Any]) -> str:
    """One line of a step's metrics, short enough for the end of a progress bar."""
    parts = [
        f"loss {metrics.get('utility', metrics['loss']):.3f}",
        f"{metrics['tokens_per_second']:,.0f} tokens/s",
    ]
    if "alpha" in metrics:
        parts.append(f"α {metrics['alpha']:.2f}")
    if "fvu" in metrics:
        fvu, dead = metrics["fvu"].values(), metrics["dead"].values()
        parts += [f"FVU ≤ {max(fvu):.2f}", f"dead ≤ {max(dead):.0%}"]
    return "  ".join(parts)
