"""The MLP's own neurons as a code: the oldest baseline, a dictionary that the model came with."""

from __future__ import annotations

import torch
from torch import Tensor

from mfn_core.baselines.config import NeuronConfig
from mfn_core.coder import PostHocCoder
from mfn_core.codes import SparseCodes
from mfn_core.errors import ConfigError
from mfn_core.run import LayerTrace, Stage


class NeuronCoder(PostHocCoder):
    """Neurons at `mlp_hidden`, what the down projection reads: z = h, scale 1, nothing to train.

    It is decoded in the space of the site, where feature j is the j-th axis; in the stream, after the MLP, that axis
    is the j-th column of the down projection. With `k` a record keeps the K largest by magnitude, and x̂ is what those
    alone rebuild. An intervention moves the neuron itself, from its true value, kept or not.
    """

    config: NeuronConfig
    _unit: Tensor

    def __init__(self, d_model: int, config: NeuronConfig, number: int = 0, stage: Stage | None = None) -> None:
        """Raises ConfigError where `n_features` does not fit the MLP's width `d_model`."""
        super().__init__(d_model, config, number, stage)
        expected = d_model if config.signed else 2 * d_model
        if config.n_features != expected:
            raise ConfigError(
                f"block {number} has {d_model} neurons, hence {expected} features with signed="
                f"{config.signed}, not {config.n_features}"
            )
        self.signed = config.signed
        self.register_buffer("_unit", torch.ones(()), persistent=False)  # knows the device and the type

    @property
    def directions(self) -> Tensor:
        """[F, m]: the axes, and with `signed` off their negatives after them. Made when asked for: m × m numbers."""
        axes = torch.diag(self._unit.expand(self.d_model))
        return axes if self.signed else torch.cat([axes, -axes])

    def normalise(self, h: Tensor) -> tuple[Tensor, Tensor, None]:
        """h itself, scale 1, no shift."""
        return h, torch.ones_like(h[..., :1]), None

    def pre_activations(self, x: Tensor) -> Tensor:
        """The neurons, or both their parts: [..., m] → [..., F]."""
        return x if self.signed else torch.cat([x, -x], dim=-1).relu()

    def activate(self, pre: Tensor) -> SparseCodes:
        """The K neurons of largest magnitude, or all: [..., F] → [..., K]."""
        if self.config.k is None:
            return self._all(pre)
        indices = pre.abs().topk(self.config.k, dim=-1, sorted=False).indices
        return SparseCodes(indices, pre.gather(-1, indices), self.n_features)

    def decode(self, codes: SparseCodes) -> Tensor:
        """Each value on its axis: [..., K] → [..., m]."""
        dense = codes.dense()
        return dense if self.signed else dense[..., : self.d_model] - dense[..., self.d_model :]

    def products(self, x: Tensor, codes: SparseCodes) -> Tensor:
        """Along an axis: the neuron itself, or its negative. x [..., m], codes [..., K] → [..., K]."""
        found = x.gather(-1, codes.indices % self.d_model)
        return torch.where(codes.indices < self.d_model, found, -found)

    def forward(self, h: Tensor) -> Tensor:
        """h, with the current run's interventions. Shape [B, T, m]."""
        run = self.stage.run
        if run is None or not (run.watched or run.edits is not None):
            return h
        pre = self.pre_activations(h)
        raw = codes = self.activate(pre)
        whole = edited = self._all(pre)
        changed = h
        if run.edits is not None:
            edited = run.edits.layers[self.number].apply(whole, self.stage.positions)
            changed = self.decode(edited)
            codes = self.activate(edited.dense())
        if run.watched:
            scale = torch.ones_like(h[..., :1])
            x_hat = None if run.record == "codes" else self.decode(codes)
            run.traces[self.number] = LayerTrace(codes, raw, scale, h.detach(), x_hat, whole=(whole, edited))
        return changed

    def _all(self, pre: Tensor) -> SparseCodes:
        indices = torch.arange(self.n_features, device=pre.device).expand(pre.shape)
        return SparseCodes(indices, pre, self.n_features)
