"""An index's arrays as rows. Pure functions: nothing here touches a database."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.types import Contexts, CorpusIndex, LayerIndex
from mfn_server.db.blobs import F2, F4, U1, U4, pack

FEATURE_COLUMNS = (
    "id", "run_id", "source_id", "number", "firing_count", "rate", "maximum", "mean", "histogram", "band_edges",
    "band_counts", "promoted_ids", "promoted_logits", "suppressed_ids", "suppressed_logits", "neighbour_numbers",
    "neighbour_cosines", "token_r2", "half_firings", "cofiring_numbers", "cofiring_lifts", "cofiring_counts",
    "next_ids", "next_shares", "sampled_firings",
)  # fmt: skip
TOKEN_COLUMNS = ("feature_id", "rank", "token_id", "share")
WINDOW_COLUMNS = ("id", "run_id", "document_id", "start", "length")
ACTIVATION_COLUMNS = (
    "feature_id", "kind", "band", "rank", "window_id", "peak", "peak_value", "firing_positions", "firing_values",
)  # fmt: skip


def content_hash(documents: Sequence[NDArray[Any]]) -> str:
    """SHA-256 over all token ids and where documents end."""
    digest = hashlib.sha256()
    for ids in documents:
        digest.update(len(ids).to_bytes(8, "little"))
        digest.update(pack(ids, U4))
    return digest.hexdigest()


def feature_rows(
    layer: LayerIndex, first_id: int, run_id: int, source_id: int, n_tokens: int
) -> Iterator[tuple[Any, ...]]:
    """One row a feature, in FEATURE_COLUMNS; ids count on from `first_id`."""
    blobs: list[tuple[NDArray[Any], np.dtype[Any]]] = [
        (layer.histogram, U4), (layer.band_edges, F4), (layer.band_count, U4),
        (layer.promoted_ids, U4), (layer.promoted_logits, F4),
        (layer.suppressed_ids, U4), (layer.suppressed_logits, F4),
        (layer.neighbour_ids, U4), (layer.neighbour_cos, F4),
    ]  # fmt: skip
    rows_of = [_row_blobs(array, dtype) for array, dtype in blobs]
    counts = layer.firing_count.tolist()
    maxima, means = layer.maximum.tolist(), layer.mean.tolist()
    known = [_known(figures, layer.n_features) for figures in (layer.token_r2, layer.half_firings)]
    known += _listed(layer.cofiring_ids, [(layer.cofiring_lift, F4), (layer.cofiring_joint, U4)], layer.n_features)
    known += _listed(layer.next_token_ids, [(layer.next_token_share, F4)], layer.n_features)
    known.append(_known(layer.sampled_firings, layer.n_features))
    for number, count in enumerate(counts):
        numbers = (first_id + number, run_id, source_id, number, count, count / max(n_tokens, 1))
        blobs_of = (rows[number] for rows in rows_of)
        yield (*numbers, maxima[number], means[number], *blobs_of, *(figures[number] for figures in known))


def _known(figures: NDArray[Any] | None, n: int) -> list[Any]:
    """Figures of `n` features, None where they are NaN or the index has none."""
    return [None] * n if figures is None else [None if figure != figure else figure for figure in figures.tolist()]


def _listed(
    ids: NDArray[Any] | None, figures: list[tuple[NDArray[Any] | None, np.dtype[Any]]], n: int
) -> list[list[Any]]:
    """Lists of ids that end at the first -1, and the figures of each, as blobs; None where the index has none."""
    if ids is None:
        return [[None] * n] * (1 + len(figures))
    lengths = (ids >= 0).sum(1).tolist()
    columns = [(np.maximum(ids, 0), U4), *((array, dtype) for array, dtype in figures if array is not None)]
    return [
        [blob[: length * dtype.itemsize] for blob, length in zip(_row_blobs(array, dtype), lengths, strict=True)]
        for array, dtype in columns
    ]


def _row_blobs(array: NDArray[Any], dtype: np.dtype[Any]) -> list[bytes]:
    """Each row of a 2-D array as a blob."""
    whole = pack(np.ascontiguousarray(array), dtype)
    size = array.shape[1] * dtype.itemsize
    return [whole[start : start + size] for start in range(0, len(array) * size, size)] if size else [b""] * len(array)


def token_rows(layer: LayerIndex, first_id: int) -> Iterator[tuple[int, int, int, float]]:
    """The tokens that features fire on, in TOKEN_COLUMNS. A share of 0 is padding."""
    shares = layer.top_token_share
    for number, rank in np.argwhere(shares > 0).tolist():
        yield first_id + number, rank, int(layer.top_token_ids[number, rank]), float(shares[number, rank])


@dataclass(frozen=True)
class Windows:
    """The document windows that an index shows, each once.

    Attributes:
        document: int64 [W], the document's ordinal.
        start: int64 [W], its first token in the document.
        length: int64 [W], tokens.
        of_context: for each layer, int64 [R]: which window each of its contexts lies in.
    """

    document: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    of_context: list[NDArray[np.int64]]

    def texts(self, documents: Sequence[NDArray[Any]], decode: Callable[[Sequence[int]], str]) -> Iterator[str]:
        """The text of each window."""
        for document, start, length in zip(self.document, self.start, self.length, strict=True):
            yield decode(documents[document][start : start + length].tolist())


def windows_of(index: CorpusIndex) -> Windows:
    """Collect the windows of all contexts of all layers."""
    parts = [
        np.stack([c.document.astype(np.int64), c.start.astype(np.int64), c.length.astype(np.int64)], axis=1)
        for c in (layer.contexts for layer in index.layers)
    ]
    every = np.concatenate(parts) if parts else np.zeros((0, 3), np.int64)
    unique, which = np.unique(every, axis=0, return_inverse=True)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return Windows(unique[:, 0], unique[:, 1], unique[:, 2], np.split(which.reshape(-1).astype(np.int64), ends))


def activation_rows(
    contexts: Contexts, window_of_context: NDArray[np.int64], first_feature_id: int, first_window_id: int
) -> Iterator[tuple[Any, ...]]:
    """One row a context, in ACTIVATION_COLUMNS, in the order of their key, which is also how SQLite stores them."""
    offsets = contexts.offsets.tolist()
    positions, values = pack(contexts.positions, U1), pack(contexts.values, F2)
    columns = [
        (contexts.feature.astype(np.int64) + first_feature_id).tolist(), contexts.kind.tolist(), contexts.band.tolist(),
        contexts.rank.tolist(), (window_of_context + first_window_id).tolist(), contexts.peak.tolist(),
        contexts.peak_value.tolist(),
    ]  # fmt: skip
    for row in range(len(contexts)):
        begin, end = offsets[row], offsets[row + 1]
        yield (*(column[row] for column in columns), positions[begin:end], values[2 * begin : 2 * end])
