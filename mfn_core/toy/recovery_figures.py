"""Figures of what was planted and found, as plain data for Plotly, in the colours of whoever shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mfn_core.evidence.document import Figure
from mfn_core.metrics.bootstrap import Estimate


def recovery(units: Sequence[str], found: Mapping[str, Mapping[str, Estimate]], titles: Mapping[str, str]) -> Figure:
    """Bars with intervals: units by measures."""
    data = [
        {
            "type": "bar",
            "name": titles[key],
            "x": list(units),
            "y": [round(by_unit[name].value, 4) for name in units],
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": [round(by_unit[name].high - by_unit[name].value, 4) for name in units],
                "arrayminus": [round(by_unit[name].value - by_unit[name].low, 4) for name in units],
            },
        }
        for key, by_unit in found.items()
    ]
    layout = {"barmode": "group", "yaxis": {"range": [0, 1]}, "legend": {"orientation": "h", "y": -0.25}}
    caption = "How much of what was planted the units of each kind find: by direction, one to one, and by activation."
    return Figure("recovery/units", "Planted features found", caption, {"data": data, "layout": layout})
