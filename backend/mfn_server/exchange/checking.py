"""Whether an index that comes from elsewhere fits the model, and itself: nothing in it points to what is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.types import Contexts, CorpusIndex, LayerIndex
from mfn_server.index_file import IndexFileError

_SINGLE = ("firing_count", "mean", "maximum")
_LISTS = ("histogram", "band_edges", "band_count")
_PAIRS = (
    ("promoted_ids", "promoted_logits"),
    ("suppressed_ids", "suppressed_logits"),
    ("neighbour_ids", "neighbour_cos"),
    ("top_token_ids", "top_token_share"),
)
_SAMPLED = (
    ("cofiring_ids", "cofiring_lift"),
    ("cofiring_ids", "cofiring_joint"),
    ("next_token_ids", "next_token_share"),
)
_PERHAPS = ("token_r2", "half_firings", "sampled_firings")  # not in an index from before there were such figures


def check_index(index: CorpusIndex, n_features: Mapping[int, int], vocab_size: int) -> None:
    """Check an index before it is written into a database.

    Args:
        index: of the model, as its fingerprint says.
        n_features: the model's layers, and how many features each has.
        vocab_size: how many token ids there are.

    Raises:
        IndexFileError: the first thing that is wrong.
    """
    if {layer.layer: layer.n_features for layer in index.layers} != dict(n_features):
        raise IndexFileError("the index has other layers, or other numbers of features, than the model")
    if len(index.meta) != len(index.documents):
        raise IndexFileError("the index is damaged: there is not one title for each document")
    for ids in index.documents:
        _within("token ids of documents", ids, vocab_size)
    lengths = np.array([len(ids) for ids in index.documents], np.int64)
    for layer in index.layers:
        _check_arrays(layer, vocab_size)
        _check_contexts(layer, lengths)


def _check_arrays(layer: LayerIndex, vocab_size: int) -> None:
    known = [name for name in _PERHAPS if getattr(layer, name) is not None]
    pairs = [*_PAIRS, *(_SAMPLED if layer.sampled_tokens is not None else ())]
    for name in (*_SINGLE, *known, *_LISTS, *(name for pair in pairs for name in pair)):
        array: NDArray[Any] | None = getattr(layer, name)
        axes = 1 if name in (*_SINGLE, *known) else 2
        if array is None or array.ndim != axes or len(array) != layer.n_features:
            raise _damaged(f"{name} of layer {layer.layer} is not of {layer.n_features} features")
    if any(getattr(layer, ids).shape != getattr(layer, amounts).shape for ids, amounts in pairs):
        raise _damaged(f"layer {layer.layer} has ids without their figures")
    if (
        layer.histogram.shape[1] + 1 != len(layer.bin_edges)
        or layer.band_count.shape[1] + 1 != layer.band_edges.shape[1]
    ):
        raise _damaged(f"layer {layer.layer} has bins without edges")
    _within("promoted_ids", layer.promoted_ids, vocab_size)
    _within("suppressed_ids", layer.suppressed_ids, vocab_size)
    _within("top_token_ids", layer.top_token_ids, vocab_size, least=-1)
    _within("neighbour_ids", layer.neighbour_ids, layer.n_features)
    if layer.cofiring_ids is not None and layer.next_token_ids is not None:
        _within("cofiring_ids", layer.cofiring_ids, layer.n_features, least=-1)
        _within("next_token_ids", layer.next_token_ids, vocab_size, least=-1)


def _check_contexts(layer: LayerIndex, document_lengths: NDArray[np.int64]) -> None:
    contexts: Contexts = layer.contexts
    if (
        contexts.offsets[0] != 0
        or (np.diff(contexts.offsets) < 0).any()
        or contexts.offsets[-1] != len(contexts.values)
    ):
        raise _damaged(f"firings of layer {layer.layer} are cut wrongly")
    _within("features of contexts", contexts.feature, layer.n_features)
    _within("kinds of contexts", contexts.kind, 2)
    _within("bands of contexts", contexts.band, layer.band_count.shape[1])
    _within("documents of contexts", contexts.document, len(document_lengths))
    _within("peaks", contexts.peak, contexts.length)
    _within("positions of firings", contexts.positions, np.repeat(contexts.length, np.diff(contexts.offsets)))
    ends = contexts.start.astype(np.int64) + contexts.length
    _within("windows", contexts.start, document_lengths[contexts.document])
    _within("windows", ends, document_lengths[contexts.document] + 1)


def _within(what: str, values: NDArray[Any], end: int | NDArray[Any], least: int = 0) -> None:
    """Whether values lie from `least` up to, and without, `end`."""
    if ((values < least) | (values >= end)).any():
        raise _damaged(f"{what} lie outside of what there is")


def _damaged(what: str) -> IndexFileError:
    return IndexFileError(f"the index is damaged: {what}")
