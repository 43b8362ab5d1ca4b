"""How much of each token's stream the features account for, feature by feature, and how much they miss.

All in a layer's own normalised units, in which x is what it read and x̂ = Σ_j z_j D_j + b what its code says. There is
no formula for this in the paper; these are ours. Taking the product of both sides with x splits what is explained
exactly, without a rest: ⟨x, x̂⟩ / |x|² = Σ_j ⟨x, z_j D_j⟩ / |x|² + ⟨x, b⟩ / |x|².
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfn_core.coder import SparseCoder
from mfn_core.model import MFNModel, MFNOutput
from mfn_core.run import LayerTrace

SMALLEST = 1e-24  # |x|² up to here is no stream, and nothing is a share of it


@dataclass(frozen=True)
class Explained:
    """One layer on B rows of T tokens. No units: all are shares of |x|², the squared length of what the layer read.

    Where x is 0 (the embedding of a padding token may be), all of them are 0.

    Attributes:
        shares: [B, T, K], ⟨x, z_j D_j⟩ / |x|² of each entry of the code, in its order; 0 where nothing fires. Below 0
            where a feature fires against the stream.
        fixed: [B, T], ⟨x, b⟩ / |x|², of what the code does not decide: b_d, and T[token] where tokens are looked up.
        total: [B, T], ⟨x, x̂⟩ / |x|², the sum of both.
        error: [B, T], |x − x̂|² / |x|²: 0 where the code says all, above 1 where it is worse than nothing.
    """

    shares: Tensor
    fixed: Tensor
    total: Tensor
    error: Tensor


@torch.no_grad()
def explain(model: MFNModel, output: MFNOutput) -> dict[int, Explained]:
    """What each layer's code says of its stream, by block number.

    Args:
        model: the one that `output` is of.
        output: a forward pass with `record=True`; with interventions, it is what the changed code says that counts.

    Returns:
        Layers that rebuild the stream. A token table does not, so it is left out.
    """
    found = {}
    with model.stage.use(output.run):  # a layer that looks tokens up asks there for those of this pass
        for number, trace in output.traces.items():
            coder = model.coders[number]
            if coder.rebuilds:
                found[number] = _explain(coder, trace)
    return found


def _explain(coder: SparseCoder, trace: LayerTrace) -> Explained:
    x = trace.x
    x_hat = (coder.decode(trace.codes) if trace.x_hat is None else trace.x_hat).to(x.dtype)
    square = x.square().sum(-1)
    square = torch.where(square > SMALLEST, square, torch.inf)
    shares = coder.products(x, trace.codes) * trace.codes.values / square[..., None]
    total = (x * x_hat).sum(-1) / square
    error = (x - x_hat).square().sum(-1) / square
    return Explained(shares, total - shares.sum(-1), total, error)
