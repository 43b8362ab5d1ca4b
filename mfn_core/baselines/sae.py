"""Sparse autoencoders at a site: ReLU, TopK, BatchTopK and JumpReLU behind one interface.

Sources: Bricken et al. 2023, "Towards Monosemanticity", and Anthropic's April 2024 update (`standard`); Gao et al.
2024, arXiv 2406.04093 (`topk`); Bussmann et al. 2024, arXiv 2412.06410 (`batchtopk`); Rajamanoharan et al. 2024,
arXiv 2407.14435 (`jumprelu`). The losses that train them are in `objectives.py`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfn_core.baselines.config import SAEConfig
from mfn_core.coder import PostHocCoder
from mfn_core.codes import SparseCodes, top_k
from mfn_core.run import Run, Stage
from mfn_core.world import World

TINY = 1e-12  # keeps the scale of an all-zero token away from 0
LAYER_EPS = 1e-5  # SAELens's
STANDARD_NORM = 0.1  # of the decoder's rows at the start, where their norm is free (April update)
THRESHOLD_RATE = 0.01  # of the moving average that is BatchTopK's threshold (SAELens's)
# A code of more than F / WIDE entries a token decodes faster by a dense matmul than by sums of rows; of more than
# F / WIDE_LEARNING where there is a backward pass (measured at d = 512, F = 8192, on one core).
WIDE, WIDE_LEARNING = 8, 24


class JumpReLU(torch.autograd.Function):
    """z = p · 1[p > θ], with the straight-through gradient of Rajamanoharan et al. (2024), equation 11.

    ∂z/∂p = 1[p > θ];  ∂z/∂θ = −(θ/ε) · 1[|p − θ| < ε/2]: averaged over tokens, an estimate (with a rectangle as
    kernel) of how the expected loss changes as θ moves, to which z itself has no derivative.
    """

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        """Entries p and their thresholds, of one shape."""
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        """To p and to θ."""
        (grad,) = grads
        pre, threshold = ctx.saved_tensors
        near = (pre - threshold).abs() < ctx.bandwidth / 2
        return grad * (pre > threshold), -threshold / ctx.bandwidth * near * grad, None


def jump_relu(pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    """`JumpReLU` as a typed function."""
    return cast(Tensor, JumpReLU.apply(pre, threshold, bandwidth))  # type: ignore[no-untyped-call]


class SAE(PostHocCoder):
    """A sparse autoencoder that watches a model at one site, and steers it with its error term kept; or replaces the
    stream there (`SAEConfig.replaces`).

    `p = W_e (x − b_d) + b_e`, `x̂ = Σ z_j D_j + b_d` with x the normalised stream. Codes are never stored dense: where
    the number of firings varies, the width is that of the token with the most of them.

    Parameters: `W_enc` [F, d], `b_enc` [F], `W_dec` [F, d] with D_j as rows, `b_dec` [d]; with jumprelu `threshold`
    [F]. With batchtopk `threshold` is a buffer [], the moving average of the smallest activation that a training batch
    kept; −1 before the first.

    Attributes:
        k: K, which a training schedule may move; None where the architecture has none.
        replaces: as `SAEConfig` says.
    """

    config: SAEConfig
    threshold: Tensor | None

    def __init__(self, d_model: int, config: SAEConfig, number: int = 0, stage: Stage | None = None) -> None:
        super().__init__(d_model, config, number, stage)
        self.k = config.k
        self.replaces = config.replaces
        directions = F.normalize(torch.randn(config.n_features, d_model), dim=-1)
        if config.architecture == "standard":
            directions = directions * STANDARD_NORM
        self.W_enc = nn.Parameter(directions.clone())
        self.b_enc = nn.Parameter(torch.zeros(config.n_features))
        self.W_dec = nn.Parameter(directions)
        self.b_dec = nn.Parameter(torch.zeros(d_model))
        match config.architecture:
            case "jumprelu":
                self.threshold = nn.Parameter(torch.full((config.n_features,), config.threshold))
            case "batchtopk":
                self.register_buffer("threshold", torch.tensor(-1.0))
            case _:
                self.threshold = None

    @property
    def current_config(self) -> SAEConfig:
        """The configuration with K as it stands."""
        return dataclasses.replace(self.config, k=self.k, replaces=self.replaces)

    @property
    def directions(self) -> Tensor:
        """[F, d]: the decoder's rows D_j. Their norm is 1, except with `standard`, where training leaves it free."""
        return self.W_dec

    @property
    def encoder_rows(self) -> Tensor:
        """[F, d]: the encoder's rows."""
        return self.W_enc

    def normalise(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """x, s and shift with h = s · x + shift. Shapes [..., d], [..., 1], [..., 1] (None: no shift)."""
        match self.config.norm:
            case "rms":
                # bounded below the root, whose derivative at 0 is not finite
                scale = h.square().mean(-1, keepdim=True).clamp(min=TINY**2).sqrt()
                return h / scale, scale, None
            case "layer":
                shift = h.mean(-1, keepdim=True)
                scale = h.std(-1, keepdim=True) + LAYER_EPS
                return (h - shift) / scale, scale, shift
            case "scalar":
                scale = torch.full_like(h[..., :1], self.config.norm_scale)
                return h / scale, scale, None
            case "none":
                return h, torch.ones_like(h[..., :1]), None

    def pre_activations(self, x: Tensor) -> Tensor:
        """p = W_e (x − b_d) + b_e: [..., d] → [..., F]. Without b_d where `apply_b_dec_to_input` is off."""
        centred = x - self.b_dec if self.config.apply_b_dec_to_input else x
        return F.linear(centred.to(self.W_enc.dtype), self.W_enc, self.b_enc)

    def activate(self, pre: Tensor) -> SparseCodes:
        """The code of some pre-activations: [..., F] → [..., width].

        In a training pass BatchTopK chooses among all tokens at hand (those of this process), and notes its threshold;
        JumpReLU's entries then include those that lie just below their threshold, with value 0, since the threshold's
        gradient comes from both sides.
        """
        run = self.stage.run if self.stage.run is not None and self.stage.run.branch == "train" else None
        match self.config.architecture:
            case "topk":
                assert self.k is not None
                return top_k(pre, self.k)
            case "standard":
                return entries(pre, pre > 0)
            case "batchtopk":
                return entries(pre, pre > self._thresholds() if run is None else self._largest(pre, run))
            case "jumprelu":
                threshold = self._thresholds()
                if run is None:
                    return entries(pre, pre > threshold)
                near = _padded(pre > threshold - self.config.bandwidth / 2)
                # In the thresholds' own precision: their gradient is a sum over thousands of tokens.
                values = pre.gather(-1, near.indices).to(threshold.dtype)
                values = jump_relu(values, threshold[near.indices], self.config.bandwidth)
                return SparseCodes(near.indices, values * near.filled, pre.shape[-1])

    def decode(self, codes: SparseCodes) -> Tensor:
        """x̂ = D z + b_d: codes [..., width] → [..., d], in normalised units."""
        learning = torch.is_grad_enabled() and (self.W_dec.requires_grad or codes.values.requires_grad)
        if codes.width * (WIDE_LEARNING if learning else WIDE) > self.n_features:
            return codes.dense().to(self.W_dec.dtype) @ self.W_dec + self.b_dec
        return codes.decode(self.W_dec) + self.b_dec

    def _thresholds(self) -> Tensor:
        """θ at or above 0: [F], or [] where all features share it."""
        assert self.threshold is not None
        return self.threshold.clamp(min=0.0)

    @torch.no_grad()
    def _largest(self, pre: Tensor, run: Run) -> Tensor:
        """bool [..., F]: the K·N largest positive pre-activations of N tokens. Moves the threshold, once a run."""
        assert self.k is not None
        assert self.threshold is not None
        flat = pre.reshape(-1)
        values, places = flat.topk(self.k * pre[..., 0].numel(), sorted=False)
        kept = values > 0
        chosen = torch.zeros_like(flat, dtype=torch.bool)
        chosen[places[kept]] = True
        if self.number in run.traces:  # gradient checkpointing computes the pass a second time
            return chosen.view_as(pre)
        world = World.current()
        smallest = values.where(kept, torch.inf).min().to(self.threshold.dtype)
        smallest = world.sum(smallest) / world.size
        moved = torch.where(self.threshold < 0, smallest, self.threshold.lerp(smallest, THRESHOLD_RATE))
        self.threshold.copy_(torch.where(smallest.isfinite(), moved, self.threshold))
        return chosen.view_as(pre)

    @torch.no_grad()
    def project_decoder_grad_(self) -> None:
        """Takes out of the decoder's gradient what points along the directions; before each optimiser step.

        Nothing with `standard`, whose decoder norms are free.
        """
        if self.config.architecture != "standard" and self.W_dec.grad is not None:
            along = (self.W_dec.grad * self.W_dec).sum(-1, keepdim=True)
            self.W_dec.grad.sub_(along * self.W_dec)

    @torch.no_grad()
    def normalize_decoder_(self) -> None:
        """Keeps to what the architecture asks, after each optimiser step.

        Unit-norm directions (not with `standard`) and thresholds at or above 0.
        """
        if self.config.architecture != "standard":
            self.W_dec.copy_(F.normalize(self.W_dec, dim=-1))
        if self.config.architecture == "jumprelu":
            assert self.threshold is not None
            self.threshold.clamp_(min=0.0)

    @torch.no_grad()
    def fold_decoder_norms_(self) -> None:
        """Gives every direction unit norm without changing what comes out: what D_j loses, z_j gains.

        For `standard` and `jumprelu`, after training, so that values of z mean the same in every feature.

        Raises:
            ValueError: with another architecture, whose choice of features would change.
        """
        if self.config.architecture not in ("standard", "jumprelu"):
            raise ValueError(f"the norms of a {self.config.architecture} decoder decide nothing that could be kept")
        norms = self.W_dec.norm(dim=-1).clamp(min=TINY)
        self.W_dec.div_(norms[:, None])
        self.W_enc.mul_(norms[:, None])
        self.b_enc.mul_(norms)
        if self.threshold is not None:
            self.threshold.mul_(norms)

    def extra_repr(self) -> str:
        """What printing the module shows."""
        k = "" if self.k is None else f", k={self.k}"
        return f"{self.config.architecture}, d_model={self.d_model}, n_features={self.n_features}{k}"


@dataclasses.dataclass(frozen=True, slots=True)
class _Padded:
    """Rows of different length, padded on the right. Shapes [..., width]: int64, and bool, False in padding."""

    indices: Tensor
    filled: Tensor


def _padded(chosen: Tensor) -> _Padded:
    """The places that are True in each row [..., F], in ascending order. Waits for the device once, for the width."""
    flat = chosen.reshape(-1, chosen.shape[-1])
    rows, columns = flat.nonzero(as_tuple=True)
    counts = flat.sum(-1)
    width = max(int(counts.max()), 1) if counts.numel() else 1
    slots = torch.arange(len(rows), device=flat.device) - (counts.cumsum(0) - counts)[rows]
    indices = columns.new_zeros(len(flat), width)
    indices[rows, slots] = columns
    filled = torch.arange(width, device=flat.device) < counts[:, None]
    shape = (*chosen.shape[:-1], width)
    return _Padded(indices.view(shape), filled.view(shape))


def entries(pre: Tensor, chosen: Tensor) -> SparseCodes:
    """The chosen pre-activations as a code, as wide as the fullest token needs. Gradient flows to those chosen.

    Args:
        pre: [..., F].
        chosen: bool [..., F].
    """
    places = _padded(chosen)
    values = pre.gather(-1, places.indices)
    return SparseCodes(places.indices, torch.where(places.filled, values, 0.0), pre.shape[-1])
