"""What the verdicts of `mfn eval` rest on, as figures. A table that a verdict does not have gives none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from mfn_core.evidence.document import Column, Figure, Table
from mfn_core.evidence.plots import Point, band, bars, bound, dots, lines, pairs
from mfn_core.evidence.verdict_tables import is_estimate

OURS, SAE, STREAM, DENSE = "MFN", "SAE", "stream", "dense stream"
BY_K = {"1": "1", "2": "2", "5": "5", "20": "20", "full": "all"}
Tables = Mapping[str, Any]


def figures_of(verdict: Mapping[str, Any]) -> list[Figure]:
    """Of one verdict, by its name; those of its tables that are there and are as expected."""
    tables = verdict.get("tables")
    draw = {"P1": _p1, "P2": _p2, "P3": _p3, "P4": _p4, "P5": _p5}.get(str(verdict.get("name")))
    return list(draw(tables)) if draw and isinstance(tables, Mapping) else []


def concept_table(tables: Tables) -> Table | None:
    """P2, one row a concept: the feature that tells most of it, and how well each source is read."""
    rows = [row for row in _rows(tables, "concepts") if isinstance(row.get("auc"), Mapping)]
    if not rows:
        return None
    sources = list(dict.fromkeys(str(row["source"]) for row in rows))
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        cells = found.setdefault(str(row["concept"]), {"concept": row["concept"]})
        source, auc = row["source"], row["auc"]
        cells |= {f"{source} 1": auc.get("1"), f"{source} full": auc.get("full")}
        if source == OURS and row.get("best") is not None:
            cells["feature"] = [row.get("layers", {}).get("1"), row["best"]]
    columns = [Column("concept", "Concept", "text"), Column("feature", "Feature", "feature")]
    columns += [Column(f"{source} 1", f"{source}, k = 1") for source in sources]
    columns += [Column(f"{source} full", f"{source}, all") for source in sources]
    ordered = sorted(found.values(), key=lambda cells: -(cells.get(f"{OURS} 1") or 0.0))
    caption = (
        "AUC of probes on the half of the texts on which nothing was fitted. k = 1 is the best single dimension, "
        "chosen on the other half; the feature is that of the MFN."
    )
    return Table("p2/by_concept", "Concepts, and the features that tell them", columns, ordered, caption)


def _p1(tables: Tables) -> Iterator[Figure]:
    layers = tables.get("layers")
    if not isinstance(layers, Mapping) or not layers.get(OURS):
        return
    rates = {
        f"layer {number}": [Point(at, share) for at, share in _shares(row["rates"])]
        for number, row in layers[OURS].items()
        if isinstance(row.get("rates"), Mapping)
    }
    if rates:
        x = "firing rate over the target K / F"
        axis = {"type": "log", "dtick": 1}
        figure = lines(
            rates, x, "share of live features", xaxis=axis, shapes=[band(0.5, 2.0)], yaxis={"rangemode": "tozero"}
        )
        yield Figure(
            "p1/rates",
            "How often features fire",
            "Live features of each layer by how often they fire, as a multiple of the target. Within the tint a rate "
            "is near the target; features that never fire are not shown.",
            figure,
        )
    near = {OURS: [Point(f"layer {n}", row.get("near_target")) for n, row in layers[OURS].items()]}
    yield Figure(
        "p1/near",
        "Features near their target, by layer",
        "Share of live features with a rate from half to twice the target. The line is what was asked for.",
        bars(near, "", "share of live features", shapes=[bound(0.8, across=True)], yaxis={"range": [0, 1]}),
    )
    overlaps = {
        source: [Point(f"layer {n}", row.get("overlap")) for n, row in rows.items()]
        for source, rows in layers.items()
        if rows
    }
    yield Figure(
        "p1/overlap",
        "How far features fire together",
        "99th percentile of the Jaccard overlaps of all pairs of features, beside that of a random code on the same "
        "streams: lower is better.",
        bars(overlaps, "", "Jaccard overlap", yaxis={"rangemode": "tozero"}),
    )


def _p2(tables: Tables) -> Iterator[Figure]:
    means = tables.get("means")
    if isinstance(means, Mapping) and means:
        series = {source: [_point(BY_K[k], by_k[k]) for k in BY_K if k in by_k] for source, by_k in means.items()}
        yield Figure(
            "p2/means",
            "How well concepts are read from k dimensions",
            "Mean AUC over concepts of logistic probes on the k best dimensions, and on all, with 95 % intervals over "
            "concepts. 0.5 is a guess.",
            lines(series, "k", "AUC", xaxis={"type": "category"}),
        )
    gains = tables.get("gains")
    if isinstance(gains, Mapping) and gains:
        series = {
            f"over the {source}": [_point(BY_K[k], by_k[k]) for k in BY_K if k in by_k]
            for source, by_k in gains.items()
        }
        asked = [bound(0.0, across=True), bound(0.1, across=True)]
        yield Figure(
            "p2/gains",
            "How much more z tells",
            "Mean of AUC − ½ over that of another source, less 1, with 95 % intervals over concepts. The lines are at "
            "nothing gained and at the 10 % that P2 asks for at k = 1 over the SAE.",
            lines(series, "k", "gain", xaxis={"type": "category"}, yaxis={"tickformat": ".0%"}, shapes=asked),
        )
    yield from _concepts(tables)


def _concepts(tables: Tables) -> Iterator[Figure]:
    rows = [row for row in _rows(tables, "concepts") if isinstance(row.get("auc"), Mapping)]
    ours = {row["concept"]: row["auc"].get("1") for row in rows if row.get("source") == OURS}
    if not ours:
        return
    order = sorted(ours, key=lambda concept: -(ours[concept] or 0.0))
    place = {concept: number for number, concept in enumerate(order)}
    series: dict[str, list[Point]] = {}
    for row in sorted(rows, key=lambda row: place.get(row["concept"], len(place))):
        series.setdefault(str(row["source"]), []).append(Point(row["concept"], row["auc"].get("1")))
    yield Figure(
        "p2/concepts",
        "Concepts, read from one dimension",
        "AUC of the best single dimension of each source, chosen on one half of the texts and scored on the other.",
        dots(series, "AUC, k = 1", shapes=[bound(0.5)]),
    )


def _p3(tables: Tables) -> Iterator[Figure]:
    rows = _rows(tables, "aligned")
    if not rows:  # by source
        by_source = tables.get("aligned")
        by_source = by_source if isinstance(by_source, Mapping) else {}
        rows = [{"source": source} | dict(row) for source, found in by_source.items() for row in found]
    shown = {"matched": "mean correlation of matched features", "cka": "CKA"}
    for field, what in shown.items():
        series: dict[str, list[Point]] = {}
        for row in sorted(rows, key=lambda row: (row.get("layer", 0), str(row.get("pair")))):
            at = f"layer {row.get('layer')}, seeds {row.get('pair')}"
            if row.get(field) is not None:
                series.setdefault(str(row.get("source")), []).append(Point(at, row[field]))
        if series:
            yield Figure(
                f"p3/{field}",
                f"Alignment across seeds: {what}",
                "Each pair of seeds in each layer, on the same tokens. P3 asks that the MFNs of two seeds agree more "
                "than either baseline.",
                dots(series, what),
            )
    levels = _rows(tables, "quantiles")
    curves: dict[str, list[Point]] = {}
    key = lambda row: (str(row.get("source")), row.get("level", 0.0))  # noqa: E731
    for (source, level), group in groupby(sorted(levels, key=key), key):
        found = [row["correlation"] for row in group if row.get("correlation") is not None]
        if found:
            curves.setdefault(source, []).append(Point(level, sum(found) / len(found)))
    if curves:
        yield Figure(
            "p3/quantiles",
            "How alike matched features are",
            "Quantiles of the correlations of features matched one to one, mean over pairs of seeds and layers: how "
            "many features come back, and how closely.",
            lines(curves, "share of features", "correlation at most"),
        )


def _p4(tables: Tables) -> Iterator[Figure]:
    for key in tables:
        rows = _rows(tables, key)
        drawn = [row for row in rows if _number(row.get("predicted")) and _number(row.get("measured"))]
        if not drawn:
            continue
        series: dict[str, list[Point]] = {}
        for row in drawn:
            named = [str(row[name]) for name in ("layer", "feature", "dose") if row.get(name) is not None]
            text = ", ".join(named) or None
            series.setdefault(str(row.get("source", OURS)), []).append(
                Point(row["predicted"], row["measured"], text=text)
            )
        yield Figure(
            f"p4/{key}-measured",
            "Predicted against measured",
            "What was predicted of each intervention, and what it did. On the line both are the same.",
            pairs(series, "predicted", "measured"),
        )
    for key in tables:
        values: dict[str, list[float]] = {}
        for row in _rows(tables, key):
            if _number(row.get("rho")):
                values.setdefault(str(row.get("source", OURS)), []).append(float(row["rho"]))
        if values:
            cumulated = {
                source: [Point(value, (number + 1) / len(found)) for number, value in enumerate(sorted(found))]
                for source, found in values.items()
            }
            yield Figure(
                f"p4/{key}-rho",
                "How well effects are predicted",
                "Share of the features swept whose rank correlation of predicted and measured changes is at most so "
                "large. P4 asks for a median of 0.8.",
                lines(cumulated, "rank correlation", "share of features", shapes=[bound(0.8)]),
            )
    yield from _steered(tables)


def _steered(tables: Tables) -> Iterator[Figure]:
    rows = [row for row in _rows(tables, "steered_concepts") if _number(row.get("with_detector"))]
    if not rows:
        return
    source = OURS if any(row.get("source") == OURS for row in rows) else rows[0].get("source")
    own = sorted((row for row in rows if row.get("source") == source), key=lambda row: -row["with_detector"])
    shown = {"with_detector": "detector", "with_other": "another feature", "with_nothing": "nothing"}
    series = {name: [Point(row["concept"], row.get(key)) for row in own] for key, name in shown.items()}
    yield Figure(
        "p4/steered_concepts",
        f"Concepts steered: what is turned, {source}",
        "Share of continuations of neutral prompts that have the concept, over all doses, as a probe on their tokens "
        "tells: with the concept's detector turned, with another feature turned as far, and with nothing.",
        dots(series, "share of continuations", xaxis={"range": [-0.02, 1.02], "tickformat": ".0%"}),
    )


def _p5(tables: Tables) -> Iterator[Figure]:
    series: dict[str, list[Point]] = {}
    for key, name in (("domains", "never trained on"), ("home", "trained on"), ("fine-tuned SAE", "fine-tuned SAE")):
        found = tables.get(key)
        for domain, row in (found if isinstance(found, Mapping) else {}).items():
            if is_estimate(row.get("lost")):
                series.setdefault(name, []).append(_point(domain, row["lost"]))
    if series:
        yield Figure(
            "p5/lost",
            "What the features cost on each domain",
            "Perplexity lost to the dense twin, with 95 % intervals over texts. P5 asks for at most 5 % (the line) on "
            "domains that were never trained on.",
            dots(series, "perplexity lost", shapes=[bound(0.05)], xaxis={"tickformat": ".0%"}),
        )


def _shares(rates: Mapping[str, Sequence[float]]) -> Iterator[tuple[float, float]]:
    """Geometric middle of each bin, and its share."""
    edges, counts = rates["edges"], rates["counts"]
    total = sum(counts) or 1
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        yield (low * high) ** 0.5, count / total


def _point(at: Any, found: Any) -> Point:
    return Point(at, found["value"], found["low"], found["high"]) if is_estimate(found) else Point(at, found)


def _rows(tables: Tables, key: str) -> list[Mapping[str, Any]]:
    found = tables.get(key)
    return [row for row in found if isinstance(row, Mapping)] if isinstance(found, list | tuple) else []


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
