"""Whether an index that comes from elsewhere fits the model, and itself.

Nothing in it points to what is not there, and all of it can be kept in a database and shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import slices
from mfn_core.indexing.types import MAX_WINDOW, Contexts, CorpusIndex, LayerIndex
from mfn_server.exchange.parts import some_contexts
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
_PERHAPS = ("token_r2", "half_firings", "counted_share", "sampled_firings")  # not in every index
_FIRINGS = ("positions", "values")  # of contexts: one entry a firing
_ROWS = 1 << 16  # looked at together, so that what is compared with them takes little memory
_STRENGTHS = ("peak_value", "values")  # of contexts; all else there is whole numbers


def check_index(index: CorpusIndex, n_features: Mapping[int, int], vocab_size: int) -> None:
    """Check an index before it is written into a database.

    Args:
        index: of the model, as its fingerprint says.
        n_features: the model's layers, and how many features each has.
        vocab_size: how many token ids there are.

    Raises:
        IndexFileError: the first thing that is wrong.
    """
    found = {layer.layer: layer.n_features for layer in index.layers}
    if found != dict(n_features) or len(found) != len(index.layers):
        raise IndexFileError("the index has other layers, or other numbers of features, than the model")
    if len(index.meta) != len(index.documents) or not all(isinstance(entry, dict) for entry in index.meta):
        raise _damaged("there is not one title for each document")
    for ids in index.documents:
        _within("token ids of documents", ids, vocab_size)
    lengths = np.fromiter(map(len, index.documents), np.int64, len(index.documents))
    for layer in index.layers:
        _check_arrays(layer, vocab_size)
        _check_contexts(layer, lengths)


def _check_arrays(layer: LayerIndex, vocab_size: int) -> None:
    known = [name for name in _PERHAPS if getattr(layer, name) is not None]
    sampled = any(getattr(layer, name) is not None for name in ("sampled_tokens", *(ids for ids, _ in _SAMPLED)))
    pairs = [*_PAIRS, *(_SAMPLED if sampled else ())]
    for name in (*_SINGLE, *known, *_LISTS, *(name for pair in pairs for name in pair)):
        array: NDArray[Any] | None = getattr(layer, name)
        axes = 1 if name in (*_SINGLE, *known) else 2
        if array is None or array.ndim != axes or len(array) != layer.n_features:
            raise _damaged(f"{name} of layer {layer.layer} is not of {layer.n_features} features")
        _numbers(f"{name} of layer {layer.layer}", array, gaps=name == "token_r2")
    if any(getattr(layer, ids).shape != getattr(layer, amounts).shape for ids, amounts in pairs):
        raise _damaged(f"layer {layer.layer} has ids without their figures")
    if layer.counted_share is not None and ((layer.counted_share < 0) | (layer.counted_share > 1)).any():
        raise _damaged(f"counted_share of layer {layer.layer} is no share")
    if not isinstance(layer.sampled_tokens, int | None):
        raise _damaged(f"sampled_tokens of layer {layer.layer} is no number")
    _numbers(f"bin_edges of layer {layer.layer}", layer.bin_edges)
    if (
        layer.histogram.shape[1] + 1 != layer.bin_edges.size
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
    for ids, amounts in pairs:
        for part in slices(layer.n_features, _ROWS):
            none = getattr(layer, ids)[part] < 0
            if (none[:, :-1] & ~none[:, 1:]).any() or getattr(layer, amounts)[part][none].any():
                raise _damaged(f"{ids} of layer {layer.layer} has gaps, or {amounts} where there is nothing")


def _check_contexts(layer: LayerIndex, document_lengths: NDArray[np.int64]) -> None:
    contexts: Contexts = layer.contexts
    rows, firings = contexts.feature.size, contexts.values.size
    for name in (field.name for field in fields(Contexts)):
        array: NDArray[Any] = getattr(contexts, name)
        if array.shape != (firings if name in _FIRINGS else rows + (name == "offsets"),):
            raise _damaged(f"{name} of contexts of layer {layer.layer} are more or fewer than there are")
        _numbers(f"{name} of contexts of layer {layer.layer}", array, whole=name not in _STRENGTHS)
    if contexts.offsets[0] != 0 or contexts.offsets[-1] != firings:
        raise _damaged(f"firings of layer {layer.layer} are cut wrongly")
    for part in slices(rows, _ROWS):
        begin = max(part.start - 1, 0)  # with the last of the part before, which stands in an order, too
        if (np.diff(contexts.offsets[begin : part.stop + 1]) < 0).any():
            raise _damaged(f"firings of layer {layer.layer} are cut wrongly")
        _check_rows(layer, some_contexts(contexts, begin, part.stop), rows, document_lengths)


def _check_rows(layer: LayerIndex, contexts: Contexts, rows: int, document_lengths: NDArray[np.int64]) -> None:
    """Some contexts that follow each other, of so many `rows` in all."""
    _within("features of contexts", contexts.feature, layer.n_features)
    _within("kinds of contexts", contexts.kind, 2)
    _within("bands of contexts", contexts.band, layer.band_count.shape[1])
    _within("ranks of contexts", contexts.rank, rows)
    _within("documents of contexts", contexts.document, len(document_lengths))
    _within("windows", contexts.length, MAX_WINDOW + 1)
    _within("peaks", contexts.peak, contexts.length)
    _within("positions of firings", contexts.positions, np.repeat(contexts.length, np.diff(contexts.offsets)))
    ends = contexts.start.astype(np.int64) + contexts.length
    _within("windows", contexts.start, document_lengths[contexts.document])
    _within("windows", ends, document_lengths[contexts.document] + 1)
    place = contexts.feature.astype(np.int64)
    for column, size in ((contexts.kind, 2), (contexts.band, layer.band_count.shape[1]), (contexts.rank, rows)):
        place = place * size + column
    if (np.diff(place) <= 0).any():
        raise _damaged(f"contexts of layer {layer.layer} are not in order of feature, kind, band and rank")


def _numbers(what: str, array: NDArray[Any], whole: bool = False, gaps: bool = False) -> None:
    """Whether these are numbers, and none of them infinite; NaN only where there may be `gaps`."""
    if array.dtype.kind not in ("iu" if whole else "iuf"):
        raise _damaged(f"{what} are no{' whole' if whole else ''} numbers")
    for part in slices(len(array), _ROWS):
        if (np.isinf(array[part]) if gaps else ~np.isfinite(array[part])).any():
            raise _damaged(f"{what} are not all finite")


def _within(what: str, values: NDArray[Any], end: int | NDArray[Any], least: int = 0) -> None:
    """Whether values are whole numbers from `least` up to, and without, `end`."""
    _numbers(what, values, whole=True)
    for part in slices(len(values), _ROWS):
        if ((values[part] < least) | (values[part] >= (end[part] if isinstance(end, np.ndarray) else end))).any():
            raise _damaged(f"{what} lie outside of what there is")


def _damaged(what: str) -> IndexFileError:
    return IndexFileError(f"the index is damaged: {what}")
