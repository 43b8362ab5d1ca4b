"""How the layers of a model fire on a text, and how a random code of the same width and K does on the same streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mfn_core.codes import SparseCodes
from mfn_core.evaluation.predictions.p1 import LayerFiring
from mfn_core.evaluation.random_codes import RandomCodes
from mfn_core.evaluation.row_batches import row_batches
from mfn_core.metrics.overlap import CoFiring
from mfn_core.model import MFNModel

PAIRED = 512  # features of a layer whose pairs are counted, spread evenly over it

Progress = Callable[[int, int], None]


class FiringCount:
    """Tokens on which each feature fires, and pairs of some features fire together, over as many codes as are added."""

    def __init__(self, n_features: int, k: int) -> None:
        """
        Args:
            n_features: F.
            k: K, how many are to fire on a token.
        """
        self.counts = np.zeros(n_features, dtype=np.int64)
        self.tokens, self.target = 0, k / n_features
        chosen = torch.linspace(0, n_features - 1, min(PAIRED, n_features)).round().long()
        self.overlap = CoFiring(n_features, chosen)

    def add(self, codes: SparseCodes) -> None:
        """More tokens, [..., K]."""
        fired = codes.indices[codes.fires].cpu().numpy()
        self.counts += np.bincount(fired, minlength=len(self.counts))
        self.tokens += codes.n_tokens
        self.overlap.add(codes)

    def result(self) -> LayerFiring:
        """Of all tokens so far."""
        return LayerFiring(self.counts, self.tokens, self.target, self.overlap)


@torch.no_grad()
def layer_firing(
    model: MFNModel,
    rows: Sequence[NDArray[np.int64]],
    batch: int = 16,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> tuple[dict[int, LayerFiring], dict[int, LayerFiring]]:
    """Counts firings of a model's MFNs, and of random codes in their place, on the same streams (`RandomCodes`).

    Args:
        model: with MFNs.
        rows: token ids; the first of each is left out.
        batch: rows in a forward pass.
        seed: of the random codes.
        progress: told how many rows have been read, and of how many.

    Returns:
        By layer, of the model and of the random codes.
    """
    layers = model.mfn_layers
    ours = {n: FiringCount(layer.n_features, layer.k) for n, layer in layers.items()}
    random = {n: FiringCount(layer.n_features, layer.k) for n, layer in layers.items()}
    codes = RandomCodes(model, seed)
    read = 0
    for numbers, ids, keep in row_batches(rows, batch, model.device):
        for number, trace in model(ids, record=True, logits_to_keep=1).traces.items():
            if number not in layers:
                continue
            assert trace.x is not None
            ours[number].add(trace.codes[keep])
            random[number].add(codes.encode(number, trace.x[keep]))
        read += len(numbers)
        progress(read, len(rows))
    return {n: c.result() for n, c in ours.items()}, {n: c.result() for n, c in random.items()}
