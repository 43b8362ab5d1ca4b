"""What a feature's firing says about a concept."""

from __future__ import annotations

import torch
from torch import Tensor


def mutual_information(hits: Tensor, fired: Tensor, instances: Tensor, total: Tensor | int) -> Tensor:
    """Bits that knowing whether a feature fires says about whether a token is an instance of a concept.

    I(A; B) of two binary variables from their counts, float64, never below 0. As an estimate it is too great by about
    1 / (2 · total · ln 2) bits. The arguments broadcast.

    Args:
        hits: instances on which the feature fires.
        fired: tokens on which it fires.
        instances: tokens that are instances.
        total: tokens.
    """
    a, b, both = fired.double(), instances.double(), hits.double()
    n = torch.as_tensor(total, device=a.device).double()
    found = _term(both, a, b, n) + _term(a - both, a, n - b, n)
    found = found + _term(b - both, n - a, b, n) + _term(n - a - b + both, n - a, n - b, n)
    return found.clamp_min(0.0)


def _term(cell: Tensor, row: Tensor, column: Tensor, total: Tensor) -> Tensor:
    """p log₂(p / (p_row p_column)) of one cell; 0 where the cell is empty."""
    ratio = torch.where(cell > 0, cell * total / (row * column).clamp_min(1e-300), 1.0)
    return cell / total * ratio.log2()


def entropy(instances: Tensor, total: Tensor | int) -> Tensor:
    """Bits of not knowing whether a token is an instance: the most that `mutual_information` can be."""
    p = instances.double() / torch.as_tensor(total, device=instances.device).double()
    return -torch.xlogy(p, p).add(torch.xlogy(1 - p, 1 - p)) / torch.log(p.new_tensor(2.0))


def purity(hits: Tensor, fired: Tensor) -> Tensor:
    """float64 [F]: of what a feature fires on, the share that one concept, its best, accounts for.

    Concepts must exclude each other, as languages or parts of speech do, and cover all that is counted; then a feature
    that fires on one alone has 1, one that fires anywhere the share of the commonest. NaN for features that never fire.

    Args:
        hits: [F, C], instances of each concept on which each feature fires.
        fired: [F], all on which it fires.
    """
    fired = fired.double()
    return torch.where(fired > 0, hits.double().amax(1) / fired.clamp_min(1.0), torch.nan)


def weighted_purity(activation: Tensor) -> Tensor:
    """float64 [F]: r = max_c a / Σ_c a, of summed strengths by concept [F, C]; NaN for features that never fire.

    The continuous form of `purity`. Source: the monosemanticity of Jermyn et al. 2022 (arXiv 2211.09169, section 2),
    there with single features as concepts.
    """
    total = activation.double().sum(1)
    return torch.where(total > 0, activation.double().amax(1) / total.clamp_min(1e-300), torch.nan)
