"""An index's features as rows, a block of features at a time. Pure functions: nothing here touches a database."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.types import LayerIndex
from mfn_server.db.blobs import F4, U4, pack
from mfn_server.db.varints import pack_rows

FEATURE_COLUMNS = (
    "id", "run_id", "source_id", "number", "firing_count", "rate", "maximum", "mean", "token_r2", "half_firings",
)  # fmt: skip
DETAIL_COLUMNS = (
    "feature_id", "histogram", "band_edges", "band_counts", "token_ids", "token_shares", "promoted_ids",
    "promoted_logits", "suppressed_ids", "suppressed_logits", "neighbour_numbers", "neighbour_cosines",
    "cofiring_numbers", "cofiring_lifts", "cofiring_counts", "next_ids", "next_shares", "sampled_firings",
    "counted_share",
)  # fmt: skip

Rows = Iterator[tuple[Any, ...]]


def content_hash(documents: Sequence[NDArray[Any]]) -> str:
    """SHA-256 over all token ids and where documents end."""
    digest = hashlib.sha256()
    for ids in documents:
        digest.update(len(ids).to_bytes(8, "little"))
        digest.update(pack(ids, U4))
    return digest.hexdigest()


def feature_rows(layer: LayerIndex, block: slice, first_id: int, run_id: int, source_id: int, n_tokens: int) -> Rows:
    """One row a feature, in FEATURE_COLUMNS.

    Args:
        layer: the layer's index.
        block: which of its features, as a slice with begin and end.
        first_id: id of the layer's feature 0.
        run_id, source_id: where they belong.
        n_tokens: tokens of the corpus that count.
    """
    counts = layer.firing_count[block]
    figures = (counts, counts / max(n_tokens, 1), layer.maximum[block], layer.mean[block])
    n = len(counts)
    return zip(
        range(first_id + block.start, first_id + block.start + n),
        [run_id] * n,
        [source_id] * n,
        range(block.start, block.start + n),
        *(array.tolist() for array in figures),
        *(_known(array, block, n) for array in (layer.token_r2, layer.half_firings)),
        strict=True,
    )


def detail_rows(layer: LayerIndex, block: slice, first_id: int) -> Rows:
    """One row a feature, in DETAIL_COLUMNS; see `feature_rows`."""
    n = len(layer.firing_count[block])
    tokens = (layer.top_token_share[block] > 0).sum(1)
    columns: list[Sequence[Any]] = [
        range(first_id + block.start, first_id + block.start + n),
        _ints(layer.histogram[block]),
        _floats(layer.band_edges[block]),
        _ints(layer.band_count[block]),
        _ints(layer.top_token_ids[block], tokens),
        _floats(layer.top_token_share[block], tokens),
        _ints(layer.promoted_ids[block]),
        _floats(layer.promoted_logits[block]),
        _ints(layer.suppressed_ids[block]),
        _floats(layer.suppressed_logits[block]),
        _ints(layer.neighbour_ids[block]),
        _floats(layer.neighbour_cos[block]),
    ]
    columns += _listed(layer.cofiring_ids, (layer.cofiring_lift, layer.cofiring_joint), block, n)
    columns += _listed(layer.next_token_ids, (layer.next_token_share,), block, n)
    columns.append(_known(layer.sampled_firings, block, n))
    columns.append([None if share == 1 else share for share in _known(layer.counted_share, block, n)])
    return zip(*columns, strict=True)


def _known(figures: NDArray[Any] | None, block: slice, n: int) -> list[Any]:
    """Figures of `n` features, None where they are NaN or the index has none."""
    if figures is None:
        return [None] * n
    return [None if figure != figure else figure for figure in figures[block].tolist()]


def _listed(
    ids: NDArray[Any] | None, figures: Sequence[NDArray[Any] | None], block: slice, n: int
) -> list[Sequence[bytes | None]]:
    """Lists of ids that end at the first -1, and the figures of each; None where the index has none."""
    if ids is None:
        return [[None] * n] * (1 + len(figures))
    lengths = (ids[block] >= 0).sum(1)
    arrays = (array[block] for array in (ids, *figures) if array is not None)
    return [(_floats if array.dtype.kind == "f" else _ints)(array, lengths) for array in arrays]


def _ints(array: NDArray[Any], lengths: NDArray[Any] | None = None) -> list[bytes]:
    """Each row of a 2-D array as a blob of ints, or as many of it as its length says."""
    if lengths is None:
        return pack_rows(array.reshape(-1), [array.shape[1]] * len(array))
    return pack_rows(array[np.arange(array.shape[1]) < lengths[:, None]], lengths)


def _floats(array: NDArray[Any], lengths: NDArray[Any] | None = None) -> list[bytes]:
    """Each row of a 2-D array as a blob of f4, or as many of it as its length says."""
    whole, size = pack(np.ascontiguousarray(array), F4), array.shape[1] * F4.itemsize
    ends = [size] * len(array) if lengths is None else (lengths * F4.itemsize).tolist()
    return [whole[row * size : row * size + end] for row, end in enumerate(ends)]
