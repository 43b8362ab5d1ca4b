"""Arrays as blobs: little-endian, without header; the column's documentation names the type."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

U1, U4, I8, F2, F4, F8 = (np.dtype(name) for name in ("<u1", "<u4", "<i8", "<f2", "<f4", "<f8"))


def pack(array: NDArray[Any], dtype: np.dtype[Any]) -> bytes:
    """The array's bytes in `dtype`. Raises OverflowError where a whole number does not fit."""
    if dtype.kind == "u" and array.size:
        limit = np.iinfo(dtype).max
        if array.min() < 0 or array.max() > limit:
            raise OverflowError(f"values from {array.min()} to {array.max()} do not fit {dtype}")
    return array.astype(dtype).tobytes()


def unpack(blob: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The array that `pack` wrote, read-only."""
    return np.frombuffer(blob, dtype)
