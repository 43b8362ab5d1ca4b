"""Which contexts may be kept, found out on the device, so that the others need not be copied."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mfn_core.indexing.accumulator import LayerAccumulator
from mfn_core.indexing.on_device.arithmetic import mix
from mfn_core.indexing.on_device.contexts import Contexts
from mfn_core.indexing.on_device.copies import upload
from mfn_core.indexing.on_device.firings import Firings, Places

_SIGN = -(1 << 63)


class Sieve:
    """A copy of the thresholds of a layer's `BestRows`, to hold contexts against.

    It is as old as the last `refresh`. Thresholds only ever get harder to pass, so what an old one turns away would be
    turned away by the present one too, and what it lets through, the host turns away.
    """

    def __init__(self, state: LayerAccumulator, device: torch.device) -> None:
        self._state = state
        self._device = device
        self._hashes = upload(state.feature_hash.view(np.int64), device)
        self._peak = torch.zeros(state.n_features, dtype=torch.int32, device=device)
        self._order = torch.full((len(state.sample.bounds),), (1 << 15) - 1, dtype=torch.int16, device=device)
        self._seen = {"top": 0, "sample": 0}

    def refresh(self) -> None:
        """Copies the thresholds that have changed."""
        top, sample = self._state.top, self._state.sample
        if self._seen["top"] != top.settled:  # the order is the complement of the bits of the peak
            self._peak = upload((~top.bounds).view(np.int32), self._device)
        if self._seen["sample"] != sample.settled:
            self._order = upload((sample.bounds ^ np.uint16(1 << 15)).view(np.int16), self._device)
        self._seen = {"top": top.settled, "sample": sample.settled}

    def passes(self, contexts: Contexts, firings: Firings, places: Places) -> Tensor:
        """bool [n]: which firings belong to a context that may be kept, as one of the strongest or in the sample."""
        known = firings.feature.clamp(max=len(self._peak) - 1)
        strong = contexts.peak.view(torch.int32) >= self._peak[known]  # positive floats sort as their bits do
        hashed = mix(places.hashed[firings.window] ^ self._hashes[known])
        # The upper 16 bits of the hash, as an unsigned number less 2¹⁵: so that it sorts as a signed one.
        order = (hashed ^ _SIGN) >> 48
        drawn = order <= self._order[contexts.cell.clamp(max=len(self._order) - 1)]
        return firings.fires & (strong | drawn)


def gather(wanted: Tensor, columns: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Moves the wanted entries of columns to the front, in order.

    Args:
        wanted: bool [n].
        columns: int32 [n], or float32, whose bits are taken.

    Returns:
        int32 [n + 1, columns], of which the first rows mean something; and how many, int64.
    """
    rows = torch.stack([column if column.dtype == torch.int32 else column.view(torch.int32) for column in columns], 1)
    to = torch.where(wanted, wanted.cumsum(0) - 1, len(wanted))  # the last row takes what is not wanted
    room = torch.empty(len(wanted) + 1, len(columns), dtype=torch.int32, device=rows.device)
    return room.index_copy_(0, to, rows), wanted.sum()
