"""Search by meaning: which features are near a query in the space that was fitted when the corpus was indexed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, select

from mfn_server.db.browse_store import MEANING, read_column
from mfn_server.db.meaning import DIMENSIONS
from mfn_server.db.search import search_words
from mfn_server.db.tables import WordVector
from mfn_server.features.columns import Columns
from mfn_server.features.edition import ShownSource
from mfn_server.features.names import Names

CONTEXTS_COUNT = 0.7
"""How much nearness of a feature's contexts counts beside nearness of its label, which says what it is (ours)."""

_ROWS_AT_ONCE = 8_192
_WORDS_AT_ONCE = 500
_Key = tuple[ShownSource, ...]

_WORDS = select(WordVector.word, WordVector.weight, WordVector.direction).where(
    WordVector.run_id == bindparam("run_id"), WordVector.word.in_(bindparam("words", expanding=True))
)


class Meanings:
    """What search by meaning needs of the features that are shown: 130 bytes each, read when it is first asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: _Key | None = None
        self._directions: NDArray[np.int8] = np.zeros((0, DIMENSIONS), np.int8)
        self._lengths: NDArray[np.float32] = np.zeros(0, np.float32)
        self._labels: OrderedDict[tuple[int, str], NDArray[np.float32]] = OrderedDict()

    def scores_of(
        self, connection: Connection, key: _Key, columns: Columns, names: Names, query: str
    ) -> NDArray[np.float32]:
        """How near each feature is to a query: float32 [n], 0 where nothing is known of it or of the query.

        The cosine of its label, where that is positive, and `CONTEXTS_COUNT` times that of its contexts.
        """
        scores = np.zeros(columns.n, np.float32)
        with self._lock:
            directions, lengths = self._features(connection, key, columns)
        words = search_words(query)
        for run_id in columns.runs:
            vector = _sum(words, _vectors(connection, run_id, words))
            if not vector.any():
                continue
            near = np.concatenate([part.astype(np.float32) @ vector for part in _parts(directions)])
            with self._lock:
                of_labels = self._label_vectors(connection, run_id, names.texts) @ vector
            found = CONTEXTS_COUNT * near / lengths
            labelled = names.place >= 0
            found[labelled] += np.maximum(of_labels[names.place[labelled]], 0)
            for place in columns.places:
                if place.source.run_id == run_id:
                    scores[place.begin : place.end] = found[place.begin : place.end]
        return np.maximum(scores, 0)

    def _features(
        self, connection: Connection, key: _Key, columns: Columns
    ) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        if key != self._key:
            directions = np.zeros((columns.n, DIMENSIONS), np.int8)
            for place in columns.places:
                part = read_column(connection, place.source.run_id, place.source.id, MEANING)
                if part is not None:
                    directions[place.begin : place.end] = part
            each = [np.linalg.norm(part.astype(np.float32), axis=1) for part in _parts(directions)]
            lengths = np.maximum(np.concatenate([np.zeros(0, np.float32), *each]), 1)  # 0 where nothing is known
            self._key, self._directions, self._lengths = key, directions, lengths
            self._labels.clear()
        return self._directions, self._lengths

    def _label_vectors(self, connection: Connection, run_id: int, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of labels: [texts, 128]. Those of before are kept, so that a new label costs one."""
        new = {text: search_words(text) for text in texts if (run_id, text) not in self._labels}
        if new:
            vectors = _vectors(connection, run_id, (word for words in new.values() for word in words))
            self._labels.update({(run_id, text): _sum(words, vectors) for text, words in new.items()})
        listed = [self._labels[run_id, text] for text in texts]
        return np.stack(listed) if listed else np.zeros((0, DIMENSIONS), np.float32)


def vector_of(connection: Connection, run_id: int, words: Sequence[str]) -> NDArray[np.float32] | None:
    """Where the words of a text lie in the space of a run's corpus: float32 [128], a unit vector; None if nowhere."""
    vector = _sum(words, _vectors(connection, run_id, words))
    return vector if vector.any() else None


def _parts(directions: NDArray[np.int8]) -> list[NDArray[np.int8]]:
    """Pieces that fit a cache once they are float32."""
    return [directions[begin : begin + _ROWS_AT_ONCE] for begin in range(0, len(directions), _ROWS_AT_ONCE)]


def _vectors(connection: Connection, run_id: int, words: Iterable[str]) -> dict[str, NDArray[np.float32]]:
    """The vectors of those words that have one."""
    wanted = sorted(set(words))
    found: dict[str, NDArray[np.float32]] = {}
    for begin in range(0, len(wanted), _WORDS_AT_ONCE):
        part = {"run_id": run_id, "words": wanted[begin : begin + _WORDS_AT_ONCE]}
        for word, weight, direction in connection.execute(_WORDS, part):
            vector = np.frombuffer(direction, np.int8).astype(np.float32)
            found[word] = vector * (weight / max(float(np.linalg.norm(vector)), 1))
    return found


def _sum(words: Iterable[str], vectors: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """The direction of a text: a unit vector, 0 where none of its words has one."""
    total = np.zeros(DIMENSIONS, np.float32)
    for word in words:
        if word in vectors:
            total += vectors[word]
    length = float(np.linalg.norm(total))
    return total / length if length else total
