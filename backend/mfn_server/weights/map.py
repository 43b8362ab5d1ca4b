"""The map of all features of a model, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, select

from mfn_server.db.blobs import F4, unpack
from mfn_server.db.tables import Feature, Source, SourceWeights
from mfn_server.errors import APIError
from mfn_server.model_facts import ModelFacts
from mfn_server.weights.schemas import FeatureMap, MapQuery, MapSource, Method

MOST = 100_000
"""Features above which the map is a sample: more points cannot be told apart, and would be megabytes (ours)."""

_DECIMALS = 4


def feature_map(connection: Connection, model_id: int, facts: ModelFacts, query: MapQuery) -> FeatureMap:
    """The map of one site.

    Raises:
        APIError: it is not computed yet (503); there is no such site, or it was not drawn by that method (404).
    """
    keys = [source.key for source in facts.sources]
    statement = (
        select(Source.id, Source.key, Source.site, Source.layer, Source.n_features, Source.current_run_id)
        .add_columns(SourceWeights.pca, SourceWeights.umap, SourceWeights.explained, SourceWeights.settings)
        .add_columns(SourceWeights.umap_version)
        .join(SourceWeights, SourceWeights.source_id == Source.id)
        .where(Source.model_id == model_id, Source.key.in_(keys), SourceWeights.pca.is_not(None))
        .order_by(Source.layer, Source.id)
    )
    every = connection.execute(statement).all()
    if not every:
        raise APIError(
            503,
            "map_not_ready",
            "the map of this model is not drawn yet",
            hint="it is some seconds after the first start; `mfn weights MODEL` draws it",
            headers={"Retry-After": "5"},
        )
    sites = [site for site, _ in groupby(sorted(row.site for row in every))]
    site = query.site or every[0].site
    rows = [row for row in every if row.site == site]
    if not rows:
        raise APIError(404, "unknown_site", f"there is no map of {site!r}: {', '.join(sites)}", field="site")
    methods: list[Method] = ["pca", "umap"] if all(row.umap is not None for row in rows) else ["pca"]
    method = query.method or methods[-1]
    if method not in methods:
        raise APIError(
            404,
            "no_such_map",
            f"the map of {site} was not drawn by {method}",
            hint="install mfn-studio[map], then `mfn weights MODEL --map umap`",
            field="method",
        )
    return _columns(connection, rows, method, methods, sites)


def _columns(
    connection: Connection, rows: Sequence[Row[Any]], method: Method, methods: list[Method], sites: list[str]
) -> FeatureMap:
    total = sum(row.n_features for row in rows)
    step = -(-total // MOST)
    numbers = [np.arange(0, row.n_features, step) for row in rows]
    places = [unpack(getattr(row, method), F4).reshape(-1, 2)[::step] for row in rows]
    xy = np.concatenate(places).astype(np.float64).round(_DECIMALS)
    layers = np.repeat([row.layer for row in rows], [len(some) for some in numbers])
    first, second = unpack(rows[0].explained, F4).tolist()
    return FeatureMap(
        site=rows[0].site,
        sites=sites,
        method=method,
        methods=methods,
        seed=rows[0].settings["seed"],
        umap_version=rows[0].umap_version if "umap" in methods else None,
        explained=(round(first, 6), round(second, 6)),
        sources=[MapSource(source=row.key, layer=row.layer, n_features=row.n_features) for row in rows],
        n_features=total,
        step=step,
        source=np.repeat(np.arange(len(rows)), [len(some) for some in numbers]).tolist(),
        layer=layers.tolist(),
        index=np.concatenate(numbers).tolist(),
        x=xy[:, 0].tolist(),
        y=xy[:, 1].tolist(),
        rate=[rate for row, some in zip(rows, numbers, strict=True) for rate in _rates(connection, row, some, step)],
    )


def _rates(connection: Connection, row: Row[Any], numbers: NDArray[np.int64], step: int) -> list[float | None]:
    """How often each of these features of a source fires, by the run that it shows."""
    if row.current_run_id is None:
        return [None] * len(numbers)
    of = select(Feature.number, Feature.rate).where(
        Feature.run_id == row.current_run_id, Feature.source_id == row.id, Feature.number % step == 0
    )
    found = {row.number: row.rate for row in connection.execute(of)}
    return [None if (rate := found.get(number)) is None else float(f"{rate:.4g}") for number in numbers.tolist()]
