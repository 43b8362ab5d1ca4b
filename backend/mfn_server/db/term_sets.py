"""Which features a term belongs to: sets of numbers as blobs, kept much as Roaring bitmaps keep them.

The features of a run are numbered across its sources and cut into blocks of 65,536. In a block, a set is a list of
numbers, or one bit a feature, or those bits deflated, whichever is shortest; the first byte says which. A word that
stands in every tenth feature takes half a bit a feature, one that stands in three takes seven bytes; either becomes a
mask in microseconds, on any database.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import run_starts

BLOCK = 1 << 16
_U2 = np.dtype("<u2")
_LIST, _BITS, _DEFLATED = b"\0", b"\1", b"\2"
_WORTH_DEFLATING = 64  # a shorter list is not made shorter: a stream costs eleven bytes and its Huffman codes


class TermSet(NamedTuple):
    """One term's set in one block and level."""

    term: int
    block: int
    level: int
    rows: bytes


def pack_rows(rows: NDArray[Any], size: int) -> bytes:
    """A set of distinct numbers below `size` (at most 65,536), ascending, as a blob."""
    listed = _LIST + rows.astype(_U2).tobytes()
    if len(listed) < _WORTH_DEFLATING:
        return listed
    mask = np.zeros(size, np.bool_)
    mask[rows] = True
    bits = np.packbits(mask, bitorder="little").tobytes()
    return min(listed, _BITS + bits, _DEFLATED + zlib.compress(bits, 6), key=len)


def raise_levels(levels: NDArray[np.uint8], blob: bytes, level: int) -> None:
    """Raise the levels of a block's features that are in a set to at least a level, in place.

    Args:
        levels: uint8 [size], of the whole block.
        blob: the set, from `pack_rows` with that size.
        level: the level.

    Raises:
        ValueError: the blob is no set of a block of that size.
    """
    form, body = blob[:1], blob[1:]
    if form == _LIST:
        rows = np.frombuffer(body, _U2)
        if rows.size and rows[-1] >= levels.size:
            raise ValueError(f"{rows[-1]} is in no block of {levels.size}")
        levels[rows] = np.maximum(levels[rows], level)
        return
    if form not in (_BITS, _DEFLATED):
        raise ValueError(f"sets of the form {form!r} are not known")
    try:
        bits = zlib.decompress(body) if form == _DEFLATED else body
    except zlib.error as error:
        raise ValueError(f"deflated bits are damaged: {error}") from error
    if len(bits) != (levels.size + 7) // 8:
        raise ValueError(f"{len(bits)} bytes are not a bit for each of {levels.size}")
    mask = np.unpackbits(np.frombuffer(bits, np.uint8), count=levels.size, bitorder="little")
    np.maximum(levels, mask * np.uint8(level), out=levels)


def term_sets(
    term: NDArray[np.int64], low: NDArray[np.int64], level: NDArray[Any], block: int, size: int
) -> Iterator[TermSet]:
    """The sets of one block, by term and level, in that order.

    Args:
        term: int64 [P], at least 0.
        low: int64 [P], a feature's number in the block. No (term, low) comes twice.
        level: [P], how strongly the term belongs to the feature, 0 to 255. A feature is in the set of one level alone.
        block: the block's number.
        size: how many features it has.
    """
    if not term.size:
        return
    key = (term << 24) | (level.astype(np.int64) << 16) | low
    key.sort()
    group = key >> 16
    begins = run_starts(group)
    heads, ends = group[begins].tolist(), [*begins[1:].tolist(), key.size]
    numbers = key & (BLOCK - 1)
    for head, begin, end in zip(heads, begins.tolist(), ends, strict=True):
        yield TermSet(head >> 8, block, head & 0xFF, pack_rows(numbers[begin:end], size))
