"""What an SAE is trained for: one small frozen class an architecture, called once a layer and step.

    objective = objective_of(sae)
    loss, metrics = objective(sae, trace, keep, progress, dead, world)

`trace` comes from a pass with `branch="train"`; the loss' gradient reaches that SAE's parameters and nothing else. The
loop is the trainer's: it also calls the SAE's `project_decoder_grad_` before each optimiser step and its
`normalize_decoder_` after, and says which features are dead (and has them rebuild the error, by `revive`, where
`auxk_k` is not None).

All terms are scale-free: reconstruction is the fraction of variance unexplained, and strengths are measured against the
spread of the input, so that a weight means the same at every width and site (ours; the papers scale the input instead,
to unit mean square or to a mean square of d, which comes to the same up to a factor).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, cast

import torch
from torch import Tensor

from mfn_core.baselines.sae import SAE
from mfn_core.errors import ConfigError
from mfn_core.losses import DeadFeatures, Reconstruction
from mfn_core.losses.shared import quotient, variance
from mfn_core.run import AuxBranch, LayerTrace
from mfn_core.world import ALONE, World

TINY = 1e-12  # keeps a quotient finite where there is no variance at all


class Judged(NamedTuple):
    """What an objective gives: the loss to step on, a scalar, and detached scalars by name for the log."""

    loss: Tensor
    metrics: dict[str, Tensor]


class Objective(Protocol):
    """What the trainer knows of an objective."""

    @property
    def auxk_k(self) -> int | None:
        """How many dead features a token are to rebuild its error (AuxK); None where that is not part of it."""

    def __call__(
        self,
        sae: SAE,
        trace: LayerTrace,
        keep: Tensor,
        progress: float,
        dead: Tensor | None = None,
        world: World = ALONE,
    ) -> Judged:
        """The loss of one layer in one step.

        Args:
            sae: whose trace it is.
            trace: of a pass with `branch="train"`.
            keep: bool [B, T], the tokens that count; the first position of a document does not.
            progress: share of the steps done, from 0 to 1.
            dead: bool [F], the features that have stopped firing; None for none.
            world: the processes that share the batch.
        """


@dataclass(frozen=True)
class Standard:
    """Reconstruction and an L1 penalty: Bricken et al. 2023, in the form of Anthropic's April 2024 update.

    `FVU + l1 · mean_t Σ_j z_tj ‖D_j‖ / L`, L the root mean square of ‖x − x̄‖. The penalty counts ‖D_j‖, so that
    decoder norms are free; where they are 1 it is the plain L1.

    Attributes:
        l1: weight of the penalty. 1/√L0 tokens of size.
        warmup: share of the steps over which the penalty rises.
        revive: weight of what pulls a dead feature's pre-activations up, `mean_t Σ_dead ReLU(−p_tj) ‖D_j‖ / F` in the
            units of the input (ours here; AuxK gives no gradient to a feature that is below 0 on every token).
    """

    l1: float = 0.1
    warmup: float = 0.05
    revive: float = 0.01

    @property
    def auxk_k(self) -> int | None:
        """None."""
        return None

    def __call__(
        self,
        sae: SAE,
        trace: LayerTrace,
        keep: Tensor,
        progress: float,
        dead: Tensor | None = None,
        world: World = ALONE,
    ) -> Judged:
        """As `Objective` says."""
        lengths = sae.W_dec.norm(dim=-1)
        aux = _branch(trace)
        strengths = aux.codes.values * lengths[aux.codes.indices]
        penalty = _mean(strengths.sum(-1), keep, world) / _spread(trace, keep, world)
        pulled = _pull(sae, trace, keep, dead, None, world)
        recon = Reconstruction()(trace, keep, world)
        loss = recon + self.l1 * _rise(progress, self.warmup) * penalty + self.revive * pulled
        return Judged(loss, _metrics(trace, keep, dead, world, fvu=recon, l1=penalty))


@dataclass(frozen=True)
class TopK:
    """Reconstruction, and dead features that learn to rebuild its error: Gao et al. 2024. For BatchTopK too.

    `FVU + auxk · Σ‖e − D z_dead‖² / Σ‖e‖²`.

    Attributes:
        auxk: weight of AuxK (1/32 in the paper).
        auxk_k: how many dead features a token rebuild the error. Half the width of the input in the paper.
    """

    auxk_k: int | None
    auxk: float = 1 / 32

    def __call__(
        self,
        sae: SAE,
        trace: LayerTrace,
        keep: Tensor,
        progress: float,
        dead: Tensor | None = None,
        world: World = ALONE,
    ) -> Judged:
        """As `Objective` says."""
        recon, revival = Reconstruction()(trace, keep, world), DeadFeatures()(trace, keep, world)
        return Judged(recon + self.auxk * revival, _metrics(trace, keep, dead, world, fvu=recon, auxk=revival))


@dataclass(frozen=True)
class JumpReLU:
    """Reconstruction and a penalty on how many features fire, which trains the thresholds.

    `FVU + l0 · mean_t Σ_j 1[p_tj > θ_j]`, with a straight-through gradient to θ: Rajamanoharan et al. 2024. Or, with
    `penalty="tanh"`, `Σ_j tanh(c z_tj ‖D_j‖ √d / L)` in its place, after Anthropic's January 2025 update, whose
    gradient reaches the encoder too.

    Attributes:
        l0: weight of the penalty.
        penalty: `l0` or `tanh`.
        tanh_scale: c.
        warmup: share of the steps over which the penalty rises.
        revive: weight of what pulls a dead feature's pre-activations up to its threshold,
            `mean_t Σ_dead ReLU(θ_j − p_tj) ‖D_j‖ / F` (Anthropic's January 2025 update, there for every feature).
    """

    l0: float = 2e-3
    penalty: Literal["l0", "tanh"] = "l0"
    tanh_scale: float = 4.0
    warmup: float = 0.05
    revive: float = 0.01

    @property
    def auxk_k(self) -> int | None:
        """None."""
        return None

    def __call__(
        self,
        sae: SAE,
        trace: LayerTrace,
        keep: Tensor,
        progress: float,
        dead: Tensor | None = None,
        world: World = ALONE,
    ) -> Judged:
        """As `Objective` says."""
        assert sae.threshold is not None
        aux = _branch(trace)
        if self.penalty == "l0":
            firing = count_firing(aux.pre, sae.threshold, sae.config.bandwidth)
        else:
            unit = _spread(trace, keep, world) / sae.d_model**0.5
            strengths = aux.codes.values * sae.W_dec.norm(dim=-1)[aux.codes.indices] / unit
            firing = (self.tanh_scale * strengths).tanh().sum(-1)
        penalty = _mean(firing, keep, world)
        pulled = _pull(sae, trace, keep, dead, sae.threshold, world)
        recon = Reconstruction()(trace, keep, world)
        loss = recon + self.l0 * _rise(progress, self.warmup) * penalty + self.revive * pulled
        return Judged(loss, _metrics(trace, keep, dead, world, fvu=recon, penalty=penalty))


def objective_of(sae: SAE, **settings: Any) -> Objective:
    """The objective of an SAE's architecture.

    Args:
        sae: what is trained.
        settings: fields of `Standard`, `TopK` or `JumpReLU` that are to differ from their defaults.

    Raises:
        ConfigError: the architecture's objective has no such setting.
    """
    try:
        match sae.config.architecture:
            case "standard":
                return Standard(**settings)
            case "topk" | "batchtopk":
                return TopK(**{"auxk_k": max(sae.d_model // 2, 1), **settings})
            case "jumprelu":
                return JumpReLU(**settings)
    except TypeError as error:
        raise ConfigError(f"the objective of a {sae.config.architecture} SAE: {error}") from error


class CountFiring(torch.autograd.Function):
    """‖z_t‖₀ = Σ_j 1[p_tj > θ_j], with the straight-through gradient of Rajamanoharan et al. (2024), equation 12.

    ∂/∂θ_j = −(1/ε) 1[|p_tj − θ_j| < ε/2], and nothing to p.
    """

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        """pre [..., F], threshold [F]: gives [...]."""
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return (pre > threshold).sum(-1).to(threshold.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        """To θ alone."""
        (grad,) = grads
        pre, threshold = ctx.saved_tensors
        near = (pre - threshold).abs() < ctx.bandwidth / 2
        rows, features = near.reshape(-1, near.shape[-1]).nonzero(as_tuple=True)
        summed = torch.zeros_like(threshold).index_add_(0, features, grad.reshape(-1)[rows])
        return None, -summed / ctx.bandwidth, None


def count_firing(pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    """`CountFiring` as a typed function."""
    return cast(Tensor, CountFiring.apply(pre, threshold, bandwidth))  # type: ignore[no-untyped-call]


def _branch(trace: LayerTrace) -> AuxBranch:
    assert trace.aux is not None, "an objective needs the trace of a training pass"
    return trace.aux


def _rise(progress: float, warmup: float) -> float:
    return 1.0 if warmup == 0 else min(progress / warmup, 1.0)


def _mean(per_token: Tensor, keep: Tensor, world: World) -> Tensor:
    """The mean over the tokens that count."""
    return quotient((per_token * keep).sum(), keep.sum().to(per_token.dtype), world)


@torch.no_grad()
def _spread(trace: LayerTrace, keep: Tensor, world: World) -> Tensor:
    """L, the root mean square of ‖x − x̄‖ over the tokens that count."""
    x = trace.x[keep]
    tokens = world.sum(x.new_tensor(float(len(x)))).clamp(min=1.0)
    return (world.sum(variance(x, world)) / tokens).sqrt().clamp(min=TINY)


def _pull(
    sae: SAE, trace: LayerTrace, keep: Tensor, dead: Tensor | None, threshold: Tensor | None, world: World
) -> Tensor:
    """mean_t Σ_dead ReLU(θ_j − p_tj) ‖D_j‖ / F, in units of the input's spread per channel."""
    if dead is None or not bool(dead.any()):
        return trace.x.new_zeros(())
    numbers = dead.nonzero().squeeze(-1)
    missing = -_branch(trace).pre[..., numbers]
    if threshold is not None:
        missing = missing + threshold[numbers]
    unit = _spread(trace, keep, world) / sae.d_model**0.5
    short = (missing.relu() * sae.W_dec.detach()[numbers].norm(dim=-1)).sum(-1) / unit
    return _mean(short, keep, world) / sae.n_features


def _metrics(trace: LayerTrace, keep: Tensor, dead: Tensor | None, world: World, **terms: Tensor) -> dict[str, Tensor]:
    share = trace.x.new_zeros(()) if dead is None else dead.float().mean()
    found = {**terms, "l0": _mean(trace.raw_codes.l0().float(), keep, world), "dead": share}
    return {name: value.detach() for name, value in found.items()}
