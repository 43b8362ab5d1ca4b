"""An index's contexts as rows: of each feature, of each window, of each token. Pure functions, as in `index_rows`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import ragged, run_lengths, run_starts, slices
from mfn_core.indexing.types import MAX_WINDOW, ContextKind, Contexts, CorpusIndex
from mfn_server.db.blobs import F2, F4, U1, pack
from mfn_server.db.index_rows import Rows
from mfn_server.db.varints import pack_rows

TOP_COLUMNS = ("feature_id", "windows", "firings", "peaks", "peak_values", "positions", "values")
SAMPLED_COLUMNS = ("feature_id", "bands", "windows", "firings", "peaks", "peak_values", "positions", "values")
WINDOW_COLUMNS = ("id", "run_id", "document_id", "start", "length")
POSTING_COLUMNS = ("run_id", "token_id", "features", "shares")

_CONTEXTS = 1 << 20  # looked at together


@dataclass(frozen=True)
class Windows:
    """The document windows that an index shows, each once; a window's ordinal is its place here.

    What it takes grows with the windows, of which a corpus has so many, and not with the contexts that lie in them.

    Attributes:
        document: int64 [W], the document's ordinal.
        start: int64 [W], its first token in the document.
        length: int64 [W], tokens.
        places: int64 [P], ascending, where windows begin, see `_places`; more than one may begin there.
        keys: int64 [W], ascending: the window's number in `places` × (MAX_WINDOW + 1) + its length.
    """

    document: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    places: NDArray[np.int64]
    keys: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.document)

    def of(self, contexts: Contexts, rows: slice) -> NDArray[np.int64]:
        """int64, as many as there are rows: which window each of these contexts lies in."""
        return np.searchsorted(self.keys, _keys(contexts, rows, self.places))

    def texts(
        self, block: slice, documents: Sequence[NDArray[Any]], decode: Callable[[Sequence[int]], str]
    ) -> Iterator[str]:
        """The text of each window of a block."""
        places = zip(self.document[block], self.start[block], self.length[block], strict=True)
        for document, start, length in places:
            yield decode(documents[document][start : start + length].tolist())


def windows_of(index: CorpusIndex) -> Windows:
    """Collect the windows of all contexts of all layers, in the order of the corpus."""
    places = _distinct(_places(contexts, rows) for contexts, rows in _blocks(index))
    keys = _distinct(_keys(contexts, rows, places) for contexts, rows in _blocks(index))
    place, length = np.divmod(keys, MAX_WINDOW + 1)
    return Windows(places[place] >> 32, places[place] & 0xFFFFFFFF, length, places, keys)


def _blocks(index: CorpusIndex) -> Iterator[tuple[Contexts, slice]]:
    return ((layer.contexts, rows) for layer in index.layers for rows in slices(len(layer.contexts), _CONTEXTS))


def _places(contexts: Contexts, rows: slice) -> NDArray[np.int64]:
    """Where each of these contexts' windows begins: as whole numbers that sort as (document, start) do."""
    return (contexts.document[rows].astype(np.int64) << 32) | contexts.start[rows].astype(np.int64)


def _keys(contexts: Contexts, rows: slice, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers that sort as (document, start, length) do: see `Windows.keys`."""
    place = np.searchsorted(places, _places(contexts, rows))
    return place * (MAX_WINDOW + 1) + contexts.length[rows].astype(np.int64)


def _distinct(blocks: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The distinct numbers of many blocks, ascending."""
    found, parts, waiting = np.zeros(0, np.int64), [], 0
    for block in blocks:
        parts.append(np.unique(block))
        waiting += len(parts[-1])
        if waiting > max(len(found), _CONTEXTS):
            found, parts, waiting = np.unique(np.concatenate([found, *parts])), [], 0
    return np.unique(np.concatenate([found, *parts]))


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
    tokens, features, shares = [np.zeros(0, np.int32)], [np.zeros(0, np.uint32)], [np.zeros(0, np.float32)]
    first = 0
    for layer in index.layers:
        rows, ranks = np.nonzero(layer.top_token_share > 0)
        tokens.append(layer.top_token_ids[rows, ranks].astype(np.int32))
        features.append((rows + first).astype(np.uint32))
        shares.append(layer.top_token_share[rows, ranks])
        first += layer.n_features
    token, feature, share = np.concatenate(tokens), np.concatenate(features), np.concatenate(shares)
    order = np.argsort(token, kind="stable")  # features ascend already
    token, feature, share = token[order], feature[order], share[order]
    starts = run_starts(token)
    listed, counts = token[starts], run_lengths(starts, len(token))
    weights, ends = pack(np.maximum(np.rint(share * 255), 1), U1), np.cumsum(counts).tolist()
    bounds = zip([0, *ends[:-1]], ends, strict=True) if ends else []
    blobs = _postings(starts, feature, counts)
    shared = [weights[begin:end] for begin, end in bounds]
    return zip([run_id] * len(listed), listed.tolist(), blobs, shared, strict=True)


def _postings(begins: NDArray[np.int64], feature: NDArray[np.uint32], counts: NDArray[np.int64]) -> list[bytes]:
    """Lists of ascending features, one a token, as each one's distance from the last.

    Args:
        begins: int64 [n], where each list begins.
        feature: [p], ascending within a list.
        counts: int64 [n], how many each list has.
    """
    steps = np.diff(feature.astype(np.int64), prepend=0)
    steps[begins] = feature[begins]
    return pack_rows(steps, counts)


def top_rows(contexts: Contexts, windows: Windows, block: slice, first_id: int) -> Rows:
    """One row a feature that has strongest contexts, in TOP_COLUMNS.

    Args:
        contexts: of a layer.
        windows: of the index.
        block: which features, as a slice with begin and end.
        first_id: id of the layer's feature 0.
    """
    return _context_rows(contexts, windows, block, first_id, ContextKind.TOP)


def sampled_rows(contexts: Contexts, windows: Windows, block: slice, first_id: int) -> Rows:
    """One row a feature that has samples, in SAMPLED_COLUMNS; see `top_rows`."""
    return _context_rows(contexts, windows, block, first_id, ContextKind.BAND)


def _context_rows(c: Contexts, windows: Windows, block: slice, first_id: int, kind: ContextKind) -> Rows:
    rows = c.rows_of(block.start, block.stop)
    of_kind = np.flatnonzero(c.kind[rows] == kind)
    chosen = rows.start + of_kind
    sizes = c.offsets[chosen + 1] - c.offsets[chosen]
    # firings of one kind lie apart in the layer's arrays wherever the other kind comes between
    firing = ragged(c.offsets[chosen], sizes)
    features, counts = np.unique(c.feature[chosen], return_counts=True)
    ends = np.cumsum(counts)
    fired = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])[ends]
    columns = [
        pack_rows(windows.of(c, rows)[of_kind], counts),
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
