"""What the weights say of a feature as one small blob, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_server.weights.record import FIGURES

Layout = list[list[Any]]
"""[name, type, shape] of each field of a blob, in their order; types are NumPy's, little-endian."""

_LARGEST = np.float32(np.finfo(np.float16).max)
_ON_THE_MAP = ("pca", "umap")


def packed(arrays: Mapping[str, NDArray[Any]]) -> tuple[Layout, list[bytes]]:
    """The arrays of `arrays_of`, but for the map, feature by feature.

    Whole numbers take as few bytes as the largest of the source needs. Figures of which there is one are f4. Cosines
    and virtual weights are f2: rounded to 11 binary digits, and to ±65504 at most; their order is kept as it was.
    """
    kept = {name: array for name, array in arrays.items() if name not in _ON_THE_MAP}
    fields = [(name, _type(name, array), array.shape[1:]) for name, array in kept.items()]
    rows = np.zeros(len(kept["std"]), np.dtype(fields))
    for name, array in kept.items():
        half = rows.dtype[name].base == np.float16
        rows[name] = array.clip(-_LARGEST, _LARGEST) if half else array
    blob, size = rows.tobytes(), rows.dtype.itemsize
    layout = [[name, kind.str, list(shape)] for name, kind, shape in fields]
    return layout, [blob[at : at + size] for at in range(0, len(blob), size)]


def unpacked(layout: Layout, blobs: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    """The arrays [F, ...] that `packed` took, as wide in memory as they were."""
    rows = np.frombuffer(b"".join(blobs), np.dtype([(name, kind, tuple(shape)) for name, kind, shape in layout]))
    return dict(_widened(rows))


def _widened(rows: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    for name in rows.dtype.names or ():
        wide = np.float32 if rows.dtype[name].base.kind == "f" else np.int16 if name.endswith("_layers") else np.int32
        yield name, rows[name].astype(wide)


def _type(name: str, array: NDArray[Any]) -> np.dtype[Any]:
    if name in (*FIGURES, "agreement"):
        return np.dtype("<f4")
    if array.dtype.kind == "f":
        return np.dtype("<f2")
    if array.size and array.min() < 0:
        raise OverflowError(f"{name} has negative numbers")
    return np.min_scalar_type(int(array.max()) if array.size else 0).newbyteorder("<")
