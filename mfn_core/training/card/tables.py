"""Tables in Markdown, and figures in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows under heads; a bar within a cell is kept from ending it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def share(data: dict[str, Any]) -> str:
    """A share with its 95 % interval."""
    low, high = data["interval"]
    return f"{data['value']:.3f} ({low:.2f}–{high:.2f})"
