"""Rows of `TopContexts` and `SampledContexts` as arrays again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row

from mfn_server.db.blobs import F2, F4, U1, unpack
from mfn_server.db.varints import unpack_rows


@dataclass(frozen=True)
class StoredContext:
    """A feature in a window.

    Attributes:
        window: the window's ordinal in its run.
        band: the band that it is a sample of, 0 for one of the strongest.
        peak: where in the window the feature fires most strongly.
        peak_value: how strongly.
        positions: where in the window it fires, ascending.
        values: how strongly there.
    """

    window: int
    band: int
    peak: int
    peak_value: float
    positions: list[int]
    values: list[float]


@dataclass(frozen=True)
class ContextColumns:
    """The contexts of many rows, one after the other: R contexts with nnz firings.

    Attributes:
        count: int64 [rows], how many contexts each row has.
        window: int64 [R].
        band: u1 [R].
        peak: u1 [R].
        peak_value: f4 [R].
        offsets: int64 [R + 1], where each context's firings begin.
        positions: u1 [nnz].
        values: f2 [nnz].
    """

    count: NDArray[np.int64]
    window: NDArray[np.int64]
    band: NDArray[np.uint8]
    peak: NDArray[np.uint8]
    peak_value: NDArray[np.float32]
    offsets: NDArray[np.int64]
    positions: NDArray[np.uint8]
    values: NDArray[np.float16]

    @classmethod
    def of(cls, rows: Sequence[Row[Any]]) -> ContextColumns:
        """From rows of either table."""
        window, begins = unpack_rows([row.windows for row in rows])
        firings, _ = unpack_rows([row.firings for row in rows])

        def joined(column: str, dtype: np.dtype[Any]) -> NDArray[Any]:
            return unpack(b"".join(getattr(row, column) for row in rows), dtype)

        sampled = bool(rows) and hasattr(rows[0], "bands")
        return cls(
            count=np.diff(begins),
            window=window,
            band=joined("bands", U1) if sampled else np.zeros(len(window), np.uint8),
            peak=joined("peaks", U1),
            peak_value=joined("peak_values", F4),
            offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(firings)]),
            positions=joined("positions", U1),
            values=joined("values", F2),
        )

    def __iter__(self) -> Iterator[StoredContext]:
        return self.only(np.arange(len(self.window)))

    def only(self, chosen: NDArray[np.int64]) -> Iterator[StoredContext]:
        """Some of the contexts, by their places among the R."""
        figures = (array[chosen].tolist() for array in (self.window, self.band, self.peak, self.peak_value))
        bounds = (self.offsets[chosen].tolist(), self.offsets[chosen + 1].tolist())
        for window, band, peak, peak_value, begin, end in zip(*figures, *bounds, strict=True):
            firings = self.positions[begin:end].tolist(), self.values[begin:end].tolist()
            yield StoredContext(window, band, peak, peak_value, *firings)
