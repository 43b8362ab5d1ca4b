"""An index's contexts as rows: of each feature, of each window, of each token. Pure functions, as in `index_rows`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import ragged
from mfn_core.indexing.types import MAX_WINDOW, ContextKind, Contexts, CorpusIndex
from mfn_server.db.blobs import F2, F4, U1, pack
from mfn_server.db.index_rows import Rows
from mfn_server.db.varints import pack_rows

TOP_COLUMNS = ("feature_id", "windows", "firings", "peaks", "peak_values", "positions", "values")
SAMPLED_COLUMNS = ("feature_id", "bands", "windows", "firings", "peaks", "peak_values", "positions", "values")
WINDOW_COLUMNS = ("id", "run_id", "document_id", "start", "length")
POSTING_COLUMNS = ("run_id", "token_id", "features", "shares")


@dataclass(frozen=True)
class Windows:
    """The document windows that an index shows, each once; a window's ordinal is its place here.

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

    def __len__(self) -> int:
        return len(self.document)

    def texts(
        self, block: slice, documents: Sequence[NDArray[Any]], decode: Callable[[Sequence[int]], str]
    ) -> Iterator[str]:
        """The text of each window of a block."""
        places = zip(self.document[block], self.start[block], self.length[block], strict=True)
        for document, start, length in places:
            yield decode(documents[document][start : start + length].tolist())


def windows_of(index: CorpusIndex) -> Windows:
    """Collect the windows of all contexts of all layers, in the order of the corpus."""
    contexts = [layer.contexts for layer in index.layers]
    document, start, length = (
        np.concatenate([np.zeros(0, np.int64), *(getattr(c, name).astype(np.int64) for c in contexts)])
        for name in ("document", "start", "length")
    )
    # by whole numbers, since np.unique over rows sorts them as bytes, five times as slowly
    _, place = np.unique(document * (start.max(initial=0) + 1) + start, return_inverse=True)
    _, first, which = np.unique(place.reshape(-1) * (MAX_WINDOW + 1) + length, return_index=True, return_inverse=True)
    ends = np.cumsum([len(c) for c in contexts])[:-1]
    return Windows(document[first], start[first], length[first], np.split(which.reshape(-1).astype(np.int64), ends))


def window_rows(windows: Windows, block: slice, first_id: int, run_id: int, first_document: int) -> Rows:
    """One row a window of a block, in WINDOW_COLUMNS.

    Args:
        windows: all of the index.
        block: which of them, as a slice with begin and end.
        first_id: id of the first window of all.
        run_id: where they belong.
        first_document: id of the corpus's first document.
    """
    begin = first_id + block.start
    documents = (windows.document[block] + first_document).tolist()
    n = len(documents)
    figures = (documents, windows.start[block].tolist(), windows.length[block].tolist())
    return zip(range(begin, begin + n), [run_id] * n, *figures, strict=True)


def posting_rows(index: CorpusIndex, run_id: int) -> Rows:
    """One row a token that any feature fires on most, in POSTING_COLUMNS."""
    tokens, features, shares = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    first = 0
    for layer in index.layers:
        rows, ranks = np.nonzero(layer.top_token_share > 0)
        tokens.append(layer.top_token_ids[rows, ranks].astype(np.int64))
        features.append(rows + first)
        shares.append(layer.top_token_share[rows, ranks])
        first += layer.n_features
    token, feature, share = np.concatenate(tokens), np.concatenate(features), np.concatenate(shares)
    order = np.lexsort((feature, token))
    token, feature, share = token[order], feature[order], share[order]
    listed, place, counts = np.unique(token, return_inverse=True, return_counts=True)
    weights, ends = pack(np.maximum(np.rint(share * 255), 1), U1), np.cumsum(counts).tolist()
    bounds = zip([0, *ends[:-1]], ends, strict=True) if ends else []
    blobs = _postings(place.reshape(-1), feature, len(listed))
    shared = [weights[begin:end] for begin, end in bounds]
    return zip([run_id] * len(listed), listed.tolist(), blobs, shared, strict=True)


def _postings(owner: NDArray[np.int64], feature: NDArray[np.int64], n: int) -> list[bytes]:
    """Lists of ascending features, one an owner, as each one's distance from the last.

    Args:
        owner: int64 [p], from 0 to n - 1, ascending.
        feature: int64 [p], ascending within an owner.
        n: how many lists.
    """
    steps = np.diff(feature, prepend=0)
    begins = np.flatnonzero(np.diff(owner, prepend=-1))
    steps[begins] = feature[begins]
    return pack_rows(steps, np.bincount(owner, minlength=n))


def top_rows(contexts: Contexts, windows: NDArray[np.int64], block: slice, first_id: int) -> Rows:
    """One row a feature that has strongest contexts, in TOP_COLUMNS.

    Args:
        contexts: of a layer.
        windows: int64 [R], which window each lies in.
        block: which features, as a slice with begin and end.
        first_id: id of the layer's feature 0.
    """
    return _context_rows(contexts, windows, block, first_id, ContextKind.TOP)


def sampled_rows(contexts: Contexts, windows: NDArray[np.int64], block: slice, first_id: int) -> Rows:
    """One row a feature that has samples, in SAMPLED_COLUMNS; see `top_rows`."""
    return _context_rows(contexts, windows, block, first_id, ContextKind.BAND)


def _context_rows(c: Contexts, windows: NDArray[np.int64], block: slice, first_id: int, kind: ContextKind) -> Rows:
    begin, end = np.searchsorted(c.feature, [block.start, block.stop]).tolist()
    chosen = begin + np.flatnonzero(c.kind[begin:end] == kind)
    sizes = c.offsets[chosen + 1] - c.offsets[chosen]
    # firings of one kind lie apart in the layer's arrays wherever the other kind comes between
    firing = ragged(c.offsets[chosen], sizes)
    features, counts = np.unique(c.feature[chosen], return_counts=True)
    ends = np.cumsum(counts)
    fired = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])[ends]
    columns = [
        pack_rows(windows[chosen], counts),
        pack_rows(sizes, counts),
        _cut(pack(c.peak[chosen], U1), ends),
        _cut(pack(c.peak_value[chosen], F4), ends * F4.itemsize),
        _cut(pack(c.positions[firing], U1), fired),
        _cut(pack(c.values[firing], F2), fired * F2.itemsize),
    ]
    if kind == ContextKind.BAND:
        columns.insert(0, _cut(pack(c.band[chosen], U1), ends))
    return zip((features.astype(np.int64) + first_id).tolist(), *columns, strict=True)


def _cut(whole: bytes, ends: NDArray[np.int64]) -> list[bytes]:
    stops = ends.tolist()
    return [whole[begin:end] for begin, end in zip([0, *stops[:-1]], stops, strict=True)] if stops else []
