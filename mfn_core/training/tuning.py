"""A model that is trained on with SAEs in its stream's place, until it copes: a fine-tuned SAE.

The next-token loss moves the Transformer alone. The SAEs stay as they are, so that what is compared with layers of
features are still SAEs that were trained on a model from outside: moved by that loss, they would be layers of features
themselves, without the pressures.
"""

from __future__ import annotations

from torch import Tensor

from mfn_core.baselines.sae import SAE
from mfn_core.losses import FeatureStatistics, Utility
from mfn_core.model import MFNModel
from mfn_core.training.config import TrainConfig
from mfn_core.training.objective import Batch, Losses
from mfn_core.training.optimizer import Optimizers
from mfn_core.training.precision import autocast
from mfn_core.world import ALONE, World


class TuningObjective:
    """The next-token loss of a model whose SAEs replace its stream.

    Attributes:
        statistics: by block number: what of a moving stream still fires.
    """

    def __init__(self, model: MFNModel, config: TrainConfig, world: World = ALONE) -> None:
        self.model, self.config, self.world = model, config, world
        self.utility = Utility()
        self.statistics = {
            number: FeatureStatistics(coder.n_features, config.sae.horizon, model.device)
            for number, coder in model.coders.items()
            if isinstance(coder, SAE)
        }

    def begin(self, step: int) -> dict[str, float]:
        """Nothing moves but the weights."""
        return {}

    def losses(self, batch: Batch) -> Losses:
        """Nats a token."""
        with autocast(self.config.autocast, self.model.device):
            out = self.model(batch.ids, record="codes")
        for number, trace in out.traces.items():
            self.statistics[number].update(trace.raw_codes.detach(), batch.keep, self.world)
        utility = self.utility(out.logits[:, :-1], batch.ids[:, 1:], self.world)
        return Losses(utility, {"utility": utility.detach()}, out.run)

    def dead(self, number: int) -> Tensor:
        """bool [F]: which features of an SAE have been silent for `dead_after` tokens."""
        return self.statistics[number].dead(self.config.sae.dead_after)

    def project(self) -> None:
        """Nothing: the SAEs have no gradient."""

    def settle(self, optimizers: Optimizers) -> None:
        """Nothing: the SAEs have not moved."""

    def constrain(self) -> None:
        """Nothing: the SAEs are as they were."""

    def finish(self) -> None:
        """Nothing: what is trained is what is shipped."""
