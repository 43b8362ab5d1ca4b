"""The log of a run as TensorBoard events, beside the JSON lines: `tensorboard --logdir runs`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mfn_core.training.metrics import Metrics

MISSING = "no TensorBoard events are written, since tensorboard is not installed: pip install 'mfn-studio[train]'"


def available() -> bool:
    """Whether the package is installed."""
    return find_spec("tensorboard") is not None


class Board:
    """Writes each number of the log as a scalar: `fvu/3` is the third block's, `valid/loss` the held-out loss."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None

    def write(self, metrics: Metrics) -> None:
        """Adds one line of the log. What an earlier process said of this step and later ones is struck out."""
        from torch.utils.tensorboard import SummaryWriter

        step = metrics["step"]
        if self._writer is None:
            self._writer = SummaryWriter(self.folder, purge_step=step)
        for name, value in flatten(metrics):
            if name != "step":
                self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        if self._writer is not None:
            self._writer.close()


def flatten(metrics: Metrics, above: str = "") -> Iterator[tuple[str, float]]:
    """Names with slashes, and numbers."""
    for name, value in metrics.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{above}{name}/")
        else:
            yield f"{above}{name}", value
