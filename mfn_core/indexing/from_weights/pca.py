"""The two directions along which a cloud of features is widest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mfn_core.indexing.from_weights.extremes import CHUNK, Rows


class Plane(NamedTuple):
    """float32: coordinates [N, 2], and the share of the variance along either axis [2] (0 where nothing varies)."""

    xy: NDArray[np.float32]
    explained: NDArray[np.float32]


def principal_plane(rows: Rows, chunk: int = CHUNK) -> Plane:
    """Principal component analysis of N rows, their mean taken out, onto the first two axes.

    From the covariance [d, d], summed over blocks in float64. An axis has a direction but no sign: here the channel
    that weighs most in it weighs positively (the first such channel, where several do). Axes of equal variance are
    not determined, and may come out turned.

    Costs N·d² + d³ multiply-adds.
    """
    step = max(1, chunk // (2 * rows.parts[0].shape[1]))
    mean = torch.zeros(rows.parts[0].shape[1], dtype=torch.float64, device=rows.parts[0].device)
    for _, block in rows.blocks(step):
        mean += block.double().sum(0) / len(rows)
    covariance = mean.new_zeros(len(mean), len(mean))
    for _, block in rows.blocks(step):
        centred = block.double() - mean
        covariance += centred.t() @ centred / len(rows)
    variances, axes = torch.linalg.eigh(covariance.cpu())  # in ascending order
    top = axes[:, [-1, -2]]
    signs = top.gather(0, top.abs().argmax(0, keepdim=True)).sign()
    top = (top * signs).to(mean.device)
    xy = torch.cat([((block.double() - mean) @ top).float().cpu() for _, block in rows.blocks(step)])
    explained = variances[[-1, -2]] / variances.sum().clamp(min=torch.finfo(torch.float64).tiny)
    return Plane(xy.numpy(), explained.clamp(min=0).float().numpy())
