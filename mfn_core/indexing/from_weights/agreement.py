"""Whether a feature reads along the direction that it writes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from mfn_core.coder import SparseCoder
from mfn_core.directions import seen
from mfn_core.indexing.from_weights.extremes import CHUNK


def agreement(coder: SparseCoder, chunk: int = CHUNK) -> NDArray[np.float32] | None:
    """Cosine of each feature's encoder row and its decoder direction, in the space of the code's own site.

    Both are taken as the encoder sees the stream: with `norm="layer"` without their mean over channels, on which
    nothing that is read depends. So a tied encoder (W_e = Dᵀ) has 1 with every norm. Lengths, biases, the token
    lookup and the norm's scale do not enter. Costs F·d, in blocks.

    Returns:
        float32 [F], NaN where either has length 0; None for a code that reads by no such rows (neurons, a token table).
    """
    rows = coder.encoder_rows
    if rows is None:
        return None
    step = max(1, chunk // rows.shape[1])
    cosines = []
    for read, writes in zip(
        torch.split(rows.detach(), step), torch.split(coder.directions.detach(), step), strict=True
    ):
        read, writes = seen(coder, read.double()), seen(coder, writes.double())
        product = F.normalize(read, dim=-1).mul_(F.normalize(writes, dim=-1)).sum(-1)
        known = read.any(-1) & writes.any(-1)
        cosines.append(product.where(known, torch.nan).float().cpu())
    return torch.cat(cosines).numpy()
