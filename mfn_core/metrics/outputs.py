"""What a change inside a model does to what it predicts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, ids: Tensor) -> Tensor:
    """Nats that each next token costs, float32 or float64 as the logits are.

    Args:
        logits: [..., T, V], after each token.
        ids: int64 [..., T], the tokens.

    Returns:
        [..., T − 1]: of the tokens from the second on.
    """
    before, after = logits[..., :-1, :], ids[..., 1:]
    costs = F.cross_entropy(before.flatten(0, -2), after.flatten(), reduction="none")
    return costs.view(after.shape)


def kl(plain: Tensor, changed: Tensor) -> Tensor:
    """KL(plain ‖ changed) of next-token distributions in nats, from logits [..., V] of both; [...], never below 0."""
    p, q = F.log_softmax(plain.double(), -1), F.log_softmax(changed.double(), -1)
    return (p.exp() * (p - q)).sum(-1).clamp_min(0.0)


def recovered(with_code: float, untouched: float, ablated: float) -> float:
    """The share of what a site is worth that a code at that site keeps: 1 for the untouched stream, 0 for its ablation.

    (ablated − with_code) / (ablated − untouched), of cross-entropies or of KLs to the untouched model (`untouched` is 0
    then). It says little where the ablated model is a bad one; the absolute difference is to be given beside it. It
    has a meaning for codes fitted to a model that exists, not for a model that was trained with its codes.

    Source: Bricken et al. 2023, *Towards Monosemanticity*; Gao et al. 2024 (arXiv 2406.04093, section 4.1).

    Raises:
        ValueError: ablation costs nothing, so that there is nothing to recover.
    """
    if not ablated > untouched:
        raise ValueError(f"ablation costs nothing: {ablated} after it, {untouched} before")
    return (ablated - with_code) / (ablated - untouched)


def downstream_sparsity(change: Tensor) -> Tensor:
    """How far a change of logits is spread, as a share of all logits: (‖Δ‖₁ / ‖Δ‖₂)² / N.

    1 / N where one logit changes, 1 where all change alike; 0 where none changes. Source: Gao et al. 2024 (arXiv
    2406.04093, section 4.5), there with N = V·T.

    Args:
        change: Δ [..., T, V], logits after an ablation less those before.

    Returns:
        float64 [...].
    """
    delta = change.double().flatten(-2)
    # (Σ|Δ|)² ≤ N Σ Δ², so that the quotient is N at most; scaled first, lest squares of small numbers vanish
    delta = delta / delta.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    squares = delta.square().sum(-1)
    spread = delta.abs().sum(-1).square() / squares.clamp_min(1e-300)
    return torch.where(squares > 0, spread / delta.shape[-1], 0.0)
