"""The layer of monosemantic feature neurons: encode, keep at most K, rebuild, blend.

Source: "Monosemantic Feature Neurons" (preprint 202510.2064), section on the layer. Where the paper is silent the
choice is marked (ours).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfn_core.coder import NORM_EPS, SparseCoder, full_precision, over_rms
from mfn_core.codes import SparseCodes, top_k
from mfn_core.config import MFNLayerConfig
from mfn_core.errors import ConfigError
from mfn_core.kernels.encode import encode
from mfn_core.run import AuxBranch, LayerTrace, Run, Stage


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

    @property
    def error_kept(self) -> float:
        """1 − α: h' = ĥ + (1 − α) (h − ĥ). With `blend_into="mlp"` the MLP reads that, and the skip keeps the error."""
        return 1.0 - self.alpha

    @property
    def encoder_rows(self) -> Tensor:
        """[F, d]: the encoder's rows."""
        return self.W_enc

    def normalise(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """x, s and shift with h = s · x + shift. Shapes [..., d], [..., 1], [..., 1] (None: no shift)."""
        match self.config.norm:
            case "rms":
                return over_rms(h)
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
        asked = run is not None and run.edits is not None and run.edits.layers[self.number].used_asked > 0
        if self.alpha == 0.0 and not watched and not asked:
            return h
        x, scale, shift = self.normalise(full_precision(h))
        if self.training and torch.is_grad_enabled():
            encoded = encode(x, self.offset(), self.W_enc, self.b_enc, self.k)
            raw = codes = self._code(encoded.indices, encoded.values)
        else:
            chosen = self.activate(self.pre_activations(x))
            raw = codes = SparseCodes(chosen.indices, chosen.values.to(x.dtype), chosen.n_features)
        if run is not None and run.edits is not None:
            codes = run.edits.layers[self.number].apply(codes, self.stage.positions)
        x_hat = self.decode(codes) if self.alpha > 0.0 else None
        if run is not None and watched:
            run.traces[self.number] = LayerTrace(codes, raw, scale.detach(), x.detach(), x_hat)
        return h if x_hat is None else self._blend(h, x_hat, scale, shift)

    def _train(self, h: Tensor, run: Run) -> Tensor:
        """The forward pass with an auxiliary branch, whose gradient reaches this layer's parameters alone.

        With the branch `apart` the utility path's gradient reaches none of them.
        """
        x, scale, shift = self.normalise(full_precision(h))
        constant = x.detach()
        stability, apart = run.branch == "stability", run.branch == "apart"
        numbers, n_revived = None, 0
        if self.number in run.revive and not stability:
            dead, n_revived = run.revive[self.number]
            numbers = dead.nonzero().squeeze(-1)
        with torch.enable_grad() if stability else nullcontext():
            encoded = encode(
                constant if stability else x, self.offset(), self.W_enc, self.b_enc, self.k, numbers, n_revived, apart
            )
        codes = self._code(encoded.indices, encoded.values)
        if stability:
            codes = codes.detach()
        with torch.enable_grad():
            own = self._code(encoded.indices, encoded.own_values)
            own_hat = None if stability else self.decode(own)
            revived = None
            if encoded.dead_indices is not None and encoded.dead_values is not None:
                revived = self._code(encoded.dead_indices, encoded.dead_values).decode(self.W_dec)
        aux = AuxBranch(encoded.pre, own, own_hat, revived)
        kept = codes.detach()
        run.traces[self.number] = LayerTrace(kept, kept, scale.detach(), constant, None, aux)
        if self.alpha == 0.0:
            return h
        x_hat = codes.decode(self.W_dec.detach()) + self.offset().detach() if apart else self.decode(codes)
        return self._blend(h, x_hat, scale, shift)

    def _code(self, indices: Tensor, values: Tensor) -> SparseCodes:
        return SparseCodes(indices, F.relu(values), self.n_features)

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
