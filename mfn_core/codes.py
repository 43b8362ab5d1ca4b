"""Sparse codes: the currency that losses, index, interventions and inspection all speak.

A code is kept as indices and values, never as a dense vector over all features. Rows have a fixed width; where a
row has fewer entries than that, the rest is padding with value 0, and a stored 0 never counts as firing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.kernels import largest, weighted_rows


@dataclass(frozen=True, slots=True)
class SparseCodes:
    """Which features fire, and how strongly, for every token.

    Attributes:
        indices: int64 [..., K], feature numbers in [0, n_features). Where the value is 0 the number means nothing.
        values: float [..., K], strengths in the units of z (the input's, after normalisation). A feature appears
            at most once with a value other than 0 in a row.
        n_features: F, how many features the dictionary has.
    """

    indices: Tensor
    values: Tensor
    n_features: int

    def __post_init__(self) -> None:
        if self.indices.shape != self.values.shape:
            raise ValueError(f"indices {tuple(self.indices.shape)} and values {tuple(self.values.shape)} differ")

    @property
    def width(self) -> int:
        """K, the entries stored for a token."""
        return int(self.indices.shape[-1])

    @property
    def n_tokens(self) -> int:
        """How many tokens there are, over all leading dimensions."""
        return self.indices[..., 0].numel()

    @property
    def fires(self) -> Tensor:
        """bool [..., K]: which stored entries count as firing."""
        return self.values != 0

    def l0(self) -> Tensor:
        """int64 [...]: how many features fire on each token."""
        return self.fires.sum(-1)

    def decode(self, directions: Tensor) -> Tensor:
        """Sum of value times direction.

        Args:
            directions: [F, d], one row a feature.

        Returns:
            [..., d], in the dtype of `directions`. Costs K·d a token; F does not enter.
        """
        values = self.values.reshape(-1, self.width).to(directions.dtype)
        flat = weighted_rows(self.indices.reshape(-1, self.width), values, directions)
        return flat.view(*self.indices.shape[:-1], directions.shape[1])

    def dense(self) -> Tensor:
        """[..., F] with zeros where nothing fires. For tests and small things only: its size is tokens × F."""
        out = torch.zeros(*self.indices.shape[:-1], self.n_features, dtype=self.values.dtype, device=self.values.device)
        return out.scatter_add_(-1, self.indices, self.values)

    def value_of(self, feature: int) -> Tensor:
        """[...]: the strength of one feature on each token, 0 where it does not fire."""
        return torch.where(self.indices == feature, self.values, 0.0).sum(-1)

    def __getitem__(self, which: Any) -> SparseCodes:
        """The codes of some tokens, chosen as in a tensor of the leading dimensions."""
        return SparseCodes(self.indices[which], self.values[which], self.n_features)

    def flatten(self) -> SparseCodes:
        """The same codes with all leading dimensions merged into one: [tokens, K]."""
        return SparseCodes(self.indices.reshape(-1, self.width), self.values.reshape(-1, self.width), self.n_features)

    def detach(self) -> SparseCodes:
        """The same codes without gradient."""
        return SparseCodes(self.indices, self.values.detach(), self.n_features)

    def to(self, device: torch.device | str) -> SparseCodes:
        """The same codes on another device."""
        return SparseCodes(self.indices.to(device), self.values.to(device), self.n_features)


def top_k(pre: Tensor, k: int) -> SparseCodes:
    """The paper's code, z = TopK_K(ReLU(p)): the K largest pre-activations, those at or below 0 silent.

    Args:
        pre: [..., F] pre-activations.
        k: how many may fire.

    Returns:
        Codes of width k, unsorted within a token, each feature at most once. The gradient flows to the chosen entries
        that are positive. Of entries that tie for the last places it is open which are chosen.
    """
    values, indices = largest(pre, k)
    return SparseCodes(indices, F.relu(values), pre.shape[-1])
