"""Whole numbers in as few bytes as they need: LEB128, seven bits a byte, the lowest first, the top bit set on all but
the last. Ids, numbers and counts are mostly small, and a blob of them then takes a half to a quarter of its u4 size.

Everything is done for many rows at once, since a call of numpy costs more than a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BITS = 7
_MORE = 1 << _BITS
_LONGEST = 9  # bytes: 63 bits, all that is not negative in int64


def pack_rows(values: NDArray[Any], lengths: NDArray[Any] | Sequence[int]) -> list[bytes]:
    """Numbers row after row as one blob a row.

    Args:
        values: [n] whole numbers from 0 to 2⁶³ - 1.
        lengths: how many of them belong to each row; they sum to n.

    Raises:
        OverflowError: a number is negative or too large.
    """
    if values.size and (values.min() < 0 or values.max() > np.iinfo(np.int64).max):
        raise OverflowError(f"values from {values.min()} to {values.max()} do not fit 63 bits")
    numbers = values.astype(np.int64)
    sizes = np.ones(len(numbers), np.int64)
    for length in range(1, _LONGEST):
        longer = numbers >= 1 << (_BITS * length)
        if not longer.any():
            break
        sizes += longer
    ends = np.cumsum(sizes)
    out = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    begins = ends - sizes
    for place in range(int(sizes.max(initial=0))):
        has = slice(None) if place == 0 else np.flatnonzero(sizes > place)
        part = numbers[has] >> (_BITS * place) & (_MORE - 1)
        out[begins[has] + place] = part | np.where(sizes[has] > place + 1, _MORE, 0)
    last = np.cumsum(np.asarray(lengths, np.int64))
    stops = np.concatenate([np.zeros(1, np.int64), ends])[last].tolist()
    whole = out.tobytes()
    return [whole[begin:end] for begin, end in zip([0, *stops[:-1]], stops, strict=True)] if stops else []


def unpack_ints(blob: bytes) -> NDArray[np.int64]:
    """The numbers of a blob. Raises ValueError where it ends within one."""
    raw = np.frombuffer(blob, np.uint8)
    ends = np.flatnonzero(raw < _MORE)
    if not len(raw):
        return np.zeros(0, np.int64)
    if not len(ends) or ends[-1] != len(raw) - 1:
        raise ValueError("a blob of numbers is cut short")
    begins = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    place = np.arange(len(raw)) - np.repeat(begins, ends - begins + 1)
    return np.add.reduceat((raw & (_MORE - 1)).astype(np.int64) << (_BITS * place), begins)


def unpack_rows(blobs: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of many blobs, one after the other, and where each blob's begin: [n] and [rows + 1].

    Raises:
        ValueError: a blob ends within a number.
    """
    if any(blob[-1:] >= b"\x80" for blob in blobs):
        raise ValueError("a blob of numbers is cut short")
    whole = b"".join(blobs)
    counted = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.frombuffer(whole, np.uint8) < _MORE)])
    return unpack_ints(whole), counted[np.cumsum([0, *map(len, blobs)])]


def split_rows(blobs: Sequence[bytes]) -> list[list[int]]:
    """The numbers of many blobs, blob by blob."""
    values, begins = unpack_rows(blobs)
    listed, bounds = values.tolist(), begins.tolist()
    return [listed[begin:end] for begin, end in pairwise(bounds)]
