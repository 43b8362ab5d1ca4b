"""Random codes in the place of a model's layers of features: what a width and a K give without any training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.codes import SparseCodes, top_k
from mfn_core.model import MFNModel


class RandomCodes:
    """TopK(ReLU(W x)) with rows of W drawn from a sphere, in each layer of the width and K of the model's own.

    x is the normalised stream that the layer reads, centred on its mean over the first tokens read: an untrained SAE
    that is given the bias a trained one begins with.
    """

    def __init__(self, model: MFNModel, seed: int = 0) -> None:
        """`model`: with MFNs, whose layers are stood in for. `seed`: of W."""
        rng = torch.Generator().manual_seed(seed)
        self._k = {n: layer.k for n, layer in model.mfn_layers.items()}
        self._encoders = {
            n: F.normalize(torch.randn(layer.n_features, layer.d_model, generator=rng), dim=1)
            for n, layer in model.mfn_layers.items()
        }
        self._means: dict[int, Tensor] = {}

    def encode(self, layer: int, x: Tensor) -> SparseCodes:
        """The code of streams [tokens, d], codes [tokens, K]."""
        x = x.float()
        if not len(x):
            return top_k(x @ self._encoders[layer].to(x.device).T, self._k[layer])
        mean = self._means.setdefault(layer, x.mean(0))
        return top_k((x - mean) @ self._encoders[layer].to(x.device).T, self._k[layer])
