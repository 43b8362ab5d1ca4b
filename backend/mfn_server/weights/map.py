"""The map of features as the API gives it: places of all layers at one site, or of one of them, as columns."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, select

from mfn_server.db.blobs import F4, unpack
from mfn_server.db.tables import Source, SourceWeights
from mfn_server.errors import APIError
from mfn_server.features.catalogue import Catalogue
from mfn_server.features.status import STATUSES
from mfn_server.model_facts import ModelFacts
from mfn_server.weights.schemas import FeatureMap, MapQuery, MapSource, Method

MOST = 100_000
"""Features above which the map is a sample: more points cannot be told apart, and would be megabytes (ours)."""

UNKNOWN_STATUS = len(STATUSES)
"""The status of a feature without an index."""

_DECIMALS = 4


@dataclass(frozen=True)
class MapChoice:
    """Which map is meant, before its places are read.

    Attributes:
        sources: rows of the sources on it, by layer.
        method: how it was drawn.
        methods: how the site's maps were drawn.
        sites: all that have one.
    """

    sources: Sequence[Row[Any]]
    method: Method
    methods: list[Method]
    sites: list[str]

    @property
    def name(self) -> str:
        """The same for as long as the places are."""
        return repr([(row.id, row.key, str(row.settings), row.umap_version, self.method) for row in self.sources])

    @property
    def total(self) -> int:
        """Features of its sources."""
        return sum(row.n_features for row in self.sources)


@dataclass(frozen=True)
class MapColumns:
    """n features on a map, by source and number.

    Attributes:
        source: uint8 or uint16 [n], places in the choice's sources.
        index: uint32 [n], numbers in their source.
        x, y: float32 [n].
        rate: float32 [n], share of tokens on which it fires; NaN without an index.
        origin: uint8 [n], who wrote the label: 0 nobody, 1 a person, 2 a program.
        status: uint8 [n], places in `STATUSES`, `UNKNOWN_STATUS` without an index.
    """

    source: NDArray[np.unsignedinteger]
    index: NDArray[np.uint32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    rate: NDArray[np.float32]
    origin: NDArray[np.uint8]
    status: NDArray[np.uint8]


def choose_map(connection: Connection, model_id: int, facts: ModelFacts, query: MapQuery) -> MapChoice:
    """The map that is asked for.

    Raises:
        APIError: none is computed yet (503); there is no such site or layer, or it was not drawn by that method (404).
    """
    keys = [source.key for source in facts.sources]
    statement = (
        select(Source.id, Source.key, Source.site, Source.layer, Source.n_features)
        .add_columns(SourceWeights.umap.is_not(None).label("has_umap"), SourceWeights.explained)
        .add_columns(SourceWeights.settings, SourceWeights.umap_version)
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
    methods: list[Method] = ["pca", "umap"] if all(row.has_umap for row in rows) else ["pca"]
    method = query.method or methods[-1]
    if method not in methods:
        raise APIError(
            404,
            "no_such_map",
            f"the map of {site} was not drawn by {method}",
            hint="install mfn-studio[map], then `mfn weights MODEL --map umap`",
            field="method",
        )
    if query.layer is not None:
        layers = sorted({row.layer for row in rows})
        rows = [row for row in rows if row.layer == query.layer]
        if not rows:
            message = f"layer {query.layer} has no features on this map: {', '.join(map(str, layers))} have"
            raise APIError(404, "unknown_layer", message, field="layer")
    return MapChoice(rows, method, methods, sites)


def map_columns(connection: Connection, choice: MapChoice, catalogue: Catalogue | None) -> MapColumns:
    """The features of a map: all of them, or the `MOST` whose hash is least.

    Args:
        connection: to the database.
        choice: which map.
        catalogue: of what is shown of the model; None where it has no index.
    """
    numbers = _sampled(choice.sources)
    column = {"pca": SourceWeights.pca, "umap": SourceWeights.umap}[choice.method]
    statement = select(SourceWeights.source_id, column).where(
        SourceWeights.source_id.in_([row.id for row in choice.sources])
    )
    blobs: dict[int, bytes] = {row.source_id: row[1] for row in connection.execute(statement) if row[1] is not None}
    parts = [
        (unpack(blobs[row.id], F4).reshape(-1, 2)[some], *_figures(catalogue, row, some))
        for row, some in zip(choice.sources, numbers, strict=True)
    ]
    xy, rate, origin, status = (np.concatenate(column) for column in zip(*parts, strict=True))
    place = np.uint8 if len(choice.sources) <= np.iinfo(np.uint8).max else np.uint16
    return MapColumns(
        source=np.repeat(np.arange(len(numbers), dtype=place), [len(some) for some in numbers]),
        index=np.concatenate(numbers).astype(np.uint32),
        x=np.ascontiguousarray(xy[:, 0], np.float32),
        y=np.ascontiguousarray(xy[:, 1], np.float32),
        rate=rate.astype(np.float32),
        origin=origin,
        status=status,
    )


def as_lists(choice: MapChoice, columns: MapColumns) -> FeatureMap:
    """The answer in JSON."""
    layers = np.array([row.layer for row in choice.sources])
    return FeatureMap(
        **head_of(choice, columns),
        source=columns.source.tolist(),
        layer=layers[columns.source].tolist(),
        index=columns.index.tolist(),
        x=columns.x.astype(np.float64).round(_DECIMALS).tolist(),
        y=columns.y.astype(np.float64).round(_DECIMALS).tolist(),
        rate=[None if np.isnan(rate) else float(f"{rate:.4g}") for rate in columns.rate],
    )


def head_of(choice: MapChoice, columns: MapColumns) -> dict[str, Any]:
    """What an answer says of the map as a whole: the fields of `MapHead`."""
    first = choice.sources[0]
    along, across = unpack(first.explained, F4).tolist()
    return {
        "site": first.site,
        "sites": choice.sites,
        "method": choice.method,
        "methods": choice.methods,
        "seed": first.settings["seed"],
        "umap_version": first.umap_version if "umap" in choice.methods else None,
        "explained": (round(along, 6), round(across, 6)),
        "sources": [MapSource(source=row.key, layer=row.layer, n_features=row.n_features) for row in choice.sources],
        "n_features": choice.total,
        "n_shown": len(columns.index),
    }


def _sampled(sources: Sequence[Row[Any]]) -> list[NDArray[np.int64]]:
    """Numbers of the features of each source that are on the map, ascending."""
    every = [np.arange(row.n_features) for row in sources]
    total = sum(len(some) for some in every)
    if total <= MOST:
        return every
    hashes = [_hashes(row.key, row.n_features) for row in sources]
    greatest = np.partition(np.concatenate(hashes), MOST - 1)[MOST - 1]
    return [np.flatnonzero(some <= greatest) for some in hashes]


def _hashes(key: str, n: int) -> NDArray[np.uint64]:
    """A hash of each feature's name, uint64 [n]: splitmix64 (Steele et al. 2014) from the key's SHA-256."""
    start = np.uint64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little"))
    with np.errstate(over="ignore"):
        z = start + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


def _figures(
    catalogue: Catalogue | None, row: Row[Any], numbers: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.uint8]]:
    """Rate, who wrote the label, and status of some features of a source, as the lists have them."""
    place = None if catalogue is None else catalogue.columns.place_of(row.key)
    if catalogue is None or place is None:
        n = len(numbers)
        return np.full(n, np.nan), np.zeros(n, np.uint8), np.full(n, UNKNOWN_STATUS, np.uint8)
    rows = place.begin + numbers
    return catalogue.columns.rate[rows], catalogue.names.origin[rows], catalogue.columns.status[rows]
