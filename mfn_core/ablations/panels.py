"""A Plotly figure as plain data: a panel for each measure, runs or a setting along x."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mfn_core.ablations.judge import Measure
from mfn_core.metrics.bootstrap import Estimate

ACROSS = 3  # panels beside each other
GAP = 0.09  # between them, of the whole
LOG_FROM = 4.0  # a setting that spans more than so many times its least is drawn on a logarithmic axis


class Point(NamedTuple):
    """One run.

    Attributes:
        where: its place along x: the value of the setting, or the run's name.
        name: of the run.
        values: by measure; None where it has not got it.
    """

    where: Any
    name: str
    values: Mapping[str, Estimate | None]


def panels(points: Sequence[Point], measures: Sequence[Measure], setting: str = "") -> dict[str, Any]:
    """Bars for runs that differ in kind; with `setting`, lines over its values."""
    data: list[dict[str, Any]] = []
    titles: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"showlegend": False, "annotations": titles}
    rows = math.ceil(len(measures) / ACROSS)
    layout["height"] = 260 * rows + 40
    wide, high = (1 - GAP * (ACROSS - 1)) / ACROSS, (1 - 2 * GAP * (rows - 1)) / rows
    numbers = [point.where for point in points if setting]
    logarithmic = bool(numbers) and min(numbers) > 0 and max(numbers) >= LOG_FROM * min(numbers)
    for place, measure in enumerate(measures):
        row, column = divmod(place, ACROSS)
        left, top = column * (wide + GAP), 1 - row * (high + 2 * GAP)
        number = "" if place == 0 else str(place + 1)
        layout[f"xaxis{number}"] = {
            "domain": [left, left + wide],
            "anchor": f"y{number}",
            **({"title": {"text": setting}} if setting else {"tickangle": -40}),
            **({"type": "log", "tickvals": sorted(set(numbers))} if logarithmic else {}),
        }
        layout[f"yaxis{number}"] = {
            "domain": [top - high, top],
            "anchor": f"x{number}",
            "rangemode": "tozero",
            **({"tickformat": ".0%"} if measure.kind == "share" else {}),
        }
        titles.append(
            {
                "text": measure.title + (f", {measure.unit}" if measure.unit else ""),
                "x": left + wide / 2,
                "y": top,
                "xref": "paper",
                "yref": "paper",
                "xanchor": "center",
                "yanchor": "bottom",
                "showarrow": False,
            }
        )
        drawn = [(point, point.values[measure.key]) for point in points]
        known = [(point, found) for point, found in drawn if found is not None]
        trace: dict[str, Any] = {
            "name": measure.title,
            "x": [point.where for point, _ in known],
            "y": [found.value for _, found in known],
            "text": [point.name for point, _ in known],
            "xaxis": f"x{number}",
            "yaxis": f"y{number}",
            "error_y": {"type": "data", "array": [_half(found) for _, found in known], "visible": True},
        }
        data.append(trace | ({"type": "scatter", "mode": "lines+markers"} if setting else {"type": "bar"}))
    return {"data": data, "layout": layout}


def _half(found: Estimate) -> float:
    return found.high - found.value if math.isfinite(found.high) else 0.0
