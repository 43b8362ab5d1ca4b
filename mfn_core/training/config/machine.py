"""How a run is spread over a machine. This may change when a run is taken up again."""

from __future__ import annotations

from dataclasses import dataclass

from mfn_core.training.config.checks import require, require_positive


@dataclass(frozen=True)
class MachineConfig:
    """Where the work is done.

    Attributes:
        device: `auto` (an accelerator where there is one), or as torch names it.
        parallel: what the processes of `torchrun` share. `ddp`: the batch; each holds the whole model. `fsdp`: the
            weights, too, each process holding a part of every block (FSDP2).
        accumulate: parts in which a process takes its share of the batch, one after another. Statistics that a loss
            takes over the batch, such as variances, are then those of a part.
        checkpoint_gradients: forget what lies within blocks and compute it again in the backward pass: less memory,
            a third more time.
        tensorboard: write the log as TensorBoard events, too, where that package is installed.
    """

    device: str = "auto"
    parallel: str = "ddp"
    accumulate: int = 1
    checkpoint_gradients: bool = False
    tensorboard: bool = True

    def __post_init__(self) -> None:
        require(self.parallel in ("ddp", "fsdp"), f"machine.parallel must be ddp or fsdp, not {self.parallel!r}")
        require_positive(self, "accumulate")
