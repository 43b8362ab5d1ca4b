"""Feature absorption: a feature that should fire does not, since a more special one has taken over its part."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.codes import SparseCodes

LEAST_COSINE = 0.1  # of an absorbing feature's direction and the probe's
MOST_ABSORBERS = 3  # features that together may take over a main feature's part on one token


class Absorption(NamedTuple):
    """How far the main features of a concept are replaced on its instances.

    Attributes:
        full: float64, share of instances on which no main feature fires and an absorber does.
        fraction: float64, mean over instances of the share of the concept's direction that absorbers write.
    """

    full: float
    fraction: float


def absorption(
    codes: SparseCodes, decoder: Tensor, probe: Tensor, main: Tensor, least: float = LEAST_COSINE
) -> Absorption:
    """Of one concept, on its instances alone.

    On each token, feature j writes z_j D_j·p along the unit probe p. Absorbers are the up to three features, none of
    them a main one, that write most among those with cos(D_j, p) ≥ `least`. With M what the main features write and A
    what absorbers write (each at least 0), the fraction of a token is A / (A + M), or 0 where neither writes.

    Source: Chanin et al. 2024, *A is for Absorption* (arXiv 2409.14507), in the form of SAEBench (Karvonen et al. 2025,
    arXiv 2503.09532, appendix), with all true positives of a probe as instances.

    Args:
        codes: of the instances, [n, K].
        decoder: [F, d].
        probe: [d], the concept's direction in the space of the decoder.
        main: int64 [m], features that stand for the concept, such as those of a k-sparse probe.
        least: least cosine of an absorber.

    Raises:
        ValueError: there is no instance, or no main feature.
    """
    if not codes.n_tokens or not len(main):
        raise ValueError("absorption needs instances and main features")
    flat = codes.flatten()
    along = F.cosine_similarity(decoder.double(), probe.double()[None], dim=-1)
    unit = F.normalize(probe.double(), dim=0)
    writes = flat.values.double() * (decoder.double() @ unit)[flat.indices]
    is_main = torch.zeros(codes.n_features, dtype=torch.bool, device=writes.device)
    is_main[main] = True
    mains = is_main[flat.indices] & flat.fires
    others = ~is_main[flat.indices] & flat.fires & (along[flat.indices] >= least)
    written = torch.where(others, writes, 0.0).clamp_min(0.0)
    absorbed = written.topk(min(MOST_ABSORBERS, written.shape[1]), dim=1).values.sum(1)
    kept = torch.where(mains, writes, 0.0).sum(1).clamp_min(0.0)
    share = torch.where(absorbed > 0, absorbed / (absorbed + kept).clamp_min(1e-300), 0.0)
    full = ~mains.any(1) & (absorbed > 0)
    return Absorption(float(full.double().mean()), float(share.mean()))
