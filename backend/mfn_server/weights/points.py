"""The map as bytes: what a program draws from without parsing numbers out of text.

`MFNMAP1\\n`, the length of the head as a little-endian uint32, the head as JSON in UTF-8 (`MapPointsHead`), then the
columns. Each stands where the head says, at a multiple of 4 bytes from the beginning, little-endian.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfn_server.weights.map import MapChoice, MapColumns, head_of
from mfn_server.weights.schemas import MapColumn, MapPointsHead

MEDIA_TYPE = "application/vnd.mfn.map"
MAGIC = b"MFNMAP1\n"
_STEP = 4


def as_bytes(choice: MapChoice, columns: MapColumns) -> bytes:
    """The answer's body."""
    arrays: dict[str, NDArray[np.generic]] = {
        name: array.astype(array.dtype.newbyteorder("<"), copy=False) for name, array in vars(columns).items()
    }
    described, offset = [], 0
    for name, array in arrays.items():
        described.append(MapColumn(name=name, type=array.dtype.str, offset=offset))
        offset += _rounded(array.nbytes)
    head = MapPointsHead(**head_of(choice, columns), columns=described).model_dump_json().encode()
    begin = len(MAGIC) + 4
    head += b" " * (_rounded(begin + len(head)) - begin - len(head))
    parts = [MAGIC, len(head).to_bytes(4, "little"), head]
    for array in arrays.values():
        parts += [array.tobytes(), bytes(_rounded(array.nbytes) - array.nbytes)]
    return b"".join(parts)


def _rounded(n: int) -> int:
    return -(-n // _STEP) * _STEP
