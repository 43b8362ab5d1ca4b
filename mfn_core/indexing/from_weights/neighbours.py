"""Which features write alike, in their own layer and in the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.indexing.from_weights.extremes import CHUNK, Extremes, Ranked, Rows, extremes
from mfn_core.indexing.from_weights.types import Links, Neighbours, WeightSettings


def neighbours(
    written: Mapping[int, Tensor],
    layer: int,
    settings: WeightSettings,
    chunk: int = CHUNK,
    tell: Callable[[int], None] | None = None,
) -> Neighbours:
    """The nearest and the opposite directions of each feature of a layer, by cosine.

    Over all layers this costs F_total²·d multiply-adds (d the width of the stream) and two passes over F_total²
    numbers: with 10⁵ features and d = 256, some minutes on one core; with 10⁶ and d = 1024, 10¹⁵ multiply-adds, which
    is for a GPU. Nothing of F × F_total is held: see `extremes`, which also says how exact this is.

    Args:
        written: [F, d] for every layer, what its features write.
        layer: which of them.
        settings: how many.
        chunk: entries of one block of cosines.
        tell: called with the number of features that are done, once for the layer and once for the others; a feature
            counts half each time.
    """
    own = Rows([written[layer]], unit)
    others = [number for number in written if number != layer]
    n_features = len(own)
    first = (lambda done: tell(done // 2)) if tell else None
    second = (lambda done: tell((n_features + done) // 2)) if tell else None
    n, m = settings.n_neighbours, settings.n_elsewhere
    itself = torch.arange(n_features)
    inside = extremes(own, own, n, settings.n_opposite, without=itself, chunk=chunk, tell=first)
    outside = extremes(own, Rows([written[number] for number in others], unit), m, m, chunk=chunk, tell=second)
    sizes = [len(written[number]) for number in others]
    return Neighbours(*links(inside, [layer], [n_features]), *links(outside, others, sizes))


def unit(x: Tensor) -> Tensor:
    """Directions [..., d] of length 1; a direction of length 0 stays what it is."""
    return F.normalize(x, dim=-1)


def links(found: Extremes, layers: Sequence[int], sizes: Sequence[int]) -> tuple[Links, Links]:
    """Numbers of rows through several layers of these sizes as layers and features: largest, smallest."""
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
    names = np.array(layers, np.int16)

    def named(ranked: Ranked) -> Links:
        if not len(names):
            return Links(ranked.numbers.astype(np.int16), ranked.numbers.astype(np.int32), ranked.products)
        place = np.searchsorted(starts, ranked.numbers, side="right") - 1
        return Links(names[place], (ranked.numbers - starts[place]).astype(np.int32), ranked.products)

    return named(found.largest), named(found.smallest)
