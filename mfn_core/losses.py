"""The pressures on a model, one small frozen class each.

All are means over tokens and scale-free, so that their weights mean the same at every width (design: "The five
pressures"). The auxiliary losses read a layer's trace, whose auxiliary branch reaches that layer's parameters alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.coder import full_precision
from mfn_core.run import LayerTrace

TINY = 1e-12  # keeps a quotient finite where there is no variance at all


@dataclass(frozen=True)
class Utility:
    """Next-token cross-entropy, the one loss that trains the Transformer too."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean nats a token. Shapes: logits [B, T, V], targets int64 [B, T]; −100 is left out."""
        return F.cross_entropy(full_precision(logits).flatten(0, 1), targets.flatten(), ignore_index=-100)


@dataclass(frozen=True)
class Reconstruction:
    """Completeness: the fraction of variance unexplained, in normalised units.

    `Σ‖x − x̂‖² / sg Σ‖x − x̄‖²`, x̄ the mean over the tokens at hand: predicting the mean gives 1.
    """

    def __call__(self, trace: LayerTrace, keep: Tensor) -> Tensor:
        """A scalar.

        Args:
            trace: of a training pass.
            keep: bool [B, T], the tokens that count; the first position of a document does not (its massive
                activations would rule the sum).
        """
        assert trace.aux is not None
        assert trace.aux.x_hat is not None
        x = trace.x[keep]
        error = x - trace.aux.x_hat[keep]
        return error.square().sum() / (_variance(x) + TINY)


@dataclass(frozen=True)
class DeadFeatures:
    """AuxK: features that stopped firing learn to rebuild what the others leave over.

    The error e = sg(x − x̂) is rebuilt by the `k` dead features of largest pre-activation (see `coder.revive`),
    `Σ‖e − D z_dead‖² / sg Σ‖e‖²` with z_dead = ReLU(p_dead). Its gradient reaches W_e, b_e and D of the dead features
    and b_d through the encoder; the decoder's bias is in x̂ already and is not counted again.
    """

    def __call__(self, trace: LayerTrace, keep: Tensor) -> Tensor:
        """A scalar, 0 where no feature was to be revived.

        Args:
            trace: of a training pass with `revive`.
            keep: bool [B, T], the tokens that count.
        """
        assert trace.aux is not None
        assert trace.aux.x_hat is not None
        if trace.aux.revived is None:
            return trace.x.new_zeros(())
        error = (trace.x[keep] - trace.aux.x_hat[keep]).detach()
        return (error - trace.aux.revived[keep]).square().sum() / (error.square().sum() + TINY)


@torch.no_grad()
def _variance(x: Tensor) -> Tensor:
    return (x - x.mean(0)).square().sum()
