"""Documents become forward batches of fixed shapes, cut so that each token counts exactly once.

A document longer than a row is cut into chunks. Every chunk after the first begins with text that was counted before
(one window of it, the beginning-of-text token in its first place), so that no counted token stands at the start of a
row without context (ours). Rows are padded on the right to whole windows and batched with rows of the same padded
length. With causal attention nothing reads padding, so no mask is needed, and no token sees another document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.accumulator import WindowBatch
from mfn_core.indexing.token_sample import NO_TOKEN


@dataclass(frozen=True)
class ForwardBatch:
    """One forward pass of B rows and T tokens, hence of B · T / L windows of L tokens.

    Attributes:
        input_ids: int64 [B, T].
        grid: int64 [W], which of its windows count.
        windows: where these lie.
    """

    input_ids: NDArray[np.int64]
    grid: NDArray[np.int64]
    windows: WindowBatch


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
        waiting: dict[int, list[_Row]] = {}
        for ordinal, ids in documents:
            for row in self._rows(ordinal, ids):
                length = -(-len(row.ids) // self.window) * self.window
                rows = waiting.setdefault(length, [])
                rows.append(row)
                if len(rows) == self._height(length):
                    yield self._batch(waiting.pop(length), length)
        for length in sorted(waiting):
            yield self._batch(waiting[length], length)

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
        # The last batch of a length is filled up with empty rows: the shape of a batch is the same all through.
        ids = np.zeros((self._height(length), length), np.int64)
        following = np.full(ids.shape, NO_TOKEN, np.int64)
        counted = np.zeros(ids.shape, np.bool_)
        document = np.full((len(ids), length // self.window), -1, np.int64)
        start = np.zeros_like(document)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = row.ids
            following[i, : len(row.ids)] = np.append(row.ids[1:].astype(np.int64), row.after)
            counted[i, max(row.lead, int(row.start == 0)) : len(row.ids)] = True
            first = row.lead // self.window
            document[i, first:] = row.document
            start[i, first:] = row.start + self.window * np.arange(document.shape[1] - first)
        grid = np.flatnonzero(document >= 0)
        by_window = (-1, self.window)
        windows = WindowBatch(
            document.reshape(-1)[grid],
            start.reshape(-1)[grid],
            ids.reshape(by_window)[grid],
            following.reshape(by_window)[grid],
            counted.reshape(by_window)[grid],
        )
        return ForwardBatch(ids, grid, windows)
