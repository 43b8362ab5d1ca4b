"""A running mean of the weights (EMA): quieter than the weights of any one step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from mfn_core.model import MFNModel
from mfn_core.training.objective import Objective
from mfn_core.training.parallel import placed


class WeightAverage:
    """The running mean of all weights that move.

    The decay rises with the steps, `min(decay, (1 + n) / (10 + n))`, so that the first weights are soon forgotten. The
    mean of directions is shorter than 1: wherever the mean is used, they get unit norm again (ours).

    Attributes:
        mean: by name in the state dict.
    """

    def __init__(self, model: MFNModel, objective: Objective, decay: float) -> None:
        self.objective, self.decay = objective, decay
        self._moving = {name: p for name, p in model.base.named_parameters() if p.requires_grad}
        self.mean = {name: p.detach().clone() for name, p in self._moving.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after `step` steps."""
        decay = min(self.decay, (1.0 + step) / (10.0 + step))
        for name, parameter in self._moving.items():
            self.mean[name].lerp_(parameter, 1.0 - decay)

    @contextmanager
    def used(self) -> Iterator[None]:
        """The model has the mean as its weights for as long as this is open."""
        with torch.no_grad():
            own = {name: p.detach().clone() for name, p in self._moving.items()}
            self._fill(self.mean)
            self.objective.constrain()
        try:
            yield
        finally:
            with torch.no_grad():
                self._fill(own)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes up what `mean` was, whole tensors."""
        self.mean = {name: placed(tensor, self._moving[name]) for name, tensor in tensors.items()}

    def _fill(self, weights: dict[str, Tensor]) -> None:
        for name, parameter in self._moving.items():
            parameter.copy_(weights[name])
