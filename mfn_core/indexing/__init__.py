"""One pass over a corpus: what every feature of every layer fires on, exactly, as plain arrays."""

from mfn_core.indexing.build import IndexState, build_index, collect, index_tokens
from mfn_core.indexing.from_weights import WeightFacts, weight_facts
from mfn_core.indexing.types import ContextKind, Contexts, CorpusIndex, IndexSettings, LayerIndex

__all__ = [
    "ContextKind",
    "Contexts",
    "CorpusIndex",
    "IndexSettings",
    "IndexState",
    "LayerIndex",
    "WeightFacts",
    "build_index",
    "collect",
    "index_tokens",
    "weight_facts",
]
