"""The numbers that a Plotly figure draws, as rows: what a reader has who does not see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

MOST_ROWS = 2000


class Numbers(NamedTuple):
    """What a figure draws.

    Attributes:
        titles: of the columns.
        rows: as long as `titles` each.
        left_out: how many further rows there are.
    """

    titles: list[str]
    rows: list[list[Any]]
    left_out: int


def numbers(figure: Mapping[str, Any]) -> Numbers:
    """The points of all traces, one a row; the cells of a heat map, likewise. Ends of error bars are columns."""
    layout = figure.get("layout") or {}
    titles = {"name": "series", "x": _title(layout, "xaxis", "x"), "y": _title(layout, "yaxis", "y")}
    titles |= {f"{axis}_{end}": f"{titles[axis]}, {end}" for axis in "xy" for end in ("low", "high")}
    points = [point for trace in figure.get("data") or [] if isinstance(trace, Mapping) for point in _points(trace)]
    order = ("name", "x", "x_low", "x_high", "y", "y_low", "y_high", "z", "text")
    used = [key for key in order if any(point.get(key) is not None for point in points)]
    rows = [[point.get(key) for key in used] for point in points[:MOST_ROWS]]
    return Numbers([titles.get(key, key) for key in used], rows, max(0, len(points) - MOST_ROWS))


def _points(trace: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = {"name": trace.get("name")}
    x, y, z = (_list(trace.get(axis)) for axis in "xyz")
    if trace.get("labels") is not None:  # of a pie
        x, y = _list(trace.get("labels")), _list(trace.get("values"))
    if z and isinstance(z[0], Sequence) and not isinstance(z[0], str):
        return [
            name | {"x": _at(x, j), "y": _at(y, i), "z": value}
            for i, row in enumerate(z)
            for j, value in enumerate(row)
        ]
    ends = {
        f"{axis}_{end}": found
        for axis, held in (("x", x), ("y", y))
        for end, found in zip(("low", "high"), _ends(trace.get(f"error_{axis}"), held), strict=True)
    }
    columns = {"x": x, "y": y, "z": z, "text": _list(trace.get("text"))} | ends
    if not (x or y):
        return []
    return [
        name | dict(zip(columns, point, strict=True))
        for point in zip_longest(*columns.values())
        if point[0] is not None or point[1] is not None
    ]


def _ends(error: Any, held: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    if not isinstance(error, Mapping) or error.get("array") is None:
        return [], []
    above = _list(error["array"])
    below = _list(error.get("arrayminus")) or above

    def shifted(by: Sequence[Any], sign: int) -> list[Any]:
        return [
            value + sign * amount if isinstance(value, int | float) and isinstance(amount, int | float) else None
            for value, amount in zip(held, by, strict=False)
        ]

    return shifted(below, -1), shifted(above, 1)


def _title(layout: Mapping[str, Any], axis: str, otherwise: str) -> str:
    title = (layout.get(axis) or {}).get("title")
    text = title.get("text") if isinstance(title, Mapping) else title
    return text if isinstance(text, str) and text else otherwise


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _at(values: Sequence[Any], place: int) -> Any:
    return values[place] if place < len(values) else place
