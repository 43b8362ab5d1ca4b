"""How a mean over the tokens of all processes gets its value, and each process its part of the gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from mfn_core.world import World

TINY = 1e-12  # keeps a quotient finite where there is nothing at all


def quotient(numerator: Tensor, denominator: Tensor, world: World) -> Tensor:
    """Σ numerator / Σ denominator, the sums over all processes.

    Every process gets the value of the whole. Its gradient is that of its own tokens times the number of processes:
    the mean of the gradients over processes, which is what data parallel training takes, is the gradient of the whole.

    Args:
        numerator: scalar, this process's sum.
        denominator: scalar, this process's sum; without gradient.
        world: the processes.
    """
    below = world.sum(denominator) + TINY
    if world.size == 1:
        return numerator / below
    own = numerator * world.size / below
    return own + (world.sum(numerator) / below - own).detach()


@torch.no_grad()
def variance(x: Tensor, world: World) -> Tensor:
    """This process's part of Σ‖x − x̄‖², x̄ the mean over all processes' tokens. x is [n, d]."""
    mean = world.sum(x.sum(0)) / world.sum(x.new_tensor(float(len(x)))).clamp(min=1.0)
    return (x - mean).square().sum()
