"""What a run says of its steps, as its log keeps it. Without torch, so that a server can read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Metrics = dict[str, Any]


def read_metrics(log: Path) -> list[Metrics]:
    """The lines of a `metrics.jsonl`, none where there is no file. A line cut off by a crash is left out."""
    lines: list[Metrics] = []
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines
