"""What is summed for each feature, on the device: all of it whole numbers or maxima, so in any order the same."""

from __future__ import annotations

import torch

from mfn_core.indexing.accumulator import LayerAccumulator
from mfn_core.indexing.exact import REST_SCALE
from mfn_core.indexing.on_device.arithmetic import Bins, fixed
from mfn_core.indexing.on_device.contexts import Contexts
from mfn_core.indexing.on_device.copies import Downloads
from mfn_core.indexing.on_device.firings import Firings, Places
from mfn_core.indexing.pairs import HALVES


class Counts:
    """Counts, sums, maxima and histograms of a layer since they were last taken over by the host.

    Each has a row more than there are features, which takes what does not fire.

    Attributes:
        max_tokens: so many tokens may be taken in before `move_to` must be called: histograms count in 32 bits.
    """

    max_tokens = 2**31 - 1

    def __init__(self, state: LayerAccumulator, device: torch.device) -> None:
        rows = state.n_features + 1
        self.bins, self.band_bins = Bins(state.grid, device), Bins(state.band_grid, device)
        self._firing_count = torch.zeros(rows, dtype=torch.int64, device=device)
        self._total = torch.zeros(rows, dtype=torch.int64, device=device)
        self._maximum = torch.zeros(rows, dtype=torch.float32, device=device)
        self._histogram = torch.zeros(rows, self.bins.n, dtype=torch.int32, device=device)
        self._band_histogram = torch.zeros(rows, self.band_bins.n, dtype=torch.int32, device=device)
        self._levels = state.tokens.n_rungs
        self._units = torch.zeros(self._levels * HALVES, rows, dtype=torch.int64, device=device)
        self._rest = torch.zeros(self._levels * HALVES, rows, dtype=torch.int64, device=device)

    def add(self, firings: Firings, places: Places, contexts: Contexts) -> None:
        """Takes in a batch.

        Args:
            firings: its firings.
            places: where it lies.
            contexts: to which they belong.
        """
        feature, strength = firings.feature, firings.strength
        self._firing_count.scatter_add_(0, feature, firings.fires.long())
        self._total.scatter_add_(0, feature, fixed(strength))
        self._maximum.scatter_reduce_(0, feature, strength, "amax")
        bin_ = feature * self.bins.n + self.bins.of(strength)
        self._histogram.view(-1).scatter_add_(0, bin_, firings.fires.int())
        self._band_histogram.view(-1).scatter_add_(0, contexts.cell, contexts.first.int())

        square = strength.double().square()  # exact, as in `SquareSums`
        units = square.floor()
        part = firings.level(places, self._levels) * HALVES + places.half[firings.window]
        group = part * self._units.shape[1] + feature
        self._units.view(-1).scatter_add_(0, group, units.long())
        self._rest.view(-1).scatter_add_(0, group, ((square - units) * REST_SCALE).round().long())

    def move_to(self, state: LayerAccumulator, downloads: Downloads) -> None:
        """Adds all to the host's state and begins anew."""
        sums = (self._firing_count, self._total, self._histogram, self._band_histogram)
        tensors = (*(x[:-1] for x in sums), self._maximum[:-1], self._units[:, :-1], self._rest[:, :-1])
        count, total, histogram, bands, maximum, units, rest = downloads.start(
            [x.contiguous() for x in tensors]
        ).arrays()
        state.add_counts(count, total, maximum, histogram, bands)
        state.squares.units += units.reshape(-1)
        state.squares.rest += rest.reshape(-1)
        for tensor in (*sums, self._maximum, self._units, self._rest):
            tensor.zero_()
