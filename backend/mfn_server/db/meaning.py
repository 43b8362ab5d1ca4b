"""Vectors for search by meaning: latent semantic analysis of the corpus, with features and words in one space.

Windows that features show are documents, their words (and those of the document's title and tags) are terms. Terms that
stand in similar windows get similar vectors: the first right singular vectors of the matrix of unit tf-idf rows
(Deerwester et al. 1990), by a randomised SVD (Halko et al. 2011, algorithm 4.4). A feature is the sum of its contexts'
vectors, each as strong as the feature fires in it; a query or a label is the sum of its words'. Nothing but the model's
own codes and the corpus goes in, so what the corpus does not speak of cannot be found this way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import slices
from mfn_core.indexing.types import LayerIndex
from mfn_server.db.browse_build import Terms
from mfn_server.db.context_rows import Windows

DIMENSIONS = 128
MOST_WORDS = 1 << 15
FEWEST_WINDOWS = 2
"""A word that stands in fewer windows has no vector: nothing can be said of what it is like."""

_FITTED_WINDOWS = 200_000
_OVERSAMPLING, _ITERATIONS = 16, 4
_CONTEXTS_AT_ONCE = 4_096
_KEPT_WINDOWS = 1 << 20


@dataclass(frozen=True)
class WordVectors:
    """Words in the space.

    Attributes:
        number: int32 [names], of each of `Terms.names` its row here, -1 without one.
        vectors: float32 [words, 128], of unit length times the word's weight, its inverse document frequency.
    """

    number: NDArray[np.int32]
    vectors: NDArray[np.float32]


def fit_words(terms: Terms) -> WordVectors | None:
    """Fit vectors of words to windows. None where there are too few words or windows to tell anything.

    Args:
        terms: the words of each window.
    """
    n_windows, n_names = len(terms.offsets) - 1, len(terms.names)
    frequency = np.bincount(terms.ids, minlength=n_names)
    by_frequency = np.argsort(-frequency, kind="stable")[:MOST_WORDS]
    chosen = np.sort(by_frequency[frequency[by_frequency] >= FEWEST_WINDOWS])
    rank = min(DIMENSIONS, len(chosen) - 1, n_windows - 1)
    if rank < 1:
        return None
    number = np.full(n_names, -1, np.int32)
    number[chosen] = np.arange(len(chosen), dtype=np.int32)
    weight = np.log(n_windows / frequency[chosen]).astype(np.float32)
    fitted = np.arange(0, n_windows, -(-n_windows // _FITTED_WINDOWS))
    counts, ids = terms.of_many(fitted)
    row, column = np.repeat(np.arange(len(fitted)), counts), number[ids]
    row, column = row[column >= 0], column[column >= 0].astype(np.int64)
    squares = np.bincount(row, weight[column].astype(np.float64) ** 2, len(fitted))
    value = weight[column] / np.sqrt(np.maximum(squares, 1e-12))[row]
    right = _right_singular_vectors(row, column, value.astype(np.float32), (len(fitted), len(chosen)), rank)
    vectors = np.zeros((len(chosen), DIMENSIONS), np.float32)
    vectors[:, :rank] = _unit(right) * weight[:, None]
    return WordVectors(number, vectors)


def _right_singular_vectors(
    row: NDArray[Any], column: NDArray[Any], value: NDArray[np.float32], shape: tuple[int, int], rank: int
) -> NDArray[np.float32]:
    """The first right singular vectors [columns, rank] of a sparse matrix; the same for the same matrix."""
    import torch  # the web server, which imports this module for its constants, does without

    place = torch.from_numpy(np.stack([row, column]))
    matrix = torch.sparse_coo_tensor(place, torch.from_numpy(value), shape, check_invariants=True).coalesce()
    transposed = matrix.t().coalesce()
    width = min(rank + _OVERSAMPLING, *shape)
    found = matrix @ torch.randn(shape[1], width, generator=torch.Generator().manual_seed(0))
    for _ in range(_ITERATIONS):
        left = torch.linalg.qr(found).Q
        found = matrix @ torch.linalg.qr(transposed @ left).Q
    left = torch.linalg.qr(found).Q
    vectors: NDArray[np.float32] = torch.linalg.svd(transposed @ left, full_matrices=False).U[:, :rank].numpy()
    return vectors


class WindowVectors:
    """Unit vectors of windows. Those of up to a million windows are kept, since many contexts share one."""

    def __init__(self, terms: Terms, words: WordVectors, kept: int = _KEPT_WINDOWS) -> None:
        self._terms, self._words = terms, words
        n = len(terms.offsets) - 1
        self._all: NDArray[np.float32] | None = None
        if n <= kept:
            parts = (self._made(np.arange(b, min(b + _CONTEXTS_AT_ONCE, n))) for b in range(0, n, _CONTEXTS_AT_ONCE))
            self._all = np.concatenate([np.zeros((0, DIMENSIONS), np.float32), *parts])

    def of(self, windows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Those of some windows: [windows, 128]; 0 where no word of one has a vector."""
        return self._made(windows) if self._all is None else self._all[windows]

    def _made(self, windows: NDArray[np.int64]) -> NDArray[np.float32]:
        return _unit(_sums_of_words(windows, self._terms, self._words))


def feature_vectors(layer: LayerIndex, windows: Windows, vectors: WindowVectors) -> NDArray[np.int8]:
    """Directions of a layer's features: int8 [F, 128], each scaled so that its largest entry is 127; 0 without words.

    Args:
        layer: the layer.
        windows: of the index.
        vectors: of all windows.
    """
    contexts = layer.contexts
    sums = np.zeros((layer.n_features, DIMENSIONS), np.float32)
    for part in slices(len(contexts), _CONTEXTS_AT_ONCE):
        feature = contexts.feature[part].astype(np.int64)
        strength = contexts.peak_value[part] / np.maximum(layer.maximum[feature], np.finfo(np.float32).tiny)
        unit = vectors.of(windows.of(contexts, part))
        # contexts are in the order of features: one sum for each stretch of the same
        firsts = np.flatnonzero(np.diff(feature, prepend=-1))
        sums[feature[firsts]] += np.add.reduceat(unit * strength[:, None], firsts, axis=0)
    return quantised(sums)


def _sums_of_words(windows: NDArray[np.int64], terms: Terms, words: WordVectors) -> NDArray[np.float32]:
    """The sum of the vectors of each window's words: [windows, 128]."""
    counts, ids = terms.of_many(windows)
    number = words.number[ids]
    owner = np.repeat(np.arange(len(windows)), counts)[number >= 0]
    sums = np.zeros((len(windows), DIMENSIONS), np.float32)
    if len(owner):
        firsts = np.flatnonzero(np.diff(owner, prepend=-1))
        sums[owner[firsts]] = np.add.reduceat(words.vectors[number[number >= 0]], firsts, axis=0)
    return sums


def quantised(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Directions in a byte a dimension."""
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    directions: NDArray[np.int8] = np.rint(vectors * (127 / np.maximum(largest, 1e-12))).astype(np.int8)
    return directions


def word_rows(run_id: int, names: Sequence[str], words: WordVectors) -> Iterator[tuple[int, str, float, bytes]]:
    """One row a word that has a vector, in WORD_COLUMNS."""
    length = np.linalg.norm(words.vectors, axis=1)
    directions = quantised(words.vectors)
    for place in np.flatnonzero(words.number >= 0).tolist():
        number = int(words.number[place])
        yield run_id, names[place], float(length[number]), directions[number].tobytes()


WORD_COLUMNS = ("run_id", "word", "weight", "direction")


def about_document(meta: Mapping[str, Any], tags: Sequence[str]) -> str:
    """What is said of a document beside its text."""
    return " ".join([str(meta.get("title") or ""), *tags])


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit
