"""What a run trains for, as the loop sees it. `pressures` has the one for layers of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from torch import Tensor

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

    def begin(self, step: int) -> dict[str, float]:
        """Sets what moves with the step, and says it, for the log."""

    def losses(self, batch: Batch) -> Losses:
        """Forward passes and losses of a batch."""

    def project(self) -> None:
        """Mends the gradients, before the optimisers step."""

    def settle(self, optimizers: Optimizers) -> None:
        """Mends the weights, after the optimisers have stepped."""

    def tensors(self) -> dict[str, Tensor]:
        """The statistics as named tensors, for a checkpoint."""

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Takes up what `tensors` gave."""
