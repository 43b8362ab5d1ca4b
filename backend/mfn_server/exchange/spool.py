"""Arrays and documents in temporary files, so that memory need not hold them."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Spool:
    """A place for temporary files, which are gone with the process, or with the last of the arrays in them.

    Args:
        folder: in which they lie, on a disk with room for all of it; that for temporary files if left out.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def array(self, dtype: np.dtype[Any]) -> SpooledArray:
        """An array to be."""
        return SpooledArray(self._folder, dtype)


class SpooledArray:
    """An array that is written piece by piece."""

    def __init__(self, folder: Path | None, dtype: np.dtype[Any]) -> None:
        self.n = 0
        self._dtype = dtype
        self._file = tempfile.TemporaryFile(dir=folder, prefix="mfn-import-")  # noqa: SIM115 - closed by `get`, or with self
        weakref.finalize(self, self._file.close)

    def append(self, part: NDArray[Any]) -> None:
        """Adds numbers, in the order in which they lie."""
        self._file.write(np.ascontiguousarray(part, self._dtype).tobytes())
        self.n += part.size

    def get(self, shape: Sequence[int]) -> NDArray[Any]:
        """All of it, read from the file where it is looked at. Nothing can be added after that.

        Raises:
            ValueError: there are not as many numbers as the shape has.
        """
        self._file.flush()
        with self._file:
            if not self.n:
                return np.zeros(shape, self._dtype)
            mapped = np.memmap(self._file, self._dtype, "r", shape=(self.n,))
        return np.asarray(mapped).reshape(shape)
