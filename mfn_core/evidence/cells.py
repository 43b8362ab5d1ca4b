"""How the numbers of evidence documents are written, wherever Python writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mfn_core.evidence.document import CellKind, Column

NOTHING = "–"


def number(value: float) -> str:
    """Three decimals, or three digits below 0.01; whole numbers with commas: 0.843, 0.0012, 12,345."""
    if value == 0 or isinstance(value, int) or (float(value).is_integer() and abs(value) >= 1000):
        return _signed(f"{value:,.0f}")
    size = abs(value)
    if not math.isfinite(size):
        return NOTHING
    if size >= 1000:
        return _signed(f"{value:,.0f}")
    if size >= 100:
        return _signed(f"{value:.1f}")
    if size >= 0.01:
        return _signed(f"{value:.3f}")
    return _signed(f"{value:.3g}")


def share(value: float) -> str:
    """As per cent, to a tenth: 84.3%."""
    percent = 100 * value
    return _signed(f"{percent:.1f}%" if abs(percent) >= 0.1 or percent == 0 else f"{percent:.2g}%")


def cell(value: Any, kind: CellKind) -> str:
    """One cell, as plain text. What is of another kind than its column says is shown as it is."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if kind == "feature" and isinstance(value, list | tuple) and len(value) == 2:
        return f"L{value[0]} · {value[1]}"
    if isinstance(value, int | float):
        return share(value) if kind == "share" else number(value)
    if isinstance(value, list | tuple):
        return ", ".join(cell(each, "number") for each in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {cell(each, 'number')}" for key, each in value.items())
    return str(value)


def interval(row: Mapping[str, Any], column: Column) -> str:
    """The interval that stands in a row beside a column's number, as "0.81 to 0.87"; empty where there is none."""
    low, high = row.get(f"{column.key}_low"), row.get(f"{column.key}_high")
    if low is None or high is None:
        return ""
    return f"{cell(low, column.kind)} to {cell(high, column.kind)}"


def _signed(written: str) -> str:
    return written.replace("-", "−") if written.startswith("-") else written
