"""A learned vector for each token, added to the stream of a block: what a dense twin is given beside a model whose
layers look tokens up."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfn_core.baselines.config import TokenTableConfig
from mfn_core.coder import SparseCoder, full_precision, over_rms
from mfn_core.codes import SparseCodes
from mfn_core.errors import ConfigError
from mfn_core.run import LayerTrace, Stage


class TokenTable(SparseCoder):
    """h' = h + s_t Σ_j z_j T_j, with one feature a token: z is 1 for the token at hand and 0 for all others.

    s_t is the root mean square of h, as in a layer of features with `norm="rms"`.

    Attributes:
        T: [V, d], zero at first, so that an untrained table changes nothing.
    """

    config: TokenTableConfig
    rebuilds = False  # it adds to the stream what it knows of the token

    def __init__(
        self, d_model: int, config: TokenTableConfig, number: int = 0, stage: Stage | None = None, vocab_size: int = 0
    ) -> None:
        """Raises ConfigError where `n_features` is not the size of the vocabulary."""
        super().__init__(d_model, config, number, stage)
        if config.n_features != vocab_size:
            raise ConfigError(f"a token table has one feature a token, hence {vocab_size}, not {config.n_features}")
        self.T = nn.Parameter(torch.zeros(vocab_size, d_model))

    @property
    def directions(self) -> Tensor:
        """[V, d]: the table."""
        return self.T

    def normalise(self, h: Tensor) -> tuple[Tensor, Tensor, None]:
        """h over its root mean square, and that; no shift."""
        return over_rms(h)

    def pre_activations(self, x: Tensor) -> Tensor:
        """1 for the token of the forward pass at hand, else 0: [B, T, d] → [B, T, V]."""
        return F.one_hot(self._tokens(), self.n_features).to(x.dtype)

    def activate(self, pre: Tensor) -> SparseCodes:
        """The one that is 1: [..., V] → [..., 1]."""
        values, indices = pre.max(-1, keepdim=True)
        return SparseCodes(indices, values, self.n_features)

    def decode(self, codes: SparseCodes) -> Tensor:
        """What is added, in normalised units: codes [..., K] → [..., d]."""
        return codes.decode(self.T)

    def forward(self, h: Tensor) -> Tensor:
        """h with its token's vector, and the current run's interventions. Shape [B, T, d]."""
        x, scale, _ = self.normalise(full_precision(h))
        tokens = self._tokens()[..., None]
        codes = raw = SparseCodes(tokens, torch.ones_like(scale), self.n_features)
        run = self.stage.run
        if run is not None and run.edits is not None:
            codes = run.edits.layers[self.number].apply(raw, self.stage.positions)
        if run is not None and run.watched:  # it rebuilds nothing, so there is no x̂ to be held against x
            run.traces[self.number] = LayerTrace(codes, raw, scale.detach(), x.detach(), None)
        return (h + scale * self.decode(codes)).to(h.dtype)

    def _tokens(self) -> Tensor:
        """Raises RuntimeError where the model was given embeddings, so that nothing can be looked up."""
        if self.stage.tokens is None:
            raise RuntimeError("a token table needs token ids: give the model input_ids, not embeddings")
        return self.stage.tokens
