"""What the index computes of single numbers, on tensors: to the bit as in numpy."""

from __future__ import annotations

import torch
from torch import Tensor

from mfn_core.indexing.exact import SUM_SCALE
from mfn_core.indexing.grid import LogGrid
from mfn_core.indexing.on_device.copies import upload


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits


_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def mix(x: Tensor) -> Tensor:
    """`arrays.mix` of uint64 whose bits stand in int64: tensors have no unsigned arithmetic of that width."""
    x = (x ^ _shifted(x, 30)) * _FIRST  # products wrap round, signed or not to the same bits
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, by: int) -> Tensor:
    """x >> by, with zeros coming in from the left."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def fixed(values: Tensor) -> Tensor:
    """`exact.fixed` of float32."""
    return torch.round(values * SUM_SCALE).long()


class Bins:
    """`LogGrid.bin_of` on a device."""

    def __init__(self, grid: LogGrid, device: torch.device) -> None:
        self.n = grid.n
        self._bin = upload(grid.table, device)

    def of(self, values: Tensor) -> Tensor:
        """int64, the bin of each float32; none may be negative."""
        return self._bin[values.view(torch.int32).long() >> LogGrid.CUT]
