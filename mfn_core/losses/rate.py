"""Sparsity: every feature is to fire at the same low rate, none never and none always."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mfn_core.run import LayerTrace
from mfn_core.world import ALONE, World

SMALLEST_THRESHOLD = 1e-3  # where no token has K positive features
CHUNK = 1024  # features at a time, so that nothing of size tokens × F is made


class SoftRate(torch.autograd.Function):
    """Σ_t sigmoid((p_tj − θ_t) / (τ θ_t)) for every feature j, in chunks over the features."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, where: slice, tau: float) -> Tensor:
        """Shapes: pre [B, T, F], threshold [B, T']; `where` picks T' of the T positions. Gives [F].

        A token whose threshold is infinite does not count.
        """
        ctx.save_for_backward(pre, threshold)
        ctx.where, ctx.tau = where, tau
        rows = pre[:, where]
        sums = [_sigmoid(part, threshold, tau).sum((0, 1)) for part in torch.split(rows, CHUNK, dim=-1)]
        return torch.cat(sums)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """[B, T, F], zero at the positions that were not picked."""
        (grad,) = grads
        pre, threshold = ctx.saved_tensors
        out = torch.zeros_like(pre)
        picked = out[:, ctx.where]
        slope = 1.0 / (ctx.tau * threshold[..., None])
        for target, part, g in zip(
            torch.split(picked, CHUNK, dim=-1),
            torch.split(pre[:, ctx.where], CHUNK, dim=-1),
            torch.split(grad, CHUNK),
            strict=True,
        ):
            soft = _sigmoid(part, threshold, ctx.tau)
            target.copy_(soft.mul_(1.0 - soft).mul_(slope).mul_(g))
        return out, None, None, None


def _sigmoid(pre: Tensor, threshold: Tensor, tau: float) -> Tensor:
    theta = threshold[..., None]
    scaled = (pre.to(threshold.dtype) - theta) / (tau * theta)
    return torch.nan_to_num_(scaled, nan=-torch.inf).sigmoid_()


def soft_rate(pre: Tensor, threshold: Tensor, where: slice, tau: float) -> Tensor:
    """`SoftRate` as a typed function."""
    out: Tensor = SoftRate.apply(pre, threshold, where, tau)  # type: ignore[no-untyped-call]
    return out


@dataclass(frozen=True)
class Rate:
    """`mean_j log²((r_j + 0.1 ρ) / (1.1 ρ))`, ρ the target rate.

    `r = sg(EMA of 1[z > 0]) + q − sg(q)`: the hard rate in value, the soft rate
    `q_j = mean_t sigmoid((p_tj − θ_t) / (τ θ_t))` in gradient, `θ_t = max(K-th largest p_t, ε)` without gradient. The
    log punishes a dead and a greedy feature alike.

    ε is half the mean over tokens of the K-th largest (ours). Tokens on which fewer than K features are positive have
    no threshold of their own, and a small constant in its place would let almost no feature feel its rate there, and
    those that do all the more.

    Attributes:
        tau: τ, how far around the threshold a pre-activation is felt, as a share of the threshold. At 0.1 a feature
            that has fallen far behind feels next to nothing; at 0.5 it is drawn back (decision 0011).
    """

    tau: float = 0.1

    def __call__(
        self, trace: LayerTrace, keep: Tensor, where: slice, rate: Tensor, target: float, world: World = ALONE
    ) -> Tensor:
        """A scalar.

        Args:
            trace: of a training pass.
            keep: bool [B, T], the tokens that count.
            where: the positions at which the soft rate is taken.
            rate: [F], the running mean of 1[z > 0], without gradient.
            target: ρ = K / F at this step.
            world: the processes that share the batch.
        """
        assert trace.aux is not None
        kept = keep[:, where]
        kth = trace.raw_codes.values[:, where].amin(-1).detach()
        count = world.sum(kept.sum().to(rate.dtype)).clamp(min=1.0)
        smallest = (0.5 * world.sum((kth * kept).sum()) / count).clamp(min=SMALLEST_THRESHOLD)
        threshold = torch.maximum(kth, smallest).masked_fill(~kept, torch.inf)
        q = soft_rate(trace.aux.pre, threshold, where, self.tau) * (world.size / count)
        r = rate.detach() + (q - q.detach())
        return ((r + 0.1 * target) / (1.1 * target)).log().square().mean()
