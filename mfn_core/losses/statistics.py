"""What a layer's losses know of its past: how often each feature fires, how strongly, and how long ago."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mfn_core.codes import SparseCodes
from mfn_core.world import ALONE, World


class FeatureStatistics:
    """Running statistics of one layer, the same on every process.

    Means decay with the number of tokens seen, so that their horizon does not depend on the batch, and are corrected
    for having started at nothing.
    """

    def __init__(self, n_features: int, horizon: int, device: torch.device | str = "cpu") -> None:
        """Starts empty.

        Args:
            n_features: F.
            horizon: tokens after which an observation weighs 1/e.
            device: where the codes lie.
        """
        self.horizon = horizon
        self.tokens_since_fired = torch.zeros(n_features, dtype=torch.int64, device=device)
        self._rate = torch.zeros(n_features, dtype=torch.float64, device=device)
        self._power = torch.zeros(n_features, dtype=torch.float64, device=device)
        self._weight = torch.zeros((), dtype=torch.float64, device=device)

    @property
    def rate(self) -> Tensor:
        """float32 [F]: the share of tokens on which each feature fires; 0 before the first update."""
        return (self._rate / self._weight.clamp(min=1e-300)).float()

    @property
    def power(self) -> Tensor:
        """float32 [F]: the mean of z² over tokens."""
        return (self._power / self._weight.clamp(min=1e-300)).float()

    def dead(self, after: int) -> Tensor:
        """bool [F]: has not fired for more than so many tokens."""
        return self.tokens_since_fired > after

    @torch.no_grad()
    def update(self, codes: SparseCodes, keep: Tensor, world: World = ALONE) -> None:
        """Takes in the codes of a step.

        Args:
            codes: [B, T, K].
            keep: bool [B, T], the tokens that count.
            world: the processes that share the batch; their tokens count together.
        """
        fires = codes.fires & keep[..., None]
        indices = codes.indices[fires]
        n_features = codes.n_features
        sums = torch.zeros(2 * n_features + 1, dtype=torch.float64, device=indices.device)
        sums[:n_features] = torch.bincount(indices, minlength=n_features)
        sums[n_features:-1].index_add_(0, indices, codes.values[fires].double().square())
        sums[-1] = keep.sum()
        sums = world.sum(sums)
        counts, squares, tokens = sums[:n_features], sums[n_features:-1], float(sums[-1])
        decay = math.exp(-tokens / self.horizon)
        fresh = (1.0 - decay) / max(tokens, 1.0)
        self._rate.mul_(decay).add_(counts, alpha=fresh)
        self._power.mul_(decay).add_(squares, alpha=fresh)
        self._weight.mul_(decay).add_(1.0 - decay)
        self.tokens_since_fired.add_(int(tokens)).masked_fill_(counts > 0, 0)

    def tensors(self) -> dict[str, Tensor]:
        """The state, for a checkpoint."""
        return {
            "rate": self._rate,
            "power": self._power,
            "weight": self._weight,
            "tokens_since_fired": self.tokens_since_fired,
        }

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Takes up what `tensors` gave."""
        for name, own in self.tensors().items():
            own.copy_(tensors[name])
