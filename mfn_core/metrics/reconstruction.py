"""How much of what a code stands for it leaves out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Reconstruction(NamedTuple):
    """How well x̂ stands for x.

    Attributes:
        fvu: fraction of variance unexplained, Σ‖x − x̂‖² / Σ‖x − x̄‖². 0 where x̂ is x; 1 where it is the mean x̄.
        shrinkage: 1 − γ, γ = Σ‖x̂‖² / Σ x̂·x: x̂ / γ is nearest to x among all multiples of x̂. Above 0 where x̂ is too
            short, 0 where no common factor would bring it nearer.
        cosine: mean over tokens of the cosine of x and x̂.
        norm_ratio: mean over tokens of ‖x̂‖ / ‖x‖.
    """

    fvu: float
    shrinkage: float
    cosine: float
    norm_ratio: float

    @property
    def explained(self) -> float:
        """Explained variance, 1 − fvu: 0 for a code that says no more than the mean."""
        return 1.0 - self.fvu


class ReconstructionSums:
    """What `Reconstruction` is made of, summed over tokens in float64, so that it can be added up batch by batch.

    Sums of two of these, over different tokens, add: `sums` and `total` are all there is.

    Source of the shrinkage: the relative reconstruction bias γ of Rajamanoharan et al. 2024 (arXiv 2404.16014,
    section 4.2), γ = argmin_γ' E‖x̂ / γ' − x‖² = E‖x̂‖² / E[x̂·x]; shrinkage is 1 − γ.
    """

    def __init__(self, width: int, device: torch.device | str = "cpu") -> None:
        """
        Args:
            width: d, of the stream.
            device: where the sums are kept.
        """
        self.total = torch.zeros(width, dtype=torch.float64, device=device)
        # tokens, Σ‖x‖², Σ‖x − x̂‖², Σ‖x̂‖², Σ x̂·x, Σ cosine, Σ ‖x̂‖/‖x‖
        self.sums = torch.zeros(7, dtype=torch.float64, device=device)

    def add(self, x: Tensor, x_hat: Tensor) -> None:
        """More tokens: x and x̂, both [tokens, d]."""
        x, x_hat = x.double(), x_hat.double()
        dots, long, long_hat = (x * x_hat).sum(-1), x.norm(dim=-1), x_hat.norm(dim=-1)
        cosine = dots / (long * long_hat).clamp_min(1e-300)
        ratio = long_hat / long.clamp_min(1e-300)
        terms = (
            x.new_tensor(len(x)),
            long.square().sum(),
            (x - x_hat).square().sum(),
            long_hat.square().sum(),
            dots.sum(),
            cosine.sum(),
            ratio.sum(),
        )
        self.total += x.sum(0)
        self.sums += torch.stack(terms)

    def result(self, reduce: Callable[[Tensor], Tensor] = lambda sums: sums) -> Reconstruction:
        """Over all tokens so far.

        Args:
            reduce: adds the sums up over processes, where several share the tokens.

        Raises:
            ValueError: there are no tokens.
        """
        tokens, squares, errors, hats, dots, cosine, ratio = reduce(self.sums).tolist()
        if not tokens:
            raise ValueError("no tokens were added")
        mean = reduce(self.total) / tokens
        spread = squares - tokens * float(mean.square().sum())
        fvu = errors / spread if spread > 1e-12 * squares else float("nan")  # less is rounding
        return Reconstruction(fvu, 1.0 - hats / dots if dots else float("nan"), cosine / tokens, ratio / tokens)


def reconstruction(x: Tensor, x_hat: Tensor) -> Reconstruction:
    """Of some tokens at once, x and x̂ both [tokens, d]."""
    sums = ReconstructionSums(x.shape[-1], x.device)
    sums.add(x, x_hat)
    return sums.result()
