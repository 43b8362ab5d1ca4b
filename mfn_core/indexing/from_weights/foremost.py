"""What lists show of a feature: the tokens that it moves most, and the features of its layer that are most like it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mfn_core.directions import centred_lens, written
from mfn_core.indexing.from_weights.extremes import CHUNK, Rows, extremes
from mfn_core.indexing.from_weights.logits import foremost_tokens
from mfn_core.indexing.from_weights.neighbours import unit
from mfn_core.model import MFNModel


class WeightFacts(NamedTuple):
    """Of F features: n tokens each way, m neighbours. As `LayerIndex` describes them."""

    promoted_ids: NDArray[np.int32]
    promoted_logits: NDArray[np.float32]
    suppressed_ids: NDArray[np.int32]
    suppressed_logits: NDArray[np.float32]
    neighbour_ids: NDArray[np.int32]
    neighbour_cos: NDArray[np.float32]


@torch.inference_mode()
def weight_facts(
    model: MFNModel,
    layer: int,
    n_logits: int,
    n_neighbours: int,
    features: Sequence[int] | None = None,
    chunk: int = CHUNK,
) -> WeightFacts:
    """The part of `describe_weights` that is kept with an index: of all features of one layer, or of those listed.

    Args:
        model: whose.
        layer: number of the equipped block.
        n_logits: promoted tokens, and suppressed tokens (`LogitFacts` says what is meant by a logit).
        n_neighbours: features of the same layer, by cosine of what is written; a feature is none of its own.
        features: numbers of features, in any order; None for all.
        chunk: entries of one block of products.

    Returns:
        A row for each feature. At most `vocab_size` tokens and F - 1 neighbours.
    """
    directions = written(model, layer)
    chosen, numbers = directions, torch.arange(len(directions), device=directions.device)
    if features is not None:
        numbers = torch.tensor(features, dtype=torch.int64, device=directions.device)
        chosen = directions[numbers]
    up_ids, up, down_ids, down = foremost_tokens(chosen, centred_lens(model), n_logits, chunk)
    rows, others = Rows([chosen], unit), Rows([directions], unit)
    nearest, _ = extremes(rows, others, n_neighbours, 0, without=numbers, chunk=chunk)
    return WeightFacts(up_ids, up, down_ids, down, nearest.numbers.astype(np.int32), nearest.products)
