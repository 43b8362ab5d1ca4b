"""`mfn train`: a run from a config file, with its progress, and the finished model's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

MODEL = "model"  # the bundle's place in the run folder


def run_training(config_path: Path, overrides: Sequence[str], run: Path | None, data: Path, console: Console) -> None:
    """Train, or go on, and write the model to `RUN/model`.

    Raises:
        MFNError: a wrong config, folder or corpus, or no room to write.
        KeyboardInterrupt: after the state is saved and it is said how to go on.
    """
    from mfn_core.training.config import load_config
    from mfn_core.training.export import export
    from mfn_core.training.run import train

    config = load_config(config_path, overrides)
    folder = run or Path("runs") / config.name
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(config.name, total=config.steps, figures="")

        def report(metrics: dict[str, Any]) -> None:
            if "valid" in metrics:
                console.print(f"step {metrics['step']:,}: held-out cross-entropy {metrics['valid']['loss']:.4f}")
            else:
                bar.update(task, completed=metrics["step"], figures=figures_of(metrics))

        try:
            train(config, folder, data, report, console.print)
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


def figures_of(metrics: dict[str, Any]) -> str:
    """One line of a step's metrics, short enough for the end of a progress bar."""
    parts = [f"loss {metrics['utility']:.3f}", f"{metrics['tokens_per_second']:,.0f} tokens/s"]
    if "fvu" in metrics:
        fvu, dead = metrics["fvu"].values(), metrics["dead"].values()
        parts += [f"α {metrics['alpha']:.2f}", f"FVU ≤ {max(fvu):.2f}", f"dead ≤ {max(dead):.0%}"]
    return "  ".join(parts)
