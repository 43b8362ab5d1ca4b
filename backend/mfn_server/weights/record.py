"""What the weights say, as plain arrays by name: the form in which it is kept in a database and in a folder.

An index has each feature's foremost tokens and its nearest in the layer already, so that they come with it and are
there as soon as it is. Here is the rest, of which the larger part takes N² comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.from_weights.types import (
    Connections,
    LayerWeights,
    Links,
    LogitFacts,
    MapMethod,
    MapPlaces,
    Neighbours,
    WeightSettings,
)

FIGURES = ("std", "skewness", "kurtosis")
SIDES = ("upstream", "downstream")
SIGNS = ("positive", "negative")
WITHIN, ELSEWHERE = ("opposite",), ("nearest_elsewhere", "opposite_elsewhere")


@dataclass(frozen=True)
class WeightRecord:
    """What the weights say of a model's features, but for what an index has.

    Attributes:
        layers: by block number. Promoted and suppressed tokens and the nearest of the layer are empty, [F, 0].
        settings: how it was computed: `WeightSettings` as a dictionary.
        umap_version: of umap-learn, by which the map was drawn beside PCA; None where it was not.
    """

    layers: dict[int, LayerWeights]
    settings: dict[str, Any]
    umap_version: str | None


def kept_settings(method: MapMethod | None = "auto", most_pairs: int = WeightSettings.most_pairs) -> WeightSettings:
    """The settings with which a `WeightRecord` is computed."""
    return WeightSettings(n_logits=0, n_neighbours=0, most_pairs=most_pairs, map=method)


def record_of(layers: dict[int, LayerWeights], settings: WeightSettings) -> WeightRecord:
    """A record of facts that were computed here and now."""
    drawn = any(facts.place is not None and facts.place.umap is not None for facts in layers.values())
    return WeightRecord(layers, asdict(settings), umap_version() if drawn else None)


def umap_version() -> str | None:
    """Of the umap-learn that is installed, if it is."""
    try:
        return version("umap-learn")
    except PackageNotFoundError:
        return None


def arrays_of(facts: LayerWeights) -> dict[str, NDArray[Any]]:
    """What is said of each of F features, as arrays [F] or [F, n]; what is not known is missing.

    `std`, `skewness`, `kurtosis`, `histogram` as `LogitFacts` has them, `agreement`, and lists: of each the features'
    numbers, `…_features`, their figures, `…_values` (cosines, or virtual weights), and `…_layers` where they are of
    several. Of the map `pca` and `umap`.
    """
    logits, alike, place = facts.logits, facts.neighbours, facts.place
    found: dict[str, NDArray[Any]] = {name: getattr(logits, name) for name in (*FIGURES, "histogram")}
    if facts.agreement is not None:
        found["agreement"] = facts.agreement
    for name in (*WITHIN, *ELSEWHERE) if alike is not None else ():
        found |= _columns(name, getattr(alike, name), several=name in ELSEWHERE)
    for side in SIDES:
        reached: Connections | None = getattr(facts, side)
        for sign in SIGNS if reached is not None else ():
            found |= _columns(f"{side}_{sign}", getattr(reached, sign), several=False)
    if place is not None:
        found["pca"] = place.pca
        if place.umap is not None:
            found["umap"] = place.umap
    return found


@dataclass(frozen=True)
class Shared:
    """What is said of a layer as a whole.

    Attributes:
        bin_edges: float32 [H + 1], of the histograms.
        upstream, downstream: which layers the connections lead to; None where there are none.
        explained: float32 [2], as `MapPlaces` has it; None without a map.
        left_out: as `LayerWeights` has it.
    """

    bin_edges: NDArray[np.float32]
    upstream: int | None
    downstream: int | None
    explained: NDArray[np.float32] | None
    left_out: tuple[str, ...]


def shared_of(facts: LayerWeights) -> Shared:
    """What `arrays_of` leaves out."""
    return Shared(
        facts.logits.bin_edges,
        facts.upstream.layer if facts.upstream else None,
        facts.downstream.layer if facts.downstream else None,
        facts.place.explained if facts.place else None,
        facts.left_out,
    )


def weights_of(layer: int, n_features: int, arrays: Mapping[str, NDArray[Any]], shared: Shared) -> LayerWeights:
    """The facts that `arrays_of` and `shared_of` took apart. Raises KeyError where an array is missing."""
    none = np.zeros((n_features, 0), np.int32), np.zeros((n_features, 0), np.float32)
    alike = None
    if "opposite_features" in arrays:
        nearest = Links(none[0].astype(np.int16), *none)
        alike = Neighbours(nearest, *(_links(arrays, name, layer) for name in (*WITHIN, *ELSEWHERE)))
    connections: dict[str, Connections | None] = {}
    for side in SIDES:
        other: int | None = getattr(shared, side)
        connections[side] = None
        if other is not None:
            positive, negative = (_links(arrays, f"{side}_{sign}", other) for sign in SIGNS)
            connections[side] = Connections(other, positive, negative)
    return LayerWeights(
        layer=layer,
        n_features=n_features,
        logits=LogitFacts(
            promoted_ids=none[0],
            promoted_logits=none[1],
            suppressed_ids=none[0],
            suppressed_logits=none[1],
            std=arrays["std"],
            skewness=arrays["skewness"],
            kurtosis=arrays["kurtosis"],
            histogram=arrays["histogram"],
            bin_edges=shared.bin_edges,
        ),
        neighbours=alike,
        agreement=arrays.get("agreement"),
        place=None if shared.explained is None else MapPlaces(arrays["pca"], shared.explained, arrays.get("umap")),
        left_out=shared.left_out,
        upstream=connections["upstream"],
        downstream=connections["downstream"],
    )


def _columns(name: str, links: Links, several: bool) -> dict[str, NDArray[Any]]:
    layers = {f"{name}_layers": links.layers} if several else {}
    return {**layers, f"{name}_features": links.features, f"{name}_values": links.values}


def _links(arrays: Mapping[str, NDArray[Any]], name: str, layer: int) -> Links:
    features = arrays[f"{name}_features"]
    layers = arrays.get(f"{name}_layers", np.full(features.shape, layer, np.int16))
    return Links(layers, features, arrays[f"{name}_values"])
