"""Figures of superposition, as plain data for Plotly, in the colours of whoever shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mfn_core.evidence.document import Figure

INVERSE = "1/(1 − S): inverse density of features"


def slider(labels: Sequence[str], what: str) -> dict[str, Any]:
    """A slider that shows one trace at a time, the last at first; others are hidden."""
    steps = [
        {
            "label": label,
            "method": "restyle",
            "args": [{"visible": [other == place for other in range(len(labels))]}],
        }
        for place, label in enumerate(labels)
    ]
    return {"active": len(labels) - 1, "currentvalue": {"prefix": f"{what}: "}, "pad": {"t": 40}, "steps": steps}


def levels(values: Mapping[str, float]) -> dict[str, Any]:
    """Dotted lines across a figure, each with its name at the right."""
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "line": {"width": 1, "dash": "dot", "color": "#888888"}}
    note = {"xref": "paper", "x": 1, "xanchor": "left", "showarrow": False}
    return {
        "shapes": [{**line, "y0": at, "y1": at} for at in values.values()],
        "annotations": [{**note, "y": at, "text": name} for name, at in values.items()],
    }


def represented(densities: Sequence[float], relu: Sequence[int], linear: Sequence[int], m: int) -> Figure:
    """How many features are represented, by density."""
    x = [round(1 / p, 3) for p in densities]
    data = [
        {"type": "scatter", "mode": "lines+markers", "name": name, "x": x, "y": list(counts)}
        for name, counts in (("ReLU", relu), ("linear", linear))
    ]
    layout = {
        "xaxis": {"title": {"text": INVERSE}, "type": "log"},
        "yaxis": {"title": {"text": "features represented"}, "rangemode": "tozero"},
        **levels({f"m = {m}": m}),
    }
    caption = (
        "With a ReLU, sparse features outnumber the dimensions that hold them. A linear model keeps one a dimension."
    )
    return Figure("basic/counts", "Features represented", caption, {"data": data, "layout": layout})


def gram(densities: Sequence[float], W: Tensor) -> Figure:
    """Wᵀ W by density; W [I, m, n]."""
    numbers = [str(each + 1) for each in range(W.shape[-1])]
    products = (W.mT @ W).mul(100).round().div(100)
    data = [
        {
            "type": "heatmap",
            "x": numbers,
            "y": numbers,
            "z": [[round(each, 2) for each in row] for row in one.tolist()],
            "zmin": -1,
            "zmax": 1,
            "colorscale": "RdBu",
            "visible": place == len(densities) - 1,
            "hovertemplate": "features %{y} and %{x}: %{z}<extra></extra>",
        }
        for place, one in enumerate(products)
    ]
    layout = {
        "xaxis": {"title": {"text": "feature, by importance"}, "type": "category", "constrain": "domain"},
        "yaxis": {"type": "category", "autorange": "reversed", "scaleanchor": "x", "constrain": "domain"},
        "sliders": [slider([f"{1 - p:.3g}" for p in densities], "sparsity S")],
    }
    caption = "Wᵀ W: what each feature's output hears of each feature. Off the diagonal is interference."
    return Figure("basic/gram", "Who hears whom", caption, {"data": data, "layout": layout})


def plane(densities: Sequence[float], W: Tensor, importance: Sequence[Any]) -> Figure:
    """Columns of W in two dimensions, by density; W [I, 2, n]."""
    data = []
    for place, one in enumerate(W):
        x: list[float | None] = []
        y: list[float | None] = []
        text: list[str] = []
        for number, column in enumerate(one.T):
            x += [0.0, round(float(column[0]), 3), None]
            y += [0.0, round(float(column[1]), 3), None]
            text += [
                "",
                f"feature {number + 1}<br>importance {importance[number]:.2f}<br>length {column.norm():.2f}",
                "",
            ]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": x,
                "y": y,
                "text": text,
                "hoverinfo": "text",
                "marker": {"size": [0, 10, 0] * W.shape[-1]},
                "visible": place == len(densities) - 1,
                "showlegend": False,
            }
        )
    layout = {
        "xaxis": {"range": [-1.5, 1.5], "constrain": "domain", "title": {"text": "hidden dimension 1"}},
        "yaxis": {"range": [-1.5, 1.5], "scaleanchor": "x", "title": {"text": "hidden dimension 2"}},
        "sliders": [slider([f"{1 - p:.3g}" for p in densities], "sparsity S")],
    }
    caption = (
        "Where each of five features lies in two dimensions. Dense: the two most important, at right angles. "
        "Sparse: all five, as a pentagon."
    )
    return Figure("plane/columns", "Columns of W", caption, {"data": data, "layout": layout})


def per_feature(densities: Sequence[float], values: Sequence[float]) -> Figure:
    """D* by density."""
    x = [round(1 / p, 3) for p in densities]
    data = [{"type": "scatter", "mode": "lines+markers", "name": "D*", "x": x, "y": list(values)}]
    layout = {
        "xaxis": {"title": {"text": INVERSE}, "type": "log"},
        "yaxis": {"title": {"text": "D* = m / ‖W‖²"}, "range": [0, 1.1]},
        **levels({"1": 1.0, "1/2": 0.5}),
    }
    caption = "The sparser features are, the fewer dimensions each has. D* stays a while at 1/2: pairs of opposites."
    return Figure("dimensions/per-feature", "Dimensions per feature", caption, {"data": data, "layout": layout})


def each_feature(
    densities: Sequence[float], values: Sequence[Sequence[float]], plateaus: Mapping[str, float]
) -> Figure:
    """D_i of every represented feature, by density."""
    x = [round(1 / p, 3) for p, each in zip(densities, values, strict=True) for _ in each]
    y = [round(one, 3) for each in values for one in each]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": x,
            "y": y,
            "marker": {"size": 6, "opacity": 0.35},
            "hovertemplate": "1/(1 − S) = %{x}<br>D_i = %{y}<extra></extra>",
        }
    ]
    layout = {
        "xaxis": {"title": {"text": INVERSE}, "type": "log"},
        "yaxis": {"title": {"text": "D_i"}, "range": [0, 1.1]},
        **levels(plateaus),
    }
    caption = "The share of a dimension that each represented feature has. Shares gather at those of regular shapes."
    return Figure("dimensions/each", "Dimensionality of each feature", caption, {"data": data, "layout": layout})


STATES = ("not represented", "a dimension for itself", "shared, as opposites")
COLOURS = ("#999999", "#0072B2", "#E69F00")  # of the palette of Okabe and Ito, which the colour-blind can tell apart


def phase(densities: Sequence[float], relative: Sequence[float], found: Tensor, ideal: Tensor) -> Figure:
    """What became of the second feature, trained and ideal; [cells] in the order of densities × relative."""
    rows, columns = len(densities) // len(relative), len(relative)
    bands = [[edge, colour] for place, colour in enumerate(COLOURS) for edge in (place / 3, (place + 1) / 3)]
    x = [float(f"{each:.3g}") for each in relative]
    y = [float(f"{each:.3g}") for each in densities[::columns]]
    data = []
    for number, (name, states) in enumerate((("trained", found), ("ideal", ideal))):
        suffix = "" if number == 0 else "2"
        cells = states.view(rows, columns).tolist()
        data.append(
            {
                "type": "heatmap",
                "name": name,
                "x": [str(each) for each in x],
                "y": [str(each) for each in y],
                "z": cells,
                "text": [[STATES[each] for each in row] for row in cells],
                "zmin": -0.5,
                "zmax": 2.5,
                "colorscale": bands,
                "showscale": number == 0,
                "colorbar": {"tickvals": [0, 1, 2], "ticktext": list(STATES)},
                "xaxis": f"x{suffix}",
                "yaxis": f"y{suffix}",
                "hovertemplate": "relative importance %{x}, density %{y}: %{text}<extra>" + name + "</extra>",
            }
        )
    axis = {"type": "category", "title": {"text": "relative importance"}, "nticks": 6}
    layout = {
        "grid": {"rows": 1, "columns": 2, "pattern": "independent"},
        "xaxis": {**axis, "title": {"text": "relative importance (trained)"}},
        "xaxis2": {**axis, "title": {"text": "relative importance (ideal)"}},
        "yaxis": {"type": "category", "title": {"text": "density 1 − S"}, "autorange": "reversed", "nticks": 8},
        "yaxis2": {"type": "category", "autorange": "reversed", "nticks": 8},
    }
    caption = (
        "Of two features in one dimension, what becomes of the second. Left: trained models; right: which of three "
        "ideal solutions costs least."
    )
    return Figure("phase/states", "Phase diagram", caption, {"data": data, "layout": layout})
