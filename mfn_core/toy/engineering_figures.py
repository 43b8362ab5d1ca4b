"""Figures of engineered monosemanticity, as plain data for Plotly, in the colours of whoever shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mfn_core.evidence.document import Figure

Row = Mapping[str, Any]


def _histograms(rows: Sequence[Row], names: Sequence[str], key: str) -> list[dict[str, Any]]:
    """Lines, one a model; the first two are shown, the others wait in the legend."""
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "line": {"shape": "hvh"},
            "name": name,
            "x": [middle for middle, _ in row[key]],
            "y": [count for _, count in row[key]],
            "visible": True if place < 2 else "legendonly",
        }
        for place, (row, name) in enumerate(zip(rows, names, strict=True))
    ]


LEGEND = {"orientation": "h", "y": -0.25}


def purity(rows: Sequence[Row], names: Sequence[str]) -> Figure:
    """Histogram of r."""
    layout = {
        "xaxis": {"title": {"text": "r = strongest / sum, over single features"}, "range": [0, 1]},
        "yaxis": {"title": {"text": "neurons"}},
        "legend": LEGEND,
    }
    caption = "How far neurons stand for one feature: those at the right do. Choose models in the legend."
    return Figure("models/purity", "Neurons by r", caption, {"data": _histograms(rows, names, "r"), "layout": layout})


def biases(rows: Sequence[Row], names: Sequence[str]) -> Figure:
    """Histogram of biases at the end."""
    layout = {"xaxis": {"title": {"text": "bias"}}, "yaxis": {"title": {"text": "neurons"}}, "legend": LEGEND}
    caption = "Where biases end. Monosemantic neurons keep moderately negative ones, which silence other features."
    return Figure(
        "models/biases", "Biases at the end", caption, {"data": _histograms(rows, names, "bias"), "layout": layout}
    )


def loss_and_share(rows: Sequence[Row], names: Sequence[str]) -> Figure:
    """Share of live neurons that are monosemantic against loss, a trace for each bias at the start."""
    groups: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        case = row["case"]
        key = "bias 0" if case["bias"] == 0 else f"bias {case['bias']:g}, decay {case['bias_decay']:g}"
        groups.setdefault(key, []).append(place)
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": key,
            "x": [rows[place]["loss"] for place in places],
            "y": [round(rows[place]["monosemantic"] / max(1, rows[place]["live"]), 4) for place in places],
            "text": [f"{names[place]}<br>{rows[place]['monosemantic']} monosemantic" for place in places],
            "hovertemplate": "%{text}<br>loss %{x}, %{y:.0%} of live neurons<extra></extra>",
            "marker": {"size": 10},
        }
        for key, places in groups.items()
    ]
    layout = {
        "xaxis": {"title": {"text": "loss"}},
        "yaxis": {"title": {"text": "monosemantic, of live neurons"}, "tickformat": ".0%", "rangemode": "tozero"},
    }
    caption = "Each point is a trained model: losses that are near each other go with very different neurons."
    return Figure("models/loss", "Loss and monosemanticity", caption, {"data": data, "layout": layout})


def curves(rows: Sequence[Row], names: Sequence[str]) -> Figure:
    """Loss by step."""
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": [step for step, _ in row["curve"]],
            "y": [loss for _, loss in row["curve"]],
            "visible": True if place < 2 else "legendonly",
        }
        for place, (row, name) in enumerate(zip(rows, names, strict=True))
    ]
    layout = {
        "xaxis": {"title": {"text": "step"}},
        "yaxis": {"title": {"text": "loss"}, "type": "log"},
        "legend": LEGEND,
    }
    caption = "The loss as training goes on. Choose models in the legend."
    return Figure("models/curves", "Training", caption, {"data": data, "layout": layout})


def by_neurons(rows: Sequence[Row]) -> Figure:
    """Counts by the number of neurons."""
    x = [row["neurons"] for row in rows]
    data = [
        {"type": "scatter", "mode": "lines+markers", "name": name, "x": x, "y": [row[key] for row in rows]}
        for key, name in (("monosemantic", "monosemantic neurons"), ("covered", "features with one"))
    ]
    layout = {"xaxis": {"title": {"text": "neurons"}, "type": "log"}, "yaxis": {"rangemode": "tozero"}}
    caption = "With more neurons, more of them stand for one feature."
    return Figure("neurons/counts", "By number of neurons", caption, {"data": data, "layout": layout})
