"""Competition: two features are not to fire together more than chance has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mfn_core.run import LayerTrace
from mfn_core.world import ALONE, World

CHUNK = 2048  # features at a time: the dense pieces are tokens × CHUNK
SMALLEST_POWER = 1e-4  # floor of E[z²] as a share of its mean over features: a feature that never fires is not blown up


class CoActivation(torch.autograd.Function):
    """`Σ_{t ≠ t'} [(ẑ_t · ẑ_t')² − Σ_i ẑ_ti² ẑ_t'i²]`, t over one's own tokens and t' over everybody's.

    Never F × F: two matrices of tokens × tokens, filled in chunks over the features. The gradient with respect to one's
    own values counts each pair in both orders, as the sum over all tokens does.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, indices: Tensor, everyone: tuple[Tensor, Tensor], first: int, f: int
    ) -> Tensor:
        """Shapes: values, indices [n, K]; everyone's the same for N ≥ n tokens, one's own from `first` on."""
        all_values, all_indices = everyone
        n = len(values)
        own = torch.arange(n, device=values.device)
        dots = values.new_zeros(n, len(all_values))
        squares = torch.zeros_like(dots)
        for start in range(0, f, CHUNK):
            a, b = _dense(values, indices, start), _dense(all_values, all_indices, start)
            dots.addmm_(a, b.t())
            squares.addmm_(a.square(), b.square().t())
        dots[own, first + own] = 0.0
        squares[own, first + own] = 0.0
        gradient = torch.zeros_like(values)
        for start in range(0, f, CHUNK):
            b = _dense(all_values, all_indices, start)
            pull = dots @ b
            # Σ over t' ≠ t of ẑ_t'i²
            others = b.square().sum(0) - _dense(values, indices, start).square()
            inside = (indices >= start) & (indices < start + CHUNK)
            place = (indices - start).clamp(0, pull.shape[1] - 1)
            part = 4.0 * (pull.gather(1, place) - values * others.gather(1, place))
            gradient = torch.where(inside, part, gradient)
        ctx.save_for_backward(gradient)
        return (dots.square() - squares).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """With respect to one's own values."""
        (gradient,) = ctx.saved_tensors
        return gradient * grads[0], None, None, None, None


def _dense(values: Tensor, indices: Tensor, start: int) -> Tensor:
    """[n, CHUNK]: the part of a code that belongs to features from `start` on."""
    inside = (indices >= start) & (indices < start + CHUNK)
    out = values.new_zeros(len(values), CHUNK)
    return out.scatter_add_(1, (indices - start).clamp(0, CHUNK - 1), torch.where(inside, values, 0.0))


@dataclass(frozen=True)
class Competition:
    """Mean squared off-diagonal co-activation, estimated without bias over pairs of different tokens.

    With `ẑ_i = z_i / √c_i`, `c_i = sg(EMA of E[z_i²])` floored:
    `Σ_{t≠t'} [(ẑ_t·ẑ_t')² − Σ_i ẑ_ti² ẑ_t'i²] / (F · T(T−1))`. Leaving out t = t' and scaling each feature keeps self
    terms and a single dense feature from swamping it.
    """

    def __call__(self, trace: LayerTrace, keep: Tensor, power: Tensor, where: slice, world: World = ALONE) -> Tensor:
        """A scalar.

        Args:
            trace: of a training pass.
            keep: bool [B, T], the tokens that count.
            power: [F], the running mean of z², without gradient.
            where: the positions that take part; the same number on every process.
            world: the processes that share the batch.
        """
        assert trace.aux is not None
        codes = trace.aux.codes
        kept = keep[:, where].reshape(-1)
        floored = power.clamp(min=float(power.mean()) * SMALLEST_POWER + 1e-12)
        indices = codes.indices[:, where].reshape(-1, codes.width)
        values = codes.values[:, where].reshape(-1, codes.width) * floored.rsqrt()[indices] * kept[:, None]
        everyone = world.gather(values).flatten(0, 1), world.gather(indices).flatten(0, 1)
        total: Tensor = CoActivation.apply(  # type: ignore[no-untyped-call]
            values, indices, everyone, world.rank * len(values), codes.n_features
        )
        count = world.sum(kept.sum().to(values.dtype))
        scale = 1.0 / (codes.n_features * (count * (count - 1.0)).clamp(min=1.0))
        own = total * (world.size * scale)
        return own + (world.sum(total) * scale - own).detach()
