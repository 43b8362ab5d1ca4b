"""The contexts of a batch: what fires where, by window."""

from __future__ import annotations

import torch

from mfn_core.indexing.on_device.arithmetic import Bins
from mfn_core.indexing.on_device.firings import Firings


class Contexts:
    """The contexts that firings belong to.

    Attributes:
        first: bool [n], whether an entry is the first of its context; what does not fire has contexts of its own.
        peak: float32 [n], the strongest firing of its context; 0 where not firing.
        cell: int64 [n], feature × fine bins + the bin of the peak.
    """

    def __init__(self, firings: Firings, bins: Bins) -> None:
        feature, window = firings.feature, firings.window
        differs = (feature[1:] != feature[:-1]) | (window[1:] != window[:-1])
        self.first = torch.ones_like(firings.fires)
        self.first[1:] = differs
        run = self.first.cumsum(0) - 1
        highest = torch.zeros_like(firings.strength).scatter_reduce_(0, run, firings.strength, "amax")
        self.peak = highest[run]
        self.cell = feature * bins.n + bins.of(self.peak)
