"""`TokenLadder` on a device: what fires on which token, added up before it is copied."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mfn_core.indexing.ladder import TokenLadder
from mfn_core.indexing.on_device.arithmetic import fixed
from mfn_core.indexing.on_device.copies import Downloads
from mfn_core.indexing.on_device.firings import Firings, Places
from mfn_core.indexing.pairs import HALVES, Pairs

BUFFER = 1 << 21
"""Entries that gather before they are sorted in, at 12 bytes each."""

ROOM = 1 << 22
"""Pairs that a layer keeps on the device before they go to the host, at 24 bytes each."""


class DeviceTally:
    """Counts and sums over (level, half of the corpus, feature, token) since the host last took them over.

    The same pair comes again and again. Every time it does before the pairs are copied, that is one copy less.
    """

    def __init__(self, n_features: int, vocab_size: int, n_levels: int, buffer: int = BUFFER, room: int = ROOM) -> None:
        self._n_features = n_features
        self._vocab = vocab_size
        self._levels = n_levels
        self._nothing = n_levels * HALVES * n_features * vocab_size  # the key of what does not fire
        self._buffer = buffer
        self._room = room
        self._kept: tuple[Tensor, Tensor, Tensor] | None = None
        self._new: list[tuple[Tensor, Tensor]] = []
        self._n_new = 0

    def add(self, firings: Firings, places: Places, tally: TokenLadder, downloads: Downloads) -> None:
        """Takes in a batch; moves to `tally` what there is no more room for."""
        group = firings.level(places, self._levels) * HALVES + places.half[firings.window]
        key = (group * self._n_features + firings.feature) * self._vocab + places.tokens[firings.token]
        self._new.append((torch.where(firings.fires, key, self._nothing), firings.strength))
        self._n_new += len(key)
        if self._n_new >= self._buffer:
            self._settle()
            if self._kept is not None and len(self._kept[0]) > self._room:
                self.move_to(tally, downloads)

    def move_to(self, tally: TokenLadder, downloads: Downloads) -> None:
        """Adds all pairs to the host's and begins anew."""
        self._settle()
        if self._kept is not None and len(self._kept[0]):
            keys, counts, sums = downloads.start(self._kept).arrays()
            tally.add_by_level(Pairs(keys, counts.astype(np.int64), sums))
        self._kept = None

    def _settle(self) -> None:
        if not self._new:
            return
        keys, strength = (torch.cat(column) for column in zip(*self._new, strict=True))
        self._new, self._n_new = [], 0
        counts, sums = torch.ones_like(keys, dtype=torch.int32), fixed(strength)
        if self._kept is not None:
            columns = zip(self._kept, (keys, counts, sums), strict=True)
            keys, counts, sums = (torch.cat(column) for column in columns)
        keys, order = torch.sort(keys)
        keys, pair = torch.unique_consecutive(keys, return_inverse=True)
        counts = torch.zeros_like(keys, dtype=torch.int32).scatter_add_(0, pair, counts[order])
        sums = torch.zeros_like(keys).scatter_add_(0, pair, sums[order])
        n = int((keys < self._nothing).sum())  # the last may be the key of nothing
        self._kept = keys[:n], counts[:n], sums[:n]
