"""What a run trains for, as the loop sees it. `pressures` is that of layers of features, `sae` that of SAEs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from torch import Tensor

from mfn_core.losses import FeatureStatistics
from mfn_core.run import Run
from mfn_core.training.optimizer import Optimizers

Figures = Mapping[str, Tensor | Mapping[int, Tensor]]


class Batch(NamedTuple):
    """One process's part of what a step, or a part of its accumulated gradient, is taken over.

    Attributes:
        ids: int64 [B, T].
        keep: bool [B, T], all but the tokens that begin a document.
        step: number of steps done before.
        number: which of the step's pieces of B rows this is, counted over processes and parts.
        last: whether it is the step's last part.
    """

    ids: Tensor
    keep: Tensor
    step: int
    number: int
    last: bool


class Losses(NamedTuple):
    """What an objective makes of a batch.

    Attributes:
        total: the loss to step on, a scalar; the same on every process.
        figures: detached scalars for the log, by name, or by name and block.
        run: of the forward pass, in which the backward pass computes parts again under gradient checkpointing.
    """

    total: Tensor
    figures: Figures
    run: Run


class Objective(Protocol):
    """A loss with its schedules, its statistics, and what it keeps true of the weights."""

    @property
    def statistics(self) -> dict[int, FeatureStatistics]:
        """By block number. Part of a checkpoint."""

    def begin(self, step: int) -> dict[str, float]:
        """Sets what moves with the step, and says it, for the log."""

    def losses(self, batch: Batch) -> Losses:
        """Forward passes and losses of a batch."""

    def dead(self, number: int) -> Tensor:
        """bool [F]: which features of block `number` have been silent for as long as the config calls dead."""

    def project(self) -> None:
        """Mends the gradients, before the optimisers step."""

    def settle(self, optimizers: Optimizers) -> None:
        """Mends the weights, after the optimisers have stepped."""

    def constrain(self) -> None:
        """Has the weights be what they must, such as directions of unit norm."""

    def finish(self) -> None:
        """Makes of the weights in training those that are shipped."""


def state_of(objective: Objective) -> dict[str, Tensor]:
    """The statistics as named tensors, for a checkpoint: `BLOCK.NAME`."""
    return {
        f"{number}.{name}": tensor
        for number, statistics in objective.statistics.items()
        for name, tensor in statistics.tensors().items()
    }


def load_state(objective: Objective, tensors: Mapping[str, Tensor]) -> None:
    """Takes up what `state_of` gave."""
    for number, statistics in objective.statistics.items():
        prefix = f"{number}."
        statistics.load_tensors({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
