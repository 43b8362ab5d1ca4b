"""Small array operations that the index is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIGIT = 16


def stable_argsort(keys: NDArray[Any], bound: int) -> NDArray[np.int64]:
    """The stable ascending order of whole numbers in [0, bound).

    A radix sort in digits of 16 bits, for which numpy has a counting pass: several times faster than comparing.
    """
    order = np.argsort(keys.astype(np.uint16, copy=False), kind="stable")
    shift = _DIGIT
    while (bound - 1) >> shift:
        digit = (keys >> shift).astype(np.uint16)
        order = order.take(np.argsort(digit.take(order), kind="stable"))
        shift += _DIGIT
    return order


def small(numbers: NDArray[Any], bound: int) -> NDArray[Any]:
    """A copy of whole numbers in [0, bound) in the smallest type that sorts fast and holds `bound` too."""
    return numbers.astype(np.uint16 if bound < 1 << _DIGIT else np.uint32 if bound < 1 << 2 * _DIGIT else np.int64)


def run_starts(*keys: NDArray[Any]) -> NDArray[np.int64]:
    """Where each run of equal neighbours begins; of several keys, neighbours that are equal in all."""
    if not len(keys[0]):
        return np.zeros(0, np.int64)
    begins = np.ones(len(keys[0]), np.bool_)
    np.not_equal(keys[0][1:], keys[0][:-1], out=begins[1:])
    for key in keys[1:]:
        begins[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(begins)


def run_lengths(starts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """How long runs are that begin at `starts` and fill `total`."""
    return np.diff(starts, append=np.int64(total))


def rank_in_run(*keys: NDArray[Any]) -> NDArray[np.int64]:
    """For each entry, how many of its run of equal neighbours stand before it; runs as in `run_starts`."""
    starts = run_starts(*keys)
    return np.arange(len(keys[0])) - np.repeat(starts, run_lengths(starts, len(keys[0])))


def best_of_each(
    group: NDArray[np.int64], number: NDArray[Any], score: NDArray[Any], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The `n` entries of each group with the greatest scores, ties by number.

    Returns:
        int64, as many as remain: which entries, by group and from the best on; and the rank of each in its group.
    """
    order = np.lexsort((number, -score, group))
    rank = rank_in_run(group[order])
    kept = rank < n
    return order[kept], rank[kept]


def slices(n: int, size: int) -> Iterator[slice]:
    """The numbers from 0 to n - 1, `size` at a time."""
    return (slice(begin, min(begin + size, n)) for begin in range(0, n, size))


def ragged(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indices starts[i], starts[i] + 1, ..., starts[i] + lengths[i] - 1 for each i, one after the other."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A well-mixed 64-bit hash of each entry (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
