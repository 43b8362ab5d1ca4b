"""What the weights alone say of every feature of every layer: logits, neighbours, agreement, connections, a map."""

from mfn_core.indexing.from_weights.describe import describe_weights, draw_map
from mfn_core.indexing.from_weights.foremost import WeightFacts, weight_facts
from mfn_core.indexing.from_weights.types import (
    Connections,
    LayerWeights,
    Links,
    LogitFacts,
    MapPlaces,
    Neighbours,
    Progress,
    WeightSettings,
)

__all__ = [
    "Connections",
    "LayerWeights",
    "Links",
    "LogitFacts",
    "MapPlaces",
    "Neighbours",
    "Progress",
    "WeightFacts",
    "WeightSettings",
    "describe_weights",
    "draw_map",
    "weight_facts",
]
