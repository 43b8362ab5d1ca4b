"""One layer's part of the work on the device, batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfn_core.indexing.accumulator import LayerAccumulator, WindowBatch
from mfn_core.indexing.on_device.contexts import Contexts
from mfn_core.indexing.on_device.copies import Downloads, upload
from mfn_core.indexing.on_device.counts import Counts
from mfn_core.indexing.on_device.firings import Firings, Places
from mfn_core.indexing.on_device.sieve import Sieve, gather
from mfn_core.indexing.on_device.tally import DeviceTally
from mfn_core.indexing.token_sample import SampledTokens

_SILENT = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Sifted:
    """What of a batch has to go to the host, still on the device.

    Attributes:
        kept: int32 [n + 1, 3]: feature, token and the bits of the strength of firings of contexts that may be kept, by
            feature, window and position. Only the first rows mean something.
        n_kept: int64, how many.
        sound: bool, whether the codes can be indexed at all.
        drawn: int32 [m, K]: the features that fire on each drawn token, ascending; then the greatest int32.
        order: uint64 [m] on the host, the hash of each drawn token.
        following: int64 [m] on the host, the token after it.
    """

    kept: Tensor
    n_kept: Tensor
    sound: Tensor
    drawn: Tensor
    order: NDArray[np.uint64]
    following: NDArray[np.int64]


class DeviceLayer:
    """A layer's state as far as it is on the device: everything since the host's state was last brought up to date.

    Contexts and drawn tokens reach the host's state batch by batch, all else at `finish`.

    Args:
        state: the host's, which must be added to through this alone from now on.
        device: where the codes are.
    """

    def __init__(self, state: LayerAccumulator, device: torch.device) -> None:
        self._state = state
        self._device = device
        self._counts = Counts(state, device)
        self._tally = DeviceTally(state.n_features, state.vocab_size, state.tokens.n_rungs)
        self._sieve = Sieve(state, device)
        self._n_tokens = 0

    def add(self, batch: WindowBatch, places: Places, indices: Tensor, values: Tensor, downloads: Downloads) -> Sifted:
        """Takes in codes as `LayerAccumulator.add` does, and gives what the host must do about them.

        Args:
            batch: where they lie.
            places: the same on the device.
            indices: int64 [W, L, K] on the device.
            values: [W, L, K] on the device; taken as float32.
            downloads: by which to hand over what there is no more room for.
        """
        if self._n_tokens + len(places.counted) > Counts.max_tokens:
            self.finish(downloads)
        self._n_tokens += len(places.counted)
        self._sieve.refresh()
        firings = Firings.of(indices, values.float(), places, self._state.n_features)
        contexts = Contexts(firings, self._counts.band_bins)
        self._counts.add(firings, places, contexts)
        self._tally.add(firings, places, self._state.tokens, downloads)
        wanted = self._sieve.passes(contexts, firings, places)
        kept, n_kept = gather(wanted, [firings.feature.int(), firings.token.int(), firings.strength])
        return Sifted(kept, n_kept, firings.sound, *self._draw(batch, places, indices, values))

    def keep(self, batch: WindowBatch, kept: NDArray[np.int32], drawn: NDArray[np.int32], sifted: Sifted) -> None:
        """Brings to the host's state what `add` gave, copied to the host."""
        feature, token, strength = kept.T
        self._state.offer(batch, feature.astype(np.int64), token.astype(np.int64), strength.copy().view(np.float32))
        if len(drawn):
            fires = drawn != _SILENT
            self._state.drawn.add_tokens(
                SampledTokens(
                    sifted.order, sifted.following.astype(np.int32), fires.sum(1, dtype=np.int32), drawn[fires]
                )
            )

    def finish(self, downloads: Downloads) -> None:
        """Moves all that is still on the device into the host's state."""
        self._counts.move_to(self._state, downloads)
        self._tally.move_to(self._state.tokens, downloads)
        self._n_tokens = 0

    def _draw(
        self, batch: WindowBatch, places: Places, indices: Tensor, values: Tensor
    ) -> tuple[Tensor, NDArray[np.uint64], NDArray[Any]]:
        which, order = self._state.drawn.wanted(batch.places(), batch.counted.reshape(-1))
        there = upload(which, self._device)
        width = values.shape[-1]
        fires = values.reshape(-1, width)[there] > 0
        features = torch.where(fires, indices.reshape(-1, width)[there].int(), _SILENT).sort(1).values
        return features, order, batch.following.reshape(-1)[which]
