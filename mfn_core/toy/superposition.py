"""Toy models of superposition: more sparse features than hidden dimensions, `x' = ReLU(Wᵀ W x + b)`.

Each model is tiny, so that whole sweeps train side by side as one batch of matrices.

Source: Elhage et al. 2022, *Toy Models of Superposition* (transformer-circuits.pub/2022/toy_model): features uniform in
[0, 1] where present, a squared error weighed by importance, AdamW at 1e-3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.errors import ConfigError
from mfn_core.toy.work import Progress

EVERY = 50  # steps between two words of progress


@dataclass(frozen=True)
class Superposition:
    """What trains: instances of one size, each so many times over.

    Attributes:
        features: n, how many features the input has.
        hidden: m, how many dimensions they must share.
        density: 1 − S of each instance, the chance that a feature is present, above 0 and at most 1. `[I]`.
        importance: what an error in each feature counts, `[n]` numbers alike for all instances or `[I][n]`.
        replicas: R, how often each instance is trained, from weights and on data of its own.
        relu: whether there is one; the linear model, which superposes nothing, is without.
        steps, batch, lr: of AdamW. The learning rate falls to 0 along a cosine (ours; the source's is constant).
        seed: of weights and data.
    """

    features: int
    hidden: int
    density: tuple[float, ...]
    importance: tuple[float, ...] | tuple[tuple[float, ...], ...]
    replicas: int = 1
    relu: bool = True
    steps: int = 10_000
    batch: int = 1024
    lr: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.hidden <= self.features:
            raise ConfigError(f"hidden must be between 1 and the {self.features} features, not {self.hidden}")
        if not self.density or not all(0.0 < density <= 1.0 for density in self.density):
            raise ConfigError(f"a density is above 0 and at most 1, not {self.density}")
        weights = torch.tensor(self.importance)
        if weights.shape not in ((self.features,), (len(self.density), self.features)) or not bool((weights > 0).all()):
            raise ConfigError(f"importance is {self.features} positive numbers, for all instances or for each")
        if min(self.replicas, self.steps, self.batch) < 1 or self.lr <= 0:
            raise ConfigError("replicas, steps, batch and lr must be positive")


@dataclass(frozen=True)
class Trained:
    """What training left.

    Attributes:
        W: float32 [R, I, m, n]; column i of a model is where feature i lies.
        b: float32 [R, I, n].
        loss: float32 [R, I], importance-weighed mean squared error over the last tenth of the steps.
    """

    W: Tensor
    b: Tensor
    loss: Tensor

    def best(self) -> Trained:
        """Of each instance the replica of least loss: W [I, m, n], b [I, n], loss [I]."""
        row, all_ = self.loss.argmin(dim=0), torch.arange(self.loss.shape[1])
        return Trained(self.W[row, all_], self.b[row, all_], self.loss[row, all_])


def train(case: Superposition, progress: Progress | None = None) -> Trained:
    """Trains all instances of a case; the same case gives the same numbers on one machine."""
    rng = torch.Generator().manual_seed(case.seed)
    n, m, models = case.features, case.hidden, (case.replicas, len(case.density))
    # Xavier's normal start, as in the source
    W = (torch.randn(*models, m, n, generator=rng) * (2 / (m + n)) ** 0.5).requires_grad_()
    b = torch.zeros(*models, n, requires_grad=True)
    density = torch.tensor(case.density)[:, None, None]
    importance = torch.tensor(case.importance).expand(len(case.density), n)[:, None]
    optimizer = torch.optim.AdamW([W, b], lr=case.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, case.steps)
    late, last = torch.zeros(models), max(1, case.steps // 10)
    for step in range(case.steps):
        x = draw(torch.rand(case.replicas, 1, case.batch, n, generator=rng), density)
        losses = (importance * (reconstruct(W, b, x, case.relu) - x).square()).mean(dim=(-2, -1))
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step >= case.steps - last:
            late += losses.detach() / last
        if progress is not None and (step + 1) % EVERY == 0:
            progress(step + 1, case.steps)
    return Trained(W.detach(), b.detach(), late)


def draw(uniform: Tensor, density: Tensor) -> Tensor:
    """Features that are present with a chance p, and then uniform in [0, 1): `ReLU(1 − u / p)`.

    One draw u serves models of every density, which is cheap and makes their differences less noisy.

    Args:
        uniform: u, uniform in [0, 1).
        density: p, of a shape that broadcasts.
    """
    return F.relu(1 - uniform / density)


def reconstruct(W: Tensor, b: Tensor, x: Tensor, relu: bool = True) -> Tensor:
    """`ReLU(Wᵀ W x + b)`, or without ReLU. Shapes: W [..., m, n], b [..., n], x [..., B, n]."""
    out = x @ W.mT @ W + b[..., None, :]
    return F.relu(out) if relu else out


def dimensions_per_feature(W: Tensor) -> Tensor:
    """`D* = m / ‖W‖²_F`, [...] of W [..., m, n]: the dimensions that a represented feature has, where those have
    length 1."""
    return W.shape[-2] / W.square().sum(dim=(-2, -1))


def dimensionality(W: Tensor) -> Tensor:
    """`D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)²`, [..., n] of W [..., m, n]: the share of a dimension that feature i has.

    1 for one that shares with none, 1/2 in an antipodal pair, 2/5 in a pentagon; 0 for one that is not represented.
    """
    lengths = W.norm(dim=-2)
    overlaps = (F.normalize(W, dim=-2).mT @ W).square().sum(dim=-1)
    return torch.where(lengths > 0, lengths.square() / overlaps.clamp_min(1e-12), 0.0)


def interference(W: Tensor) -> Tensor:
    """`Σ_{j≠i} (Ŵ_i · W_j)²`, [..., n] of W [..., m, n]: how much of the others lies in the direction of feature i."""
    overlaps = (F.normalize(W, dim=-2).mT @ W).square()
    return overlaps.sum(dim=-1) - torch.diagonal(overlaps, dim1=-2, dim2=-1)


def angles(W: Tensor) -> Tensor:
    """Of features in a plane, W [..., 2, n]: the angle from each to the next around, in degrees [..., n]; their sum is
    360."""
    around = torch.rad2deg(torch.atan2(W[..., 1, :], W[..., 0, :])).sort(dim=-1).values
    return torch.cat([around[..., 1:] - around[..., :-1], around[..., :1] + 360 - around[..., -1:]], dim=-1)


ABSENT, ALONE, SHARED = 0, 1, 2


def state_of(W: Tensor) -> Tensor:
    """Of two features in one dimension, W [..., 1, 2], what becomes of the second, int64 [...]: `ABSENT`; `ALONE`, with
    the dimension for itself; or `SHARED`, as the first one's opposite. One counts as present from a length of 0.5 on.
    """
    first, second = (W[..., 0, :].abs() > 0.5).unbind(-1)
    return second.long() * (1 + first.long())


def ideal_losses(density: Tensor, importance: Tensor) -> Tensor:
    """Expected losses of the three ideal solutions of two features in one dimension, [..., 3] in the order of
    `ABSENT`, `ALONE`, `SHARED`; twice what `train` reports, which is a mean over features.

    A feature that is left out is answered by its mean p/2 and costs its variance, `p/3 − p²/4`. Opposites of length 1
    err where both are present, each by the smaller of the two, `E[min(u, v)²] = 1/6`: `p²/6` (for b = 0).

    Args:
        density: p [...]. importance: of the second feature, the first one's being 1, [...].
    """
    left_out, both = density / 3 - density.square() / 4, density.square() / 6
    return torch.stack([importance * left_out, left_out, (1 + importance) * both], dim=-1)
