"""The K largest entries of each row on a GPU, exactly, in two reads of the row.

The same idea as on the CPU (`select`), one program a row: maxima of disjoint parts give a lower bound on the K-th
largest entry, and the few entries that reach it are sorted out among themselves. Numbers are compared as integers of
the same order, so that the K-th largest is found bit by bit and ties are exact. Imported only where Triton is.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mfn_core.kernels.select import TRITON_MAX_K

PARTS = 4 * TRITON_MAX_K  # disjoint parts of a row whose maxima give the bound: enough that it is close


@triton.jit
def _ordered(value):
    """int32 of the same order as float32; NaN above all, both zeros alike."""
    value = tl.where(value == 0.0, 0.0, value)
    bits = value.to(tl.int32, bitcast=True)
    bits = tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return tl.where(value != value, 0x7FFFFFFF, bits)


@triton.jit
def _kth_largest(keys, k):
    """The K-th largest of a block of int32, by deciding one bit after the other: the largest t that K keys reach."""
    enough = tl.sum((keys >= 0).to(tl.int32)) >= k
    t = tl.where(enough, 0, -2147483648).to(tl.int32)
    for i in tl.static_range(31):
        higher = t | (1 << (30 - i))
        t = tl.where(tl.sum((keys >= higher).to(tl.int32)) >= k, higher, t)
    return t


@triton.jit
def _largest(pre, indices, n_features, k, PARTS: tl.constexpr, ROOM: tl.constexpr, candidates, numbers, counts):
    row = tl.program_id(0).to(tl.int64)
    pre += row * n_features
    candidates += row * ROOM
    numbers += row * ROOM
    part = tl.arange(0, PARTS)
    maxima = tl.full((PARTS,), -2147483648, tl.int32)
    for begin in range(0, n_features, PARTS):
        at = begin + part
        entry = tl.load(pre + at, mask=at < n_features, other=float("-inf")).to(tl.float32)
        maxima = tl.maximum(maxima, tl.where(at < n_features, _ordered(entry), -2147483648))
    bound = _kth_largest(maxima, k)
    found = tl.sum(tl.zeros((PARTS,), tl.int32))
    for begin in range(0, n_features, PARTS):
        at = begin + part
        entry = tl.load(pre + at, mask=at < n_features, other=float("-inf")).to(tl.float32)
        key = _ordered(entry)
        reaches = (key >= bound) & (at < n_features)
        place = found + tl.cumsum(reaches.to(tl.int32), 0) - 1
        tl.store(candidates + place, key, mask=reaches & (place < ROOM))
        tl.store(numbers + place, at, mask=reaches & (place < ROOM))
        found += tl.sum(reaches.to(tl.int32))
    tl.store(counts + row, found)
    tl.debug_barrier()
    slot = tl.arange(0, ROOM)
    held = slot < tl.where(found <= ROOM, found, 0)  # where there is no room for all, the caller sees to the row
    key = tl.where(held, tl.load(candidates + slot, mask=held, other=0), -2147483648)
    kth = _kth_largest(key, k)
    above = held & (key > kth)
    ties = held & (key == kth)
    n_above = tl.sum(above.to(tl.int32))
    first = tl.cumsum(above.to(tl.int32), 0) - 1
    then = n_above + tl.cumsum(ties.to(tl.int32), 0) - 1
    place = tl.where(above, first, then)
    chosen = above | (ties & (then < k))
    number = tl.load(numbers + slot, mask=held, other=0)
    tl.store(indices + row * k + place, number.to(tl.int64), mask=chosen)


def largest_rows(pre: Tensor, k: int) -> Tensor:
    """Where the K largest entries of each row stand, in no order.

    Args:
        pre: [N, F], float32 or narrower, on the GPU; F of at least `PARTS`.
        k: K, at most `TRITON_MAX_K`.

    Returns:
        int64 [N, K], distinct within a row.
    """
    pre = pre.contiguous()
    n_rows, n_features = pre.shape
    room = 4 * triton.next_power_of_2(max(k, 16))
    indices = torch.empty((n_rows, k), dtype=torch.int64, device=pre.device)
    candidates, numbers = torch.empty((2, n_rows, room), dtype=torch.int32, device=pre.device)
    counts = torch.empty(n_rows, dtype=torch.int32, device=pre.device)
    _largest[(n_rows,)](pre, indices, n_features, k, PARTS, room, candidates, numbers, counts)
    crowded = (counts > room).nonzero().squeeze(1)  # many ties, or very uneven rows
    if len(crowded):
        indices[crowded] = torch.topk(pre[crowded], k, dim=-1, sorted=False).indices
    return indices
