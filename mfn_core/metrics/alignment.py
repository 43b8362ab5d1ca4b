"""How far two codes of the same tokens say the same, whatever their bases."""

from __future__ import annotations

import torch
from torch import Tensor

from mfn_core.codes import SparseCodes

DENSE_GAIN = 50  # how many multiplications of a dense product take as long as one pair of entries of sparse codes
MOST_PAIRS = 1 << 22  # of entries at once


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
        self.n += first.n_tokens
        sides = first.to("cpu").flatten(), second.to("cpu").flatten()
        for place, codes in enumerate(sides):
            entries, values = codes.indices.flatten(), codes.values.flatten().double()
            self.sums[place].index_add_(0, entries, values)
            self.squares[place].index_add_(0, entries, values.square())  # a feature is in a row once
        width = sides[0].width * sides[1].width
        if width * DENSE_GAIN < self.products.numel():
            self._add_pairs(sides[0], sides[1], max(1, MOST_PAIRS // width))
        else:
            dense = [codes.dense().double() for codes in sides]
            self.products += dense[0].T @ dense[1]

    def _add_pairs(self, first: SparseCodes, second: SparseCodes, rows: int) -> None:
        """The products of what fires together, of so many tokens at once."""
        columns = self.products.shape[1]
        for at in range(0, first.n_tokens, rows):
            part = slice(at, at + rows)
            cells = first.indices[part, :, None] * columns + second.indices[part, None, :]
            found = first.values[part, :, None].double() * second.values[part, None, :].double()
            self.products.view(-1).index_add_(0, cells.flatten(), found.flatten())

    def __add__(self, other: Correlation) -> Correlation:
        """Of the tokens of both."""
        found = Correlation(*self.products.shape)
        found.n = self.n + other.n
        found.products = self.products + other.products
        found.sums = self.sums[0] + other.sums[0], self.sums[1] + other.sums[1]
        found.squares = self.squares[0] + other.squares[0], self.squares[1] + other.squares[1]
        return found

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
