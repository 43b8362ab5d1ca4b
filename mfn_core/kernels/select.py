"""The K largest entries of each row, exactly, at a fraction of `torch.topk`'s time on a CPU.

`torch.topk` looks at every entry of a row through a heap. Here a row is first reduced to the maxima of blocks of eight
entries, which is one pass at the speed of memory. The K-th largest of maxima of disjoint sets is a lower bound on the
K-th largest entry of the row: K entries at least reach it. What lies below the bound cannot be among the K largest, and
only a few more than K entries do not; among them `torch.topk` decides.

On a GPU `torch.topk` decides alone, unless the environment variable MFN_TRITON is 1: then it is `triton_select`, which
has been compared with it in Triton's interpreter, and not yet timed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

BLOCK = 8  # entries to a block; a block's members lie F / BLOCK apart, so that maxima are taken of whole vectors
MIN_ENTRIES = 1 << 18  # below, a dozen small operations cost more than they save
MIN_WIDTH_OVER_K = 64  # F/K; below, too much of a row survives
MAX_SURVIVING = 0.25  # share of blocks; above (many ties, NaN), sorting out survivors costs more than it saves
TRITON_MAX_K = 256


_screens = True


@contextmanager
def whole_rows() -> Iterator[None]:
    """Within, the order of a row's entries depends on the row alone: none is screened together with others."""
    global _screens
    before, _screens = _screens, False
    try:
        yield
    finally:
        _screens = before


def largest(pre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Values and indices of the K largest entries along the last dimension, in no order.

    The values are those that `torch.topk` gives, bit for bit. Where several entries tie for the last places, which of
    them are chosen is open, here as there. NaN counts as larger than any number, as there.

    Args:
        pre: [..., F]. The gradient flows to the chosen entries.
        k: K, at most F.

    Returns:
        [..., K] in the dtype of `pre`, and int64 [..., K], distinct within a row.
    """
    if _worth_screening(pre, k):
        choose = _screened
    elif _wants_triton(pre, k):
        from mfn_core.kernels.triton_select import largest_rows as choose
    else:
        values, indices = torch.topk(pre, k, dim=-1, sorted=False)
        return values, indices
    rows = pre.detach().reshape(-1, pre.shape[-1])
    indices = choose(rows, k).view(*pre.shape[:-1], k)
    return pre.gather(-1, indices), indices


def _worth_screening(pre: Tensor, k: int) -> bool:
    n_features = pre.shape[-1]
    return (
        _screens
        and pre.device.type == "cpu"
        and pre.dtype.is_floating_point
        and pre.numel() >= MIN_ENTRIES
        and n_features % BLOCK == 0
        and n_features >= MIN_WIDTH_OVER_K * k
        and not torch.compiler.is_compiling()  # how many survive decides the shapes within
    )


def _wants_triton(pre: Tensor, k: int) -> bool:
    return (
        os.environ.get("MFN_TRITON") == "1"
        and pre.is_cuda
        and pre.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and pre.shape[-1] >= 4 * TRITON_MAX_K
        and k <= TRITON_MAX_K
        and not torch.compiler.is_compiling()
    )


@torch.no_grad()
def _screened(pre: Tensor, k: int) -> Tensor:
    """int64 [N, K]: where the K largest entries of each row of [N, F] stand."""
    n_rows, n_features = pre.shape
    n_blocks = n_features // BLOCK
    maxima = pre.view(n_rows, BLOCK, n_blocks).amax(1)
    bound = _lower_bound(maxima, k)
    # "Not less" instead of "at least": comparisons with NaN are false, and NaN is to survive.
    blocks = (maxima < bound).logical_not_().view(-1).nonzero().squeeze(1)
    if len(blocks) > MAX_SURVIVING * maxima.numel():
        return torch.topk(pre, k, dim=-1, sorted=False).indices
    row_of_block = blocks // n_blocks
    members = torch.arange(0, n_features, n_blocks)
    places = (blocks + row_of_block * (n_features - n_blocks))[:, None] + members
    entries = pre.reshape(-1).take(places)
    survives = (entries < bound.view(-1).index_select(0, row_of_block)[:, None]).logical_not_()
    survivors = survives.view(-1).nonzero().squeeze(1)  # by row, since blocks are
    row = row_of_block.index_select(0, survivors // BLOCK)
    feature = places.view(-1).index_select(0, survivors) - row * n_features
    counts = torch.bincount(row, minlength=n_rows)
    width = int(counts.max())
    # Each row's survivors side by side. The rest of the row is −∞, and is never chosen: at least K survive, and where
    # −∞ is among them the bound is −∞ and the whole row survives.
    taken = torch.arange(width) < counts[:, None]
    values = pre.new_full((n_rows, width), -torch.inf)
    values.masked_scatter_(taken, entries.view(-1).index_select(0, survivors))
    features = feature.new_zeros((n_rows, width)).masked_scatter_(taken, feature)
    return features.gather(1, torch.topk(values, k, dim=-1, sorted=False).indices)


def _lower_bound(maxima: Tensor, k: int) -> Tensor:
    """[N, 1]: a bound on the K-th largest entry of each row, from maxima [N, n] of disjoint parts of it.

    The K-th largest maximum of coarser parts, 4 K of them where there are enough: looser than the K-th largest of all
    n, and found in less time than it saves.
    """
    n_rows, n_blocks = maxima.shape
    coarse = n_blocks // (4 * k)
    if coarse >= 2:
        maxima = maxima[:, : coarse * 4 * k].view(n_rows, coarse, 4 * k).amax(1)
    return torch.topk(maxima, k, dim=-1, sorted=False).values.amin(-1, keepdim=True)
