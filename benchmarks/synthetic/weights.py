"""What weights might say of made-up features: facts of the usual shapes, about other features drawn at random.

With them a server has nothing left to compute once it has started, and its feature pages are as long as real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.from_weights.types import (
    Connections,
    LayerWeights,
    Links,
    LogitFacts,
    MapPlaces,
    Neighbours,
    WeightSettings,
)
from mfn_server.weights.record import WeightRecord, kept_settings

_MADE_UP = "made up"


def synthetic_weights(layers: Sequence[int], n_features: int, rng: np.random.Generator) -> WeightRecord:
    """Facts of all layers, as `mfn weights` would compute them if it compared all pairs, and a map by both methods.

    Args:
        layers: numbers of the equipped blocks, ascending.
        n_features: of each.
        rng: of all that is drawn.
    """
    settings = kept_settings()
    places = range(len(layers))
    facts = {layers[place]: _layer(layers, place, n_features, settings, rng) for place in places}
    return WeightRecord(facts, asdict(replace(settings, map="pca")), _MADE_UP)


def _layer(
    layers: Sequence[int], place: int, f: int, settings: WeightSettings, rng: np.random.Generator
) -> LayerWeights:
    def numbers(low: float, high: float, *shape: int) -> NDArray[np.float32]:
        return rng.uniform(low, high, (f, *shape)).astype(np.float32)

    def links(others: Sequence[int], n: int, sign: int = 1) -> Links:
        which = rng.choice(np.array(others, np.int16), (f, n))
        values = -np.sort(-numbers(0, 1, n), axis=1) * np.float32(sign)
        return Links(which, rng.integers(f, size=(f, n), dtype=np.int32), values)

    def connections(there: int) -> Connections | None:
        if not 0 <= there < len(layers):
            return None
        positive, negative = (links([layers[there]], settings.n_connections, sign) for sign in (1, -1))
        return Connections(layers[there], positive, negative)

    mine, elsewhere = [layers[place]], [layer for layer in layers if layer != layers[place]]
    none = np.zeros((f, 0), np.int32), np.zeros((f, 0), np.float32)
    reach = settings.hist_reach
    return LayerWeights(
        layer=layers[place],
        n_features=f,
        logits=LogitFacts(
            *none,
            *none,
            std=numbers(0.1, 1),
            skewness=numbers(-1, 1),
            kurtosis=numbers(-1, 5),
            histogram=rng.integers(5_000, size=(f, settings.hist_bins), dtype=np.int32),
            bin_edges=np.linspace(-reach, reach, settings.hist_bins + 1, dtype=np.float32),
        ),
        neighbours=Neighbours(
            links(mine, 0),
            links(mine, settings.n_opposite, -1),
            links(elsewhere, settings.n_elsewhere),
            links(elsewhere, settings.n_elsewhere, -1),
        ),
        agreement=numbers(-1, 1),
        upstream=connections(place - 1),
        downstream=connections(place + 1),
        place=MapPlaces(numbers(-1, 1, 2), np.array([0.2, 0.1], np.float32), numbers(-9, 9, 2)),
    )
