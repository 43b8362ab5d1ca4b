"""What the weights alone say of every feature of every layer: logits, neighbours, agreement, connections, a map."""

from mfn_core.indexing.from_weights.describe import describe_weights
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
    "WeightSettings",
    "describe_weights",
]
