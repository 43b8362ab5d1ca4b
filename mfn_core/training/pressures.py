"""The five pressures on layers of features, put together: two forward passes, one loss to step on.

A clean pass over the whole batch gives utility, recon, rate, comp and AuxK; a perturbed pass over some of its texts
gives stab, with nothing of the Transformer in its graph. What a layer's losses know of the past, such as firing rates,
is the same on every process, and part of a checkpoint.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.layer import MFNLayer
from mfn_core.losses import (
    Competition,
    DeadFeatures,
    FeatureStatistics,
    Rate,
    Reconstruction,
    Stability,
    Utility,
)
from mfn_core.model import MFNModel
from mfn_core.run import Branch, LayerTrace, Revive
from mfn_core.training.config import TrainConfig
from mfn_core.training.objective import Batch, Figures, Losses
from mfn_core.training.optimizer import Optimizers
from mfn_core.training.precision import autocast
from mfn_core.training.recompute import not_recomputed
from mfn_core.training.renewal import Renewal
from mfn_core.training.schedules import anneal_k, ramp
from mfn_core.world import ALONE, World


class Pressures:
    """The objective of a model with layers of features; of one without any, the next-token loss alone.

    Attributes:
        statistics: by block number.
        entered: whether there are layers and they take part; before that, the next-token loss is alone.
    """

    def __init__(self, model: MFNModel, config: TrainConfig, world: World = ALONE) -> None:
        self.model, self.config, self.mfn, self.world = model, config, config.mfn, world
        self.entered = False
        self.utility, self.recon, self.auxk = Utility(), Reconstruction(), DeadFeatures()
        self.rate, self.comp, self.stab = Rate(self.mfn.rate_tau), Competition(), Stability()
        self.perturbation = self.mfn.perturbation(config.seed)
        self.statistics = {
            number: FeatureStatistics(layer.n_features, self.mfn.horizon, model.device)
            for number, layer in model.mfn_layers.items()
        }
        self.renewals = {
            number: Renewal(layer, self.statistics[number], self.mfn.resample_after, world)
            for number, layer in model.mfn_layers.items()
            if self.mfn.resample_after
        }

    def begin(self, step: int) -> dict[str, float]:
        """Sets α and K; before layers, or token tables, enter, nothing of them learns."""
        there = step >= self.config.entry
        self.entered = there and bool(self.model.mfn_layers)
        if self.entered and self.mfn.utility == "none":
            # A gradient of zero would not do: momentum and weight decay move what has one.
            self.model.base.requires_grad_(False)
        for coder in self.model.coders.values():
            coder.requires_grad_(there)
        return apply_schedules(self.model, self.config, step)

    def losses(self, batch: Batch) -> Losses:
        """The loss of one batch: the sum of the weighted pressures, each a mean over layers."""
        training = self.entered
        with autocast(self.config.autocast, self.model.device):
            out = self.model(batch.ids, branch=self._branch(), revive=self._revive(batch) if training else None)
            perturbed, rows, keep = self._perturbed(batch) if training and self.mfn.stab else ({}, slice(0), None)
        utility = self.utility(out.logits[:, :-1], batch.ids[:, 1:], self.world)
        terms: dict[str, dict[int, Tensor]] = defaultdict(dict)
        for number, trace in out.traces.items():
            self.statistics[number].update(trace.raw_codes, batch.keep, self.world)
            terms["fvu"][number] = self.recon(trace, batch.keep, self.world)
            for name, value in self._others(number, trace, batch).items():
                terms[name][number] = value
            if keep is not None:
                terms["stab"][number] = self.stab(trace, perturbed[number], rows, keep, self.world)
            if number in self.renewals and batch.last:
                self.renewals[number].note(trace, batch)
        total = utility.detach() if training and self.mfn.utility == "none" else utility
        for name, by_layer in terms.items():
            values = torch.stack(list(by_layer.values()))
            if name == "rate":
                values = F.relu(values - self.mfn.rate_slack)
            total = total + self.weight(name, batch.step) * values.mean()
        figures: dict[str, Any] = {"utility": utility.detach()}
        figures |= {name: {n: value.detach() for n, value in by_layer.items()} for name, by_layer in terms.items()}
        return Losses(total, {**figures, **(self._census(batch) if training else {})}, out.run)

    def _branch(self) -> Branch:
        """How far the next-token loss goes back."""
        if not self.entered:
            return "none"
        return "train" if self.mfn.utility == "all" else "apart"

    def weight(self, name: str, step: int) -> float:
        """Of a pressure, in the step that follows `step` finished ones."""
        mfn = self.mfn
        eased = mfn.pressures_last ** ramp(since_entry(self.config, step), mfn.pressures_from, 1.0)
        return float(eased * (mfn.recon if name == "fvu" else getattr(mfn, name)))

    def _others(self, number: int, trace: LayerTrace, batch: Batch) -> dict[str, Tensor]:
        """Rate, competition and AuxK of one layer, as far as they have a weight."""
        mfn, statistics, world = self.mfn, self.statistics[number], self.world
        layer = self.model.mfn_layers[number]
        out: dict[str, Tensor] = {}
        if self.weight("rate", batch.step):
            where = slice(batch.step % mfn.rate_every, None, mfn.rate_every)
            out["rate"] = self.rate(trace, batch.keep, where, statistics.rate, layer.k / layer.n_features, world)
        if mfn.comp:
            where = slice(batch.step % mfn.comp_every, None, mfn.comp_every)
            out["comp"] = self.comp(trace, batch.keep, statistics.power, where, world)
        if mfn.auxk:
            out["auxk"] = self.auxk(trace, batch.keep, world)
        return out

    def _perturbed(self, batch: Batch) -> tuple[dict[int, LayerTrace], slice, Tensor]:
        """The perturbed pass: its traces, the rows of the batch it is over, and which of its tokens count."""
        rows = slice(None, None, self.mfn.stab_every)
        ids = batch.ids[rows]
        changed = self.perturbation.apply(ids, batch.step, batch.number * len(ids))
        with not_recomputed(self.model):
            out = self.model(changed.ids, branch="stability", perturbation=changed.embed, logits_to_keep=1)
        return out.traces, rows, changed.keep & batch.keep[rows]

    def _revive(self, batch: Batch) -> dict[int, Revive]:
        if not self.mfn.auxk:
            return {}
        return {
            number: Revive(self.dead(number) | self.rare(number, batch.step), self.mfn.auxk_k)
            for number in self.statistics
        }

    def dead(self, number: int) -> Tensor:
        """bool [F]: which features of a layer have been silent for `dead_after` tokens."""
        return self.statistics[number].dead(self.mfn.dead_after)

    def rare(self, number: int, step: int) -> Tensor:
        """bool [F]: which fire at less than `floor` of the target rate, once `dead_after` tokens have been seen."""
        layer, rate = self.model.mfn_layers[number], self.statistics[number].rate
        if (step - self.config.entry) * self.config.tokens_per_step < self.mfn.dead_after:
            return torch.zeros_like(rate, dtype=torch.bool)
        return rate < self.mfn.floor * layer.k / layer.n_features

    def _census(self, batch: Batch) -> Figures:
        """Shares of features: dead, and rare."""
        dead = {number: self.dead(number).float().mean() for number in self.statistics}
        rare = {number: self.rare(number, batch.step).float().mean() for number in self.statistics}
        return {"dead": dead, "rare": rare} if dead else {}

    def project(self) -> None:
        """Takes out of the decoders' gradients what would only lengthen their directions."""
        for layer in self.model.mfn_layers.values():
            layer.project_decoder_grad_()

    def settle(self, optimizers: Optimizers) -> None:
        """Gives directions unit norm again; starts features anew that are long dead, where that is asked for."""
        if not self.entered:
            return  # nothing has moved
        self.constrain()
        for renewal in self.renewals.values():
            renewal.apply(optimizers)

    def constrain(self) -> None:
        """Gives every direction unit norm."""
        for layer in self.model.mfn_layers.values():
            layer.normalize_decoder_()

    def finish(self) -> None:
        """Nothing: what is trained is what is shipped."""


def apply_schedules(model: MFNModel, config: TrainConfig, step: int) -> dict[str, float]:
    """Gives every layer the α and K that it has in the step that follows `step` finished ones.

    Returns:
        Both, for the log; nothing where there are no layers.
    """
    progress = since_entry(config, step)
    alpha = config.mfn.alpha_last * ramp(progress, config.mfn.alpha_from, config.mfn.alpha_until)
    k = anneal_k(progress, config.mfn.k_first, config.mfn.k, config.mfn.k_until)
    layers: list[MFNLayer] = list(model.mfn_layers.values())
    for layer in layers:
        layer.alpha, layer.k = alpha, k
    return {"alpha": round(alpha, 4), "k": k} if layers and step >= config.entry else {}


def since_entry(config: TrainConfig, step: int) -> float:
    """Share that is done of the steps with layers of features; 0 before they enter."""
    return max(step - config.entry, 0) / (config.steps - config.entry)
