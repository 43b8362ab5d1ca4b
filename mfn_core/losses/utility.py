"""Next-token cross-entropy, the one pressure that trains the Transformer too."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from mfn_core.coder import full_precision
from mfn_core.losses.shared import quotient
from mfn_core.world import ALONE, World

IGNORED = -100


@dataclass(frozen=True)
class Utility:
    """Mean nats a token."""

    def __call__(self, logits: Tensor, targets: Tensor, world: World = ALONE) -> Tensor:
        """Shapes: logits [B, T, V], targets int64 [B, T]; −100 is left out. Gives a scalar."""
        flat = targets.flatten()
        total = F.cross_entropy(full_precision(logits).flatten(0, 1), flat, ignore_index=IGNORED, reduction="sum")
        return quotient(total, (flat != IGNORED).sum().to(total.dtype), world)
