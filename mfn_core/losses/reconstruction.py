"""Completeness: what the code leaves unexplained, and AuxK, which has dead features explain it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mfn_core.losses.shared import quotient, variance
from mfn_core.run import AuxBranch, LayerTrace
from mfn_core.world import ALONE, World


@dataclass(frozen=True)
class Reconstruction:
    """The fraction of variance unexplained, in normalised units.

    `Σ‖x − x̂‖² / sg Σ‖x − x̄‖²`, x̄ the mean over the tokens at hand: predicting the mean gives 1.
    """

    def __call__(self, trace: LayerTrace, keep: Tensor, world: World = ALONE) -> Tensor:
        """A scalar.

        Args:
            trace: of a training pass.
            keep: bool [B, T], the tokens that count; the first position of a document does not (its massive
                activations would rule the sum).
            world: the processes that share the batch.
        """
        x = trace.x[keep]
        error = x - _rebuilt(trace)[keep]
        return quotient(error.square().sum(), variance(x, world), world)


@dataclass(frozen=True)
class DeadFeatures:
    """AuxK: features that stopped firing learn to rebuild what the others leave over.

    The error e = sg(x − x̂) is rebuilt by the dead features of largest pre-activation (see `coder.revive`),
    `Σ‖e − D z_dead‖² / sg Σ‖e‖²` with z_dead = ReLU(p_dead). Its gradient reaches W_e, b_e and D of the dead features
    and b_d through the encoder; the decoder's bias is in x̂ already and is not counted again.
    """

    def __call__(self, trace: LayerTrace, keep: Tensor, world: World = ALONE) -> Tensor:
        """A scalar, 0 where no feature was to be revived.

        Args:
            trace: of a training pass with `revive`.
            keep: bool [B, T], the tokens that count.
            world: the processes that share the batch.
        """
        rebuilt = _rebuilt(trace)
        revived = _aux(trace).revived
        if revived is None:
            return trace.x.new_zeros(())
        error = (trace.x[keep] - rebuilt[keep]).detach()
        return quotient((error - revived[keep]).square().sum(), error.square().sum(), world)


def _aux(trace: LayerTrace) -> AuxBranch:
    assert trace.aux is not None, "a loss reads the trace of a training pass"
    return trace.aux


def _rebuilt(trace: LayerTrace) -> Tensor:
    x_hat = _aux(trace).x_hat
    assert x_hat is not None, "a stability pass has no reconstruction"
    return x_hat
