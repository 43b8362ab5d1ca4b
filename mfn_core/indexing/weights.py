"""What the weights alone say of features: which logits they move directly, and which of them are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mfn_core.directions import centred_lens, written
from mfn_core.model import MFNModel

_CHUNK = 1 << 24  # entries of one block of a product


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
    model: MFNModel, layer: int, n_logits: int, n_neighbours: int, features: Sequence[int] | None = None
) -> WeightFacts:
    """Facts of one layer's decoder, from products in chunks: of all its features, or of those listed.

    Logits are those of the *direct lens*: D_j · diag(g) · W_U, g the final norm's weight (for LayerNorm, after its
    subtraction of the mean), minus the mean over the vocabulary (which softmax ignores). It is what one unit of z_j · s
    adds to the logits times the final norm's scale if nothing between this layer and the output reacted. Later layers
    do react: it is a lens, not a prediction. Features of `mlp_hidden` are taken by what they write to the stream.

    Returns:
        At most `vocab_size` tokens and F − 1 neighbours a feature. Neighbours are by cosine of what is written, the
        feature itself left out.
    """
    directions = written(model, layer).float()
    lens = centred_lens(model)
    chosen = torch.arange(len(directions)) if features is None else torch.tensor(features, dtype=torch.int64)
    chosen = chosen.to(directions.device)
    promoted, suppressed = [], []
    for numbers in torch.split(chosen, max(1, _CHUNK // len(lens))):
        logits = directions[numbers] @ lens.t()
        promoted.append(_largest(logits, n_logits))
        suppressed.append(_largest(-logits, n_logits))
    unit = F.normalize(directions, dim=-1)
    neighbours = []
    for numbers in torch.split(chosen, max(1, _CHUNK // len(unit))):
        cosines = unit[numbers] @ unit.t()
        cosines.scatter_(1, numbers[:, None], -torch.inf)
        neighbours.append(_largest(cosines, min(n_neighbours, len(unit) - 1)))
    promoted_ids, promoted_logits = _join(promoted)
    suppressed_ids, suppressed_logits = _join(suppressed)
    neighbour_ids, neighbour_cos = _join(neighbours)
    return WeightFacts(promoted_ids, promoted_logits, suppressed_ids, -suppressed_logits, neighbour_ids, neighbour_cos)


def _largest(scores: Tensor, n: int) -> tuple[Tensor, Tensor]:
    values, ids = scores.topk(min(n, scores.shape[-1]), dim=-1)
    return ids, values


def _join(parts: list[tuple[Tensor, Tensor]]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    ids, values = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    return ids.astype(np.int32), values.astype(np.float32)
