"""Figures for evidence documents: plain data for Plotly, without colours.

Series are told apart by marker and dash as well as by the colour that whoever shows them gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SHADE = "rgba(128,128,128,0.16)"  # on light and dark ground alike
LINE = "rgba(128,128,128,0.9)"
ROW = 19  # px, of a list of names along the vertical axis


class Point(NamedTuple):
    """A number at a place, with its interval where it has one."""

    at: Any
    value: float | None
    low: float | None = None
    high: float | None = None
    text: str | None = None


Series = Mapping[str, Sequence[Point]]


def lines(series: Series, x: str, y: str, **layout: Any) -> dict[str, Any]:
    """Curves through points with error bars. `x`, `y`: titles of the axes."""
    return {
        "data": [_trace(name, points, place, "lines+markers") for place, (name, points) in enumerate(series.items())],
        "layout": _layout(x, y, layout),
    }


def dots(series: Series, x: str, y: str = "", **layout: Any) -> dict[str, Any]:
    """Numbers along the horizontal axis, one row a name, the first on top; intervals are bars."""
    names = list(dict.fromkeys(point.at for points in series.values() for point in points))
    data = [_trace(name, points, place, "markers", across=True) for place, (name, points) in enumerate(series.items())]
    axis = {"autorange": "reversed", "categoryorder": "array", "categoryarray": names, "type": "category", "dtick": 1}
    # the legend and the title of the axis take the same room however high the figure is
    height = 140 + ROW * len(names)
    below = {"legend": {"y": -70 / (height - 120)}}
    return {
        "data": data,
        "layout": _layout(x, y, below | {"yaxis": axis, "height": height, "margin": {"t": 24, "b": 90}} | layout),
    }


def bars(series: Series, x: str, y: str, **layout: Any) -> dict[str, Any]:
    """Bars beside each other, with intervals."""
    data = []
    for name, points in series.items():
        values = [point.value for point in points]
        data.append(
            {"type": "bar", "name": name, "x": [point.at for point in points], "y": values} | _errors(points, "y")
        )
    return {"data": data, "layout": _layout(x, y, {"barmode": "group"} | layout)}


def pairs(series: Series, x: str, y: str, **layout: Any) -> dict[str, Any]:
    """Points in a plane, `at` across and `value` up, with the line on which both are the same."""
    data = [_trace(name, points, place, "markers") for place, (name, points) in enumerate(series.items())]
    both = [
        float(each)
        for points in series.values()
        for point in points
        for each in (point.at, point.value)
        if isinstance(each, int | float)
    ]
    ends = [min(both, default=0.0), max(both, default=1.0)]
    same = {
        "type": "line",
        "x0": ends[0],
        "y0": ends[0],
        "x1": ends[1],
        "y1": ends[1],
        "line": {"color": LINE, "width": 1, "dash": "dot"},
    }
    return {"data": data, "layout": _layout(x, y, {"shapes": [same]} | layout)}


def bound(value: float, across: bool = False) -> dict[str, Any]:
    """The line at a number that was asked for; `across`: a number on the vertical axis."""
    near, far = ("y", "x") if across else ("x", "y")
    return {
        "type": "line",
        f"{near}0": value,
        f"{near}1": value,
        f"{far}0": 0,
        f"{far}1": 1,
        f"{far}ref": "paper",
        "line": {"color": LINE, "width": 1.5, "dash": "dash"},
    }


def band(low: Any, high: Any) -> dict[str, Any]:
    """A tint from one place on the horizontal axis to another."""
    return {
        "type": "rect",
        "x0": low,
        "x1": high,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "fillcolor": SHADE,
        "line": {"width": 0},
        "layer": "below",
    }


def _trace(name: str, points: Sequence[Point], place: int, mode: str, across: bool = False) -> dict[str, Any]:
    at, values = [point.at for point in points], [point.value for point in points]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": mode,
        "name": name,
        "x": values if across else at,
        "y": at if across else values,
        "marker": {"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 7},
    }
    if "lines" in mode:
        trace["line"] = {"dash": DASHES[place % len(DASHES)], "width": 2}
    if any(point.text for point in points):
        trace["text"] = [point.text or "" for point in points]
    return trace | _errors(points, "x" if across else "y")


def _errors(points: Sequence[Point], axis: str) -> dict[str, Any]:
    if all(point.low is None or point.high is None for point in points):
        return {}

    def off(point: Point, end: float | None) -> float | None:
        return None if end is None or point.value is None else abs(end - point.value)

    return {
        f"error_{axis}": {
            "type": "data",
            "symmetric": False,
            "array": [off(point, point.high) for point in points],
            "arrayminus": [off(point, point.low) for point in points],
            "thickness": 1.2,
            "width": 3,
        }
    }


def _layout(x: str, y: str, given: Mapping[str, Any]) -> dict[str, Any]:
    axes = {
        name: {"title": {"text": title}} | dict(given.get(name, {})) for name, title in (("xaxis", x), ("yaxis", y))
    }
    return dict(given) | axes
