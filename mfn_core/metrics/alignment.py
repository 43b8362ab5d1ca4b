"""How far two codes of the same tokens say the same, whatever their bases."""

from __future__ import annotations

import torch
from torch import Tensor

from mfn_core.codes import SparseCodes


class Correlation:
    """Pearson correlations of all pairs of features of two codes, over the same tokens, batch by batch.

    Sums are float64 [F, F']. Strengths count where a feature fires, 0 elsewhere.
    """

    def __init__(self, first: int, second: int) -> None:
        """F and F', how many features the codes have."""
        self.n = 0
        self.products = torch.zeros(first, second, dtype=torch.float64)
        self.sums = torch.zeros(first, dtype=torch.float64), torch.zeros(second, dtype=torch.float64)
        self.squares = torch.zeros(first, dtype=torch.float64), torch.zeros(second, dtype=torch.float64)

    def add(self, first: SparseCodes, second: SparseCodes) -> None:
        """More tokens, both [tokens, K]: row by row the same."""
        dense = [codes.dense().double().cpu() for codes in (first, second)]
        self.n += len(dense[0])
        self.products += dense[0].T @ dense[1]
        for side, values in enumerate(dense):
            self.sums[side].add_(values.sum(0))
            self.squares[side].add_(values.square().sum(0))

    def result(self) -> Tensor:
        """float64 [F, F'], from −1 to 1; 0 with features that never fire or never vary."""
        means = [total / self.n for total in self.sums]
        spreads = [
            (squares / self.n - mean.square()).clamp_min(0.0).sqrt()
            for squares, mean in zip(self.squares, means, strict=True)
        ]
        covariance = self.products / self.n - torch.outer(*means)
        scale = torch.outer(*spreads)
        # rounding leaves a trace of spread where there is none
        alive = scale > 1e-9 * torch.outer(*((s / self.n).sqrt().clamp_min(1e-300) for s in self.squares))
        return torch.where(alive, covariance / scale.clamp_min(1e-300), 0.0).clamp(-1.0, 1.0)


def linear_cka(first: Tensor, second: Tensor) -> float:
    """Centred kernel alignment with linear kernels of two representations [tokens, d] and [tokens, d'].

    ‖YᵀX‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F) of centred X, Y: 1 for the same up to rotation and a common scale. With fewer tokens
    than dimensions it is too great, even of noise (Murphy et al. 2024, arXiv 2405.01012): `debiased_cka` is not.
    Source: Kornblith et al. 2019 (arXiv 1905.00414), equation 8.
    """
    x, y = (values.double() - values.double().mean(0) for values in (first, second))
    return float((x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()))


def debiased_cka(first: Tensor, second: Tensor) -> float:
    """`linear_cka` with the unbiased estimate of HSIC: 0 on average for representations that have nothing in common.

    It takes tokens² of memory; four tokens at least. Source: Song et al. 2012 (JMLR 13, section 2.4) and Murphy et al.
    2024 (arXiv 2405.01012).
    """
    a, b = (_gram(values) for values in (first, second))
    return float(_hsic(a, b) / (_hsic(a, a) * _hsic(b, b)).clamp_min(1e-300).sqrt())


def _gram(values: Tensor) -> Tensor:
    gram = values.double() @ values.double().T
    return gram.fill_diagonal_(0.0)


def _hsic(a: Tensor, b: Tensor) -> Tensor:
    n = len(a)
    if n < 4:
        raise ValueError(f"the unbiased estimate needs four tokens, not {n}")
    traces = (a * b).sum()
    sums = a.sum() * b.sum() / ((n - 1) * (n - 2))
    crossed = a.sum(0) @ b.sum(0) * 2 / (n - 2)
    return (traces + sums - crossed) / (n * (n - 3))
