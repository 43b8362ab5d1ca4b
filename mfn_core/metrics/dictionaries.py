"""What dictionaries look like, and how far two of them are the same."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F


class Matching(NamedTuple):
    """The one-to-one matching of two dictionaries with the greatest sum of similarities.

    Attributes:
        first, second: int64 [n], n = min(F, F'): feature `first[i]` goes with feature `second[i]`.
        similarity: float64 [n], of each pair.
    """

    first: Tensor
    second: Tensor
    similarity: Tensor

    @property
    def mean(self) -> float:
        """1 for dictionaries that are the same up to order."""
        return float(self.similarity.mean())


def match(similarity: Tensor) -> Matching:
    """The best one-to-one matching by the Hungarian algorithm. `similarity`: [F, F'], finite."""
    first, second = linear_sum_assignment(similarity.double().cpu().numpy(), maximize=True)
    pairs = torch.from_numpy(np.asarray(first)), torch.from_numpy(np.asarray(second))
    return Matching(*pairs, similarity.double().cpu()[pairs])


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """float64 [F, F']: of all pairs of directions, [F, d] and [F', d]. They must lie in one space: decoders of models
    that were trained apart share no basis, and their cosines say nothing."""
    return F.normalize(first.double(), dim=-1) @ F.normalize(second.double(), dim=-1).T


def mean_max_cosine(planted: Tensor, found: Tensor) -> float:
    """The mean, over planted directions [F, d], of the greatest cosine with any that was found [F', d]; 1 where all
    were. Source: Sharkey et al. 2022, *Taking features out of superposition with sparse autoencoders*."""
    return float(cosines(planted, found).amax(1).mean())


def encoder_decoder_agreement(encoder: Tensor, decoder: Tensor) -> Tensor:
    """float64 [F]: of each feature, the cosine of the direction it reads and the one it writes, both [F, d]."""
    return F.cosine_similarity(encoder.double(), decoder.double(), dim=-1)


def hedging(decoder: Tensor, planted: Tensor) -> float:
    """How much of features that it does not stand for a latent mixes into its direction: 0 if none.

    Of each latent, the share of its squared length, within the span of what is planted, that lies along planted
    features other than the nearest. For planted directions that are orthonormal; a dictionary narrower than what is
    planted mixes correlated features. Source: Chanin et al. 2025, *Feature Hedging* (arXiv 2505.11756).

    Args:
        decoder: [F, d], of latents.
        planted: [N, d], true directions, orthonormal.

    Raises:
        ValueError: the planted directions are not orthonormal.
    """
    planted = planted.double()
    gram = planted @ planted.T
    if not torch.allclose(gram, torch.eye(len(planted), dtype=gram.dtype), atol=1e-5):
        raise ValueError("hedging is measured against orthonormal directions")
    along = (F.normalize(decoder.double(), dim=-1) @ planted.T).square()
    inside = along.sum(1)
    return float((1 - along.amax(1) / inside)[inside > 1e-12].mean())


def children(similarity: Tensor, threshold: float = 0.5) -> Tensor:
    """int64 [F]: in how many features of a wider dictionary each feature of a narrower one lives on.

    A feature of the wider one descends from that which it is most like, if their similarity reaches the threshold.
    Source: feature splitting, Bricken et al. 2023, *Towards Monosemanticity*.

    Args:
        similarity: [F, F'], of features of the narrower dictionary (rows) and the wider one (columns): correlations of
            activations on the same tokens, or cosines where both lie in one space.
        threshold: the least similarity of a child and its parent.
    """
    best, parent = similarity.max(0)
    return torch.bincount(parent[best >= threshold], minlength=len(similarity))
