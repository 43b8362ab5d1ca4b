"""The log of a run: one JSON line a report, cut back to the checkpoint that a run is taken up from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from mfn_core.files import replace_file
from mfn_core.training.metrics import Metrics, read_metrics
from mfn_core.training.objective import Figures


class Log:
    """`metrics.jsonl` in a run's folder, and who else wants to hear of it. Of several processes, the first writes."""

    def __init__(self, folder: Path, report: Callable[[Metrics], object] | None, rank: int = 0) -> None:
        self.path = folder / "metrics.jsonl"
        self.report = report
        self.silent = rank > 0

    def write(self, metrics: Metrics) -> None:
        """Adds a line."""
        if self.silent:
            return
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(metrics) + "\n")
        if self.report is not None:
            self.report(metrics)

    def flush(self) -> None:
        """Has what was written so far survive a power cut. Before a checkpoint, which relies on it."""
        if self.path.exists():
            with self.path.open("rb") as out:
                os.fsync(out.fileno())

    def cut(self, step: int) -> None:
        """Takes out what was said of later steps, which will be done again."""
        if self.silent:
            return
        kept = [line for line in read_metrics(self.path) if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        replace_file(self.path, lambda file: file.write(text.encode()))


class FigureMeans:
    """The means of an objective's figures over the parts of a step."""

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self._sums: dict[str, Any] = {}

    def add(self, figures: Figures) -> None:
        """Takes in a part."""
        for name, value in figures.items():
            if isinstance(value, Tensor):
                self._sums[name] = self._sums.get(name, 0.0) + value
            else:
                sums = self._sums.setdefault(name, {})
                for number, entry in value.items():
                    sums[number] = sums.get(number, 0.0) + entry

    def numbers(self) -> Metrics:
        """The means as plain numbers; blocks as keys of nested ones."""
        return {
            name: (
                {number: round(float(entry) / self.parts, 5) for number, entry in value.items()}
                if isinstance(value, dict)
                else round(float(value) / self.parts, 5)
            )
            for name, value in self._sums.items()
        }
