"""What texts cost models, text by text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mfn_core.evaluation.late_start import padded_ids
from mfn_core.metrics.outputs import cross_entropy
from mfn_core.model import MFNModel

Progress = Callable[[int, int], None]


def windows(ids: Sequence[int], start: int | None, context: int) -> list[NDArray[np.int64]]:
    """A text in pieces of at most `context` tokens, each beginning with the token that begins a document, if any."""
    begin = [] if start is None else [start]
    room = context - len(begin)
    return [np.asarray([*begin, *ids[at : at + room]], dtype=np.int64) for at in range(0, len(ids), room)]


@torch.no_grad()
def costs_of(
    model: MFNModel,
    texts: Sequence[Sequence[NDArray[np.int64]]],
    batch: int = 16,
    progress: Progress = lambda done, total: None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Nats that each text costs, and the tokens they are over: all but the first of each window.

    Args:
        model: with or without layers of features.
        texts: of each its `windows`.
        batch: windows in a forward pass, those of like length together.
        progress: told how many windows have been read, and of how many.

    Returns:
        float64 [texts] sums, and int64 [texts] counts.
    """
    places = [(number, ids) for number, text in enumerate(texts) for ids in text if len(ids) > 1]
    places.sort(key=lambda place: len(place[1]))
    sums, counts = np.zeros(len(texts)), np.zeros(len(texts), dtype=np.int64)
    for at in range(0, len(places), batch):
        part = places[at : at + batch]
        ids, lengths = padded_ids([row for _, row in part], model.device)
        costs = cross_entropy(model(ids).logits.float(), ids).double().cpu().numpy()
        for (number, _), row, length in zip(part, costs, lengths, strict=True):
            sums[number] += row[: length - 1].sum()
            counts[number] += length - 1
        progress(min(at + batch, len(places)), len(places))
    return sums, counts
