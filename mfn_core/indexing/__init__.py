"""One pass over a corpus: what every feature of every layer fires on, exactly, as plain arrays."""

from typing import TYPE_CHECKING

from mfn_core.lazy import names_of

if TYPE_CHECKING:
    from mfn_core.indexing.build import build_index, collect, index_tokens
    from mfn_core.indexing.checkpoint import forget_work
    from mfn_core.indexing.feeds import CorpusChangedError
    from mfn_core.indexing.from_weights import WeightFacts, weight_facts
    from mfn_core.indexing.state import IndexState
    from mfn_core.indexing.types import ContextKind, Contexts, CorpusIndex, IndexSettings, LayerIndex

__all__ = [
    "ContextKind",
    "Contexts",
    "CorpusChangedError",
    "CorpusIndex",
    "IndexSettings",
    "IndexState",
    "LayerIndex",
    "WeightFacts",
    "build_index",
    "collect",
    "forget_work",
    "index_tokens",
    "weight_facts",
]

_MODULES = {
    "build": "build_index collect index_tokens",
    "checkpoint": "forget_work",
    "from_weights": "WeightFacts weight_facts",
    "feeds": "CorpusChangedError",
    "state": "IndexState",
    "types": "ContextKind Contexts CorpusIndex IndexSettings LayerIndex",
}
__getattr__ = names_of(__name__, _MODULES)
