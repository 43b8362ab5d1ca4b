"""Features that have been silent for very long start anew, towards what the code explains worst.

After "Towards Monosemanticity" (2023), with the worst tokens taken in their order instead of drawn, so that a run needs
no random numbers (ours).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfn_core.layer import MFNLayer
from mfn_core.losses import FeatureStatistics
from mfn_core.run import LayerTrace
from mfn_core.training.objective import Batch
from mfn_core.training.optimizer import Optimizers
from mfn_core.training.parallel import set_rows, whole
from mfn_core.world import ALONE, World

EVERY = 50  # steps between looks at who is due
AT_ONCE = 64  # features that start anew at one look, at most
ENCODER_NORM = 0.2  # of a new feature's encoder row, as a share of the others' mean


class Renewal:
    """The new beginnings of one layer. Nothing is kept from one step to the next; a checkpoint need not know of it."""

    def __init__(self, layer: MFNLayer, statistics: FeatureStatistics, after: int, world: World = ALONE) -> None:
        """Starts anew what has been silent for `after` tokens."""
        self.layer, self.statistics, self.after, self.world = layer, statistics, after, world
        self._errors: Tensor | None = None

    @torch.no_grad()
    def note(self, trace: LayerTrace, batch: Batch) -> None:
        """Remembers the errors of the worst-explained tokens of all processes, where this step is one of those."""
        self._errors = None
        if batch.step % EVERY or not bool(self.statistics.dead(self.after).any()):
            return
        assert trace.aux is not None
        assert trace.aux.x_hat is not None
        error = (trace.x - trace.aux.x_hat).masked_fill(~batch.keep[..., None], 0.0).flatten(0, 1)
        own = error[error.norm(dim=-1).topk(min(AT_ONCE, len(error))).indices]
        found = self.world.gather(own).flatten(0, 1)
        sizes, places = found.norm(dim=-1).topk(min(AT_ONCE, len(found)))
        self._errors = found[places[sizes > 0]]

    @torch.no_grad()
    def apply(self, optimizers: Optimizers) -> None:
        """Gives the features that are due new weights, and their moments none."""
        if self._errors is None:
            return
        numbers = self.statistics.dead(self.after).nonzero().squeeze(-1)[: len(self._errors)]
        directions = F.normalize(self._errors[: len(numbers)], dim=-1).to(self.layer.W_dec.dtype)
        others = whole(self.layer.W_enc)[self.statistics.tokens_since_fired <= self.after].norm(dim=-1)
        size = ENCODER_NORM * (others.mean() if len(others) else 1.0)
        news: list[tuple[nn.Parameter, Tensor | float]] = [
            (self.layer.W_dec, directions),
            (self.layer.W_enc, directions * size),
            (self.layer.b_enc, 0.0),
        ]
        for parameter, values in news:
            set_rows(parameter, numbers, values)
            optimizers.forget(parameter, numbers)
        self.statistics.tokens_since_fired[numbers] = 0
        self._errors = None
