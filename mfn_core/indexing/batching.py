"""Documents become forward batches of fixed shapes, cut so that each token counts exactly once.

A document longer than a row is cut into chunks. Every chunk after the first begins with text that was counted before
(one window of it, the beginning-of-text token in its first place), so that no counted token stands at the start of a
row without context (ours). Rows are put in order of their length, `POOL` tokens at a time, and batched with rows of
about the same length, so that padding costs next to nothing; it stands on the right. With causal attention nothing
reads padding, so no mask is needed, and no token sees another document.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.accumulator import WindowBatch
from mfn_core.indexing.token_sample import NO_TOKEN

POOL = 1 << 18
"""Tokens that are put in order of their rows' length at once: the more, the less padding (ours)."""

ROUND = 8
"""Lengths of batches are multiples of it, so that there are few shapes (ours)."""


@dataclass(frozen=True)
class ForwardBatch:
    """One forward pass of B rows and T tokens, in which lie W windows of L tokens.

    Attributes:
        input_ids: int64 [B, T].
        places: int64 [W, L], which of the batch's B · T tokens stands where; 0 beyond the end of a row, which does not
            count.
        windows: where these lie.
        lengths: int64 [B], tokens of each row; what is beyond is padding.
    """

    input_ids: NDArray[np.int64]
    places: NDArray[np.int64]
    windows: WindowBatch
    lengths: NDArray[np.int64]

    def in_windows(self, x: NDArray[Any]) -> NDArray[Any]:
        """What belongs to tokens, by window: [B, T, n] → [W, L, n]."""
        return x.reshape(-1, x.shape[-1]).take(self.places.reshape(-1), axis=0).reshape(*self.places.shape, -1)


@dataclass(frozen=True)
class _Row:
    """Part of a document for one row: `ids` begins `lead` tokens before the first counted token, `start`.

    `after` is the token that comes after the last, of the next row if that begins there; `NO_TOKEN` at the end.
    """

    document: int
    ids: NDArray[Any]
    after: int
    lead: int
    start: int


class Batcher:
    """Cuts and batches documents.

    Args:
        seq_len: tokens a row at most; a multiple of `window`, at least two of them.
        window: L, tokens a window.
        batch_rows: rows of a batch at full length; batches of shorter rows have as many tokens.
        bos: the beginning-of-text token, or None where the model has none.
    """

    def __init__(self, seq_len: int, window: int, batch_rows: int, bos: int | None) -> None:
        assert seq_len % window == 0
        assert seq_len >= 2 * window
        self.seq_len = seq_len
        self.window = window
        self.batch_tokens = batch_rows * self.seq_len
        self.bos = bos

    def batches(self, documents: Iterable[tuple[int, NDArray[Any]]]) -> Iterator[ForwardBatch]:
        """Batches of documents, which come as (ordinal in the corpus, token ids)."""
        waiting: list[_Row] = []
        n_waiting = 0
        for ordinal, ids in documents:
            for row in self._rows(ordinal, ids):
                waiting.append(row)
                n_waiting += len(row.ids)
            if n_waiting >= POOL:
                waiting = yield from self._full_batches(waiting)
                n_waiting = sum(len(row.ids) for row in waiting)
        rest = yield from self._full_batches(waiting)
        if rest:
            yield self._batch(rest, self._length(rest[0]))

    def _full_batches(self, rows: list[_Row]) -> Generator[ForwardBatch, None, list[_Row]]:
        """Batches of rows by length, the longest first; gives back the rows that are too few for another."""
        rows = sorted(rows, key=lambda row: -len(row.ids))
        while rows and len(rows) >= (height := self._height(length := self._length(rows[0]))):
            yield self._batch(rows[:height], length)
            rows = rows[height:]
        return rows

    def _length(self, longest: _Row) -> int:
        return min(-(-len(longest.ids) // ROUND) * ROUND, self.seq_len)

    def _height(self, length: int) -> int:
        return max(1, self.batch_tokens // length)

    def _rows(self, ordinal: int, ids: NDArray[Any]) -> Iterator[_Row]:
        def after(end: int) -> int:
            return int(ids[end]) if end < len(ids) else NO_TOKEN

        if len(ids) > 1:  # the first position counts in nothing
            yield _Row(ordinal, ids[: self.seq_len], after(self.seq_len), 0, 0)
        for start in range(self.seq_len, len(ids), self.seq_len - self.window):
            end = start + self.seq_len - self.window
            part = ids[start - self.window : end]
            if self.bos is not None:
                part = np.concatenate([np.array([self.bos], part.dtype), part[1:]])
            yield _Row(ordinal, part, after(end), self.window, start)

    def _batch(self, rows: list[_Row], length: int) -> ForwardBatch:
        # Where rows are too few the rest is empty: batches of a length have the same shape all through.
        height, wide = self._height(length), -(-length // self.window) * self.window
        ids = np.zeros((height, wide), np.int64)
        following = np.full(ids.shape, NO_TOKEN, np.int64)
        counted = np.zeros(ids.shape, np.bool_)
        places = np.zeros_like(ids)
        places[:, :length] = np.arange(height * length).reshape(height, length)
        document = np.full((height, wide // self.window), -1, np.int64)
        start = np.zeros_like(document)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = row.ids
            following[i, : len(row.ids)] = np.append(row.ids[1:].astype(np.int64), row.after)
            counted[i, max(row.lead, int(row.start == 0)) : len(row.ids)] = True
            inside = slice(row.lead // self.window, -(-len(row.ids) // self.window))
            document[i, inside] = row.document
            start[i, inside] = row.start + self.window * np.arange(inside.stop - inside.start)
        which = np.flatnonzero(document >= 0)

        def by_window(x: NDArray[Any]) -> NDArray[Any]:
            return x.reshape(-1, self.window)[which]

        windows = WindowBatch(
            document.reshape(-1)[which],
            start.reshape(-1)[which],
            by_window(ids),
            by_window(following),
            by_window(counted),
        )
        lengths = np.zeros(height, np.int64)
        lengths[: len(rows)] = [len(row.ids) for row in rows]
        return ForwardBatch(np.ascontiguousarray(ids[:, :length]), by_window(places), windows, lengths)
