"""What each feature's direction adds to the logits: the tokens at both ends, and the distribution over all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfn_core.indexing.from_weights.extremes import CHUNK, largest
from mfn_core.indexing.from_weights.types import LogitFacts, WeightSettings


def logit_facts(
    written: Tensor,
    lens: Tensor,
    settings: WeightSettings,
    chunk: int = CHUNK,
    tell: Callable[[int], None] | None = None,
) -> LogitFacts:
    """The direct lens of F features over a vocabulary of V, from one product in blocks of features.

    Costs F·V·d multiply-adds and some ten passes over F·V numbers. Memory beyond the arguments and the result: some
    eight blocks.

    Args:
        written: [F, d], what the features write.
        lens: float32 [V, d], centred over the vocabulary: `centred_lens`.
        settings: how many tokens, which bins.
        chunk: entries of one block.
        tell: called with the number of features that are done, after each block.
    """
    edges = bin_edges(settings)
    at = torch.from_numpy(edges).to(lens.device)
    blocks: list[tuple[Tensor, ...]] = []
    done = 0
    for directions in torch.split(written, max(1, chunk // len(lens))):
        logits = directions.float() @ lens.t()
        figures = (*_foremost(logits, settings.n_logits), *distribution(logits, at))
        blocks.append(tuple(figure.cpu() for figure in figures))
        done += len(directions)
        if tell:
            tell(done)
    arrays = [*_joined(blocks), edges]
    return LogitFacts(*arrays)


def foremost_tokens(written: Tensor, lens: Tensor, n: int, chunk: int = CHUNK) -> list[NDArray[Any]]:
    """The tokens at both ends alone: the first four of `LogitFacts`, arguments as for `logit_facts`."""
    blocks = []
    for directions in torch.split(written, max(1, chunk // len(lens))):
        blocks.append(tuple(figure.cpu() for figure in _foremost(directions.float() @ lens.t(), n)))
    return _joined(blocks)


def _foremost(logits: Tensor, n: int) -> tuple[Tensor, ...]:
    promoted, promoted_ids = largest(logits, n)
    suppressed, suppressed_ids = largest(-logits, n)
    return promoted_ids.int(), promoted, suppressed_ids.int(), -suppressed


def _joined(blocks: list[tuple[Tensor, ...]]) -> list[NDArray[Any]]:
    return [torch.cat(figure).numpy() for figure in zip(*blocks, strict=True)]


def bin_edges(settings: WeightSettings) -> NDArray[np.float32]:
    """float32 [H + 1]: equal bins around 0, in standard deviations."""
    return np.linspace(-settings.hist_reach, settings.hist_reach, settings.hist_bins + 1, dtype=np.float32)


def distribution(logits: Tensor, edges: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Standard deviation, skewness, excess kurtosis and histogram of each row.

    Args:
        logits: [R, V], each row of mean 0.
        edges: [H + 1], in standard deviations.

    Returns:
        float32 [R] three times and int32 [R, H], as `LogitFacts` describes them.
    """
    std = logits.square().mean(-1).sqrt()
    unit = logits / std.clamp(min=torch.finfo(std.dtype).tiny)[:, None]
    cube = unit.square().mul_(unit)
    moves = std > 0
    skewness = cube.mean(-1).where(moves, torch.nan)
    kurtosis = cube.mul_(unit).mean(-1).sub_(3).where(moves, torch.nan)
    bins = bins_of(unit, edges)
    histogram = torch.zeros(len(logits), len(edges) - 1, dtype=torch.int32, device=logits.device)
    histogram.scatter_add_(1, bins, histogram.new_ones(1, 1).expand_as(bins))
    return std, skewness, kurtosis, histogram


def bins_of(x: Tensor, edges: Tensor) -> Tensor:
    """Which of H equal bins each number falls into: int64, as `torch.bucketize` says, at a fraction of its cost.

    Args:
        x: any shape.
        edges: [H + 1], equal steps to both sides of 0. A bin includes its lower edge; the first and the last take in
            all that lies outside.
    """
    n_bins = len(edges) - 1
    # Arithmetic may be off by rounding at an edge, hence by one bin at most, which the edges then put right.
    guess = (x * (n_bins / (edges[-1] - edges[0])) + n_bins / 2).floor_().clamp_(0, n_bins - 1).long()
    guess += (x >= edges[guess + 1]).long()
    guess -= (x < edges[guess.clamp(max=n_bins - 1)]).long()
    return guess.clamp_(0, n_bins - 1)
