"""The layer of monosemantic feature neurons: encode, keep at most K, rebuild, blend.

Source: "Monosemantic Feature Neurons" (preprint 202510.2064), section on the layer. Where the paper is silent the
choice is marked (ours).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfn_core.codes import SparseCodes, top_k
from mfn_core.config import MFNLayerConfig
from mfn_core.run import LayerTrace, Stage

NORM_EPS = 1e-6  # keeps the scale of an all-zero token away from 0 (ours)


class TwinEncode(torch.autograd.Function):
    """p = W_e (x − b_d) + b_e, given out twice from one matmul.

    The first output is the utility path's: its gradient goes to the input and to the parameters. The second is the
    auxiliary losses': its gradient goes to the parameters alone. So the paper's gradient rule (recon, rate,
    competition and stability train only the layer they belong to) costs no second encoder matmul (ours).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, b_dec: Tensor, weight: Tensor, b_enc: Tensor) -> tuple[Tensor, Tensor]:
        """Shapes: x [..., d], b_dec [d], weight [F, d], b_enc [F]; gives [..., F] twice."""
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        centred = (x - b_dec).to(dtype)
        low = weight.to(dtype)
        pre = F.linear(centred, low, b_enc.to(dtype))
        ctx.save_for_backward(centred, low)
        ctx.dtypes = (x.dtype, b_dec.dtype, weight.dtype, b_enc.dtype)
        ctx.set_materialize_grads(False)
        return pre, pre.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Both cotangents reach the parameters, the first alone the input."""
        grad_util, grad_aux = grads
        if grad_util is None and grad_aux is None:
            return None, None, None, None
        centred, weight = ctx.saved_tensors
        x_type, b_dec_type, weight_type, b_enc_type = ctx.dtypes
        if grad_util is None or grad_aux is None:
            both = grad_aux if grad_util is None else grad_util
        else:
            both = grad_util + grad_aux
        assert both is not None
        rows = both.reshape(-1, both.shape[-1])
        grad_weight = rows.t() @ centred.reshape(-1, centred.shape[-1])
        # Summed over tokens in the parameters' own precision: thousands of bf16 addends would lose the small ones.
        grad_b_enc = rows.sum(0, dtype=b_enc_type)
        grad_b_dec = -(grad_b_enc @ weight.to(b_enc_type)).to(b_dec_type)
        grad_x = None if grad_util is None else (grad_util @ weight).to(x_type)
        return grad_x, grad_b_dec, grad_weight.to(weight_type), grad_b_enc


def _twin_encode(x: Tensor, b_dec: Tensor, weight: Tensor, b_enc: Tensor) -> tuple[Tensor, Tensor]:
    """`TwinEncode` as a typed function."""
    pre: tuple[Tensor, Tensor] = TwinEncode.apply(x, b_dec, weight, b_enc)  # type: ignore[no-untyped-call]
    return pre


class MFNLayer(nn.Module):
    """At most K of F named features between attention and MLP. Acts on each token alone.

    Parameters: `W_enc` [F, d], `b_enc` [F]; `W_dec` [F, d], row j the unit-norm direction D_j that feature j writes;
    `b_dec` [d], subtracted before encoding and added after decoding.

    Attributes:
        k: K, how many features may fire; a training schedule may change it.
        alpha: α in [0, 1]; at 0 the stream passes untouched, bit for bit.
    """

    def __init__(self, d_model: int, config: MFNLayerConfig, number: int = 0, stage: Stage | None = None) -> None:
        super().__init__()
        self.config = config
        self.number = number
        self.stage = stage or Stage()
        self.d_model = d_model
        self.n_features = config.n_features
        self.k = config.k
        self.alpha = config.alpha
        directions = F.normalize(torch.randn(config.n_features, d_model), dim=-1)
        self.W_enc = nn.Parameter(directions.clone())  # tied at the start: W_e = Dᵀ (ours)
        self.b_enc = nn.Parameter(torch.zeros(config.n_features))
        self.W_dec = nn.Parameter(directions)
        self.b_dec = nn.Parameter(torch.zeros(d_model))

    def normalise(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """x, s and shift with h = s · x + shift. Shapes [..., d], [..., 1], [..., 1] (None: no shift)."""
        match self.config.norm:
            case "rms":
                scale = (h.square().mean(-1, keepdim=True) + NORM_EPS).sqrt()
                return h / scale, scale, None
            case "layer":
                shift = h.mean(-1, keepdim=True)
                scale = ((h - shift).square().mean(-1, keepdim=True) + NORM_EPS).sqrt()
                return (h - shift) / scale, scale, shift
            case "scalar":
                scale = torch.full_like(h[..., :1], self.config.norm_scale)
                return h / scale, scale, None
            case "none":
                return h, torch.ones_like(h[..., :1]), None

    def encode(self, h: Tensor) -> tuple[SparseCodes, Tensor]:
        """The code of a stream.

        Args:
            h: [..., d].

        Returns:
            Codes [..., K] in units of z, and the scale s [..., 1].
        """
        x, scale, _ = self.normalise(full_precision(h))
        return top_k(self.pre_activations(x), self.k), scale

    def pre_activations(self, x: Tensor) -> Tensor:
        """p = W_e (x − b_d) + b_e: [..., d] → [..., F]."""
        return F.linear((x - self.b_dec).to(self.W_enc.dtype), self.W_enc, self.b_enc)

    def decode(self, codes: SparseCodes) -> Tensor:
        """x̂ = D z + b_d: codes [..., K] → [..., d], in normalised units."""
        return codes.decode(self.W_dec) + self.b_dec

    def forward(self, h: Tensor, positions: Tensor) -> Tensor:
        """h' = (1 − α) h + α ĥ, and the trace that the current run asks for.

        Args:
            h: [B, T, d], the stream after attention has been added.
            positions: int64 [B or 1, T], each token's place in its own text.
        """
        run = self.stage.run
        watched = run is not None and (run.record or run.train)
        if self.alpha == 0.0 and not watched:
            return h
        x, scale, shift = self.normalise(full_precision(h))
        aux: Tensor | None = None
        if run is not None and run.train:
            pre, aux = _twin_encode(x, self.b_dec, self.W_enc, self.b_enc)
        else:
            pre = self.pre_activations(x)
        chosen = top_k(pre, self.k)
        raw = codes = SparseCodes(chosen.indices, chosen.values.to(x.dtype), chosen.n_features)
        if run is not None and run.edits is not None:
            codes = run.edits.layers[self.number].apply(codes, positions)
        x_hat = self.decode(codes) if self.alpha > 0.0 else None
        if run is not None and watched:
            own: Tensor | None
            if aux is not None:
                values = F.relu(aux.gather(-1, raw.indices)).to(x.dtype)
                own = self.decode(SparseCodes(raw.indices, values, raw.n_features))
            else:
                own = x_hat
            run.traces[self.number] = LayerTrace(codes, raw, scale.detach(), x.detach(), own, aux)
        if x_hat is None:
            return h
        h_hat = scale * x_hat
        if shift is not None:
            h_hat = h_hat + shift
        if self.alpha == 1.0:
            return h_hat.to(h.dtype)
        return ((1.0 - self.alpha) * h + self.alpha * h_hat).to(h.dtype)

    @torch.no_grad()
    def normalize_decoder_(self) -> None:
        """Gives every decoder direction unit norm again; after each optimiser step."""
        self.W_dec.copy_(F.normalize(self.W_dec, dim=-1))

    @torch.no_grad()
    def project_decoder_grad_(self) -> None:
        """Takes out of the decoder's gradient what points along the directions; before each optimiser step."""
        if self.W_dec.grad is not None:
            along = (self.W_dec.grad * self.W_dec).sum(-1, keepdim=True)
            self.W_dec.grad.sub_(along * self.W_dec)

    def extra_repr(self) -> str:
        """What printing the module shows."""
        return f"d_model={self.d_model}, n_features={self.n_features}, k={self.k}, alpha={self.alpha}"


def full_precision(h: Tensor) -> Tensor:
    """At least single precision: a half-precision mean of squares loses the scale."""
    return h if h.dtype in (torch.float32, torch.float64) else h.float()
