"""The layer of monosemantic feature neurons: encode, keep at most K, rebuild, blend.

Source: "Monosemantic Feature Neurons" (preprint 202510.2064), section on the layer. Where the paper is silent the
choice is marked (ours).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfn_core.coder import NORM_EPS, SparseCoder, full_precision, revive
from mfn_core.codes import SparseCodes, top_k
from mfn_core.config import MFNLayerConfig
from mfn_core.errors import ConfigError
from mfn_core.run import AuxBranch, LayerTrace, Run, Stage


class TwinEncode(torch.autograd.Function):
    """p = W_e (x − b) + b_e, given out twice from one matmul.

    The first output is the utility path's: its gradient goes to the input and to the parameters. The second is the
    auxiliary losses': its gradient goes to the parameters alone. So the paper's gradient rule (recon, rate,
    competition and stability train only the layer they belong to) costs no second encoder matmul (ours).

    b is b_d, or one row a token where there is a lookup table; the latter costs one more matmul in the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, offset: Tensor, weight: Tensor, b_enc: Tensor) -> tuple[Tensor, Tensor]:
        """Shapes: x [..., d], offset [d] or [..., d], weight [F, d], b_enc [F]; gives [..., F] twice."""
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        centred = (x - offset).to(dtype)
        low = weight.to(dtype)
        pre = F.linear(centred, low, b_enc.to(dtype))
        ctx.save_for_backward(centred, low)
        ctx.dtypes = (x.dtype, offset.dtype, weight.dtype, b_enc.dtype)
        ctx.one_offset = offset.ndim == 1
        ctx.set_materialize_grads(False)
        return pre, pre.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Both cotangents reach the parameters, the first alone the input."""
        grad_util, grad_aux = grads
        if grad_util is None and grad_aux is None:
            return None, None, None, None
        centred, weight = ctx.saved_tensors
        x_type, offset_type, weight_type, b_enc_type = ctx.dtypes
        if grad_util is None or grad_aux is None:
            both = grad_aux if grad_util is None else grad_util
        else:
            both = grad_util + grad_aux
        assert both is not None
        rows = both.reshape(-1, both.shape[-1])
        grad_weight = rows.t() @ centred.reshape(-1, centred.shape[-1])
        # Summed over tokens in the parameters' own precision: thousands of bf16 addends would lose the small ones.
        grad_b_enc = rows.sum(0, dtype=b_enc_type)
        grad_x = None if grad_util is None else (grad_util @ weight).to(x_type)
        if ctx.one_offset:
            grad_offset = -(grad_b_enc @ weight.to(b_enc_type)).to(offset_type)
        elif grad_aux is None:
            assert grad_x is not None
            grad_offset = -grad_x.to(offset_type)
        else:
            grad_offset = -(both @ weight).to(offset_type)
        return grad_x, grad_offset, grad_weight.to(weight_type), grad_b_enc


def _twin_encode(x: Tensor, offset: Tensor, weight: Tensor, b_enc: Tensor) -> tuple[Tensor, Tensor]:
    """`TwinEncode` as a typed function."""
    pre: tuple[Tensor, Tensor] = TwinEncode.apply(x, offset, weight, b_enc)  # type: ignore[no-untyped-call]
    return pre


class MFNLayer(SparseCoder):
    """At most K of F named features between attention and MLP. Acts on each token alone.

    Parameters: `W_enc` [F, d], `b_enc` [F]; `W_dec` [F, d], row j the unit-norm direction D_j that feature j writes;
    `b_dec` [d], subtracted before encoding and added after decoding; with `token_lookup` also `T` [V, d], whose row
    for the current token goes with b_dec (ours).

    Attributes:
        k: K, how many features may fire; a training schedule may change it.
        alpha: α in [0, 1]; at 0 the stream passes untouched, bit for bit.
    """

    config: MFNLayerConfig
    T: nn.Parameter | None

    def __init__(
        self,
        d_model: int,
        config: MFNLayerConfig,
        number: int = 0,
        stage: Stage | None = None,
        vocab_size: int | None = None,
    ) -> None:
        super().__init__(d_model, config, number, stage)
        self.k = config.k
        self.alpha = config.alpha
        directions = F.normalize(torch.randn(config.n_features, d_model), dim=-1)
        self.W_enc = nn.Parameter(directions.clone())  # tied at the start: W_e = Dᵀ (ours)
        self.b_enc = nn.Parameter(torch.zeros(config.n_features))
        self.W_dec = nn.Parameter(directions)
        self.b_dec = nn.Parameter(torch.zeros(d_model))
        if config.token_lookup:
            if vocab_size is None:
                raise ConfigError("a token lookup needs to know how many token ids there are")
            self.T = nn.Parameter(torch.zeros(vocab_size, d_model))
        else:
            self.register_parameter("T", None)

    @property
    def current_config(self) -> MFNLayerConfig:
        """The configuration with K and α as they stand."""
        return replace(self.config, k=self.k, alpha=self.alpha)

    @property
    def directions(self) -> Tensor:
        """[F, d]: the decoder's unit-norm rows D_j."""
        return self.W_dec

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

    def pre_activations(self, x: Tensor) -> Tensor:
        """p = W_e (x − b_d) + b_e: [..., d] → [..., F]."""
        return F.linear((x - self.offset()).to(self.W_enc.dtype), self.W_enc, self.b_enc)

    def activate(self, pre: Tensor) -> SparseCodes:
        """z = TopK_K(ReLU(p)): [..., F] → [..., K]."""
        return top_k(pre, self.k)

    def decode(self, codes: SparseCodes) -> Tensor:
        """x̂ = D z + b_d: codes [..., K] → [..., d], in normalised units."""
        return codes.decode(self.W_dec) + self.offset()

    def offset(self) -> Tensor:
        """b_d [d], or b_d + T[token] [B, T, d] for the tokens of the forward pass at hand.

        Raises:
            RuntimeError: the model was given embeddings, so that nothing can be looked up.
        """
        if self.T is None:
            return self.b_dec
        tokens = self.stage.tokens
        if tokens is None:
            raise RuntimeError("a layer with a token lookup needs token ids: give the model input_ids, not embeddings")
        return self.b_dec + F.embedding(tokens, self.T)

    def forward(self, h: Tensor) -> Tensor:
        """h' = (1 − α) h + α ĥ, and the trace that the current run asks for. Shape [B, T, d]."""
        run = self.stage.run
        if run is not None and run.branch != "none":
            return self._train(h, run)
        watched = run is not None and run.record
        if self.alpha == 0.0 and not watched:
            return h
        x, scale, shift = self.normalise(full_precision(h))
        raw = codes = _as(self.activate(self.pre_activations(x)), x.dtype)
        if run is not None and run.edits is not None:
            codes = run.edits.layers[self.number].apply(codes, self.stage.positions)
        x_hat = self.decode(codes) if self.alpha > 0.0 else None
        if run is not None and watched:
            run.traces[self.number] = LayerTrace(codes, raw, scale.detach(), x.detach(), x_hat)
        return h if x_hat is None else self._blend(h, x_hat, scale, shift)

    def _train(self, h: Tensor, run: Run) -> Tensor:
        """The forward pass with an auxiliary branch, whose gradient reaches this layer's parameters alone."""
        x, scale, shift = self.normalise(full_precision(h))
        constant = x.detach()
        if run.branch == "stability":
            with torch.enable_grad():
                aux_pre = _twin_encode(constant, self.offset(), self.W_enc, self.b_enc)[1]
            pre = aux_pre.detach()
        else:
            pre, aux_pre = _twin_encode(x, self.offset(), self.W_enc, self.b_enc)
        codes = _as(self.activate(pre), x.dtype)
        with torch.enable_grad():
            values = F.relu(aux_pre.gather(-1, codes.indices)).to(x.dtype)
            aux_codes = SparseCodes(codes.indices, values, codes.n_features)
            aux_hat = revived = None
            if run.branch == "train":
                aux_hat = self.decode(aux_codes)
                if self.number in run.revive:
                    dead, k = run.revive[self.number]
                    revived = revive(aux_pre, dead, k, self.W_dec)
        aux = AuxBranch(aux_pre, aux_codes, aux_hat, revived)
        kept = codes.detach()
        run.traces[self.number] = LayerTrace(kept, kept, scale.detach(), constant, None, aux)
        return h if self.alpha == 0.0 else self._blend(h, self.decode(codes), scale, shift)

    def _blend(self, h: Tensor, x_hat: Tensor, scale: Tensor, shift: Tensor | None) -> Tensor:
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


def _as(codes: SparseCodes, dtype: torch.dtype) -> SparseCodes:
    return SparseCodes(codes.indices, codes.values.to(dtype), codes.n_features)
