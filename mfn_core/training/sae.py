"""SAEs on the trainer: the objective of each one's architecture, averaged over layers. The model stays as it is."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from mfn_core.baselines.objectives import objective_of
from mfn_core.baselines.sae import SAE
from mfn_core.losses import FeatureStatistics
from mfn_core.model import MFNModel
from mfn_core.run import Revive
from mfn_core.training.config import TrainConfig
from mfn_core.training.objective import Batch, Losses
from mfn_core.training.optimizer import Optimizers
from mfn_core.training.precision import autocast
from mfn_core.world import ALONE, World

FOLDED = ("standard", "jumprelu")  # whose decoder norms are free in training


class SAEObjective:
    """The objective of a model with SAEs.

    Attributes:
        statistics: by block number.
    """

    def __init__(self, model: MFNModel, config: TrainConfig, world: World = ALONE) -> None:
        self.model, self.config, self.world = model, config, world
        self.saes = {number: coder for number, coder in model.coders.items() if isinstance(coder, SAE)}
        self.each = {number: objective_of(sae, **config.sae.objective) for number, sae in self.saes.items()}
        self.statistics = {
            number: FeatureStatistics(sae.n_features, config.sae.horizon, model.device)
            for number, sae in self.saes.items()
        }

    def begin(self, step: int) -> dict[str, float]:
        """Nothing moves but what the objectives move themselves."""
        return {}

    def losses(self, batch: Batch) -> Losses:
        """The mean over SAEs of what each one's objective says."""
        progress = batch.step / self.config.steps
        revive = {
            number: Revive(self.dead(number), each.auxk_k)
            for number, each in self.each.items()
            if each.auxk_k is not None
        }
        with autocast(self.config.autocast, self.model.device):
            out = self.model(batch.ids, branch="train", revive=revive, logits_to_keep=1)
        total: list[Tensor] = []
        figures: dict[str, Any] = defaultdict(dict)
        for number, trace in out.traces.items():
            self.statistics[number].update(trace.raw_codes, batch.keep, self.world)
            judged = self.each[number](self.saes[number], trace, batch.keep, progress, self.dead(number), self.world)
            total.append(judged.loss)
            for name, value in judged.metrics.items():
                figures[name][number] = value
        return Losses(torch.stack(total).mean(), figures, out.run)

    def dead(self, number: int) -> Tensor:
        """bool [F]: which features of an SAE have been silent for `dead_after` tokens."""
        return self.statistics[number].dead(self.config.sae.dead_after)

    def project(self) -> None:
        """Takes out of the decoders' gradients what would only lengthen their directions."""
        for sae in self.saes.values():
            sae.project_decoder_grad_()

    def settle(self, optimizers: Optimizers) -> None:
        """Keeps to what each architecture asks of its weights."""
        self.constrain()

    def constrain(self) -> None:
        """Gives directions unit norm where the architecture has it so, and keeps thresholds at or above 0."""
        for sae in self.saes.values():
            sae.normalize_decoder_()

    def finish(self) -> None:
        """Gives free decoder norms over to the codes, so that values of z mean the same in every feature."""
        for sae in self.saes.values():
            if sae.config.architecture in FOLDED:
                sae.fold_decoder_norms_()
