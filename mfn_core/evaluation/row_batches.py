"""Rows of token ids in batches, those of like length together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfn_core.evaluation.late_start import padded_ids


class RowBatch(NamedTuple):
    """Some rows as one batch.

    Attributes:
        numbers: which of all rows they are.
        ids: int64 [B, T], padded behind.
        keep: bool [B, T], all but padding and each row's first token.
    """

    numbers: list[int]
    ids: Tensor
    keep: Tensor


def row_batches(rows: Sequence[NDArray[np.int64]], size: int, device: torch.device) -> Iterator[RowBatch]:
    """All rows, so many at a time, from the shortest to the longest."""
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    for at in range(0, len(order), size):
        numbers = order[at : at + size]
        ids, lengths = padded_ids([rows[number] for number in numbers], device)
        place = torch.arange(ids.shape[1], device=device)
        yield RowBatch(numbers, ids, (place > 0) & (place < torch.tensor(lengths, device=device)[:, None]))
