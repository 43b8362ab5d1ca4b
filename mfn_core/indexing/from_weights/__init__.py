"""What the weights alone say of every feature of every layer: logits, neighbours, agreement, connections, a map."""

from typing import TYPE_CHECKING

from mfn_core.lazy import names_of

if TYPE_CHECKING:
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

_MODULES = {
    "describe": "describe_weights draw_map",
    "foremost": "WeightFacts weight_facts",
    "types": "Connections LayerWeights Links LogitFacts MapPlaces Neighbours Progress WeightSettings",
}
__getattr__ = names_of(__name__, _MODULES)
