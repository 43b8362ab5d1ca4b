"""What features write to the stream and what they read from it, as rows that products are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mfn_core.coder import SparseCoder, full_precision
from mfn_core.model import MFNModel


def written(model: MFNModel, layer: int) -> Tensor:
    """[F, d]: what one unit of each feature of a layer adds to the residual stream, before α and the scale s.

    Features of `mlp_hidden` are taken through the MLP's down projection (in Gemma 2 and 3 without the norm behind it,
    which divides by what depends on the token). No copy, in the weights' own type, at any other site.
    """
    coder = model.coders[layer]
    if coder.config.site != "mlp_hidden":
        return coder.directions.detach()
    down = full_precision(model.family.down_directions(model.base, layer).detach())
    return full_precision(coder.directions.detach()) @ down


def centred_lens(model: MFNModel) -> Tensor:
    """float32 [V, d]: the direct lens, such that every direction's logits have mean 0 over the vocabulary."""
    lens = model.family.lens(model.base).detach()
    return lens - lens.mean(0)


def seen(coder: SparseCoder, x: Tensor) -> Tensor:
    """The part of some directions [..., d] that a code's encoder can see: all, or with `norm="layer"` all but the mean.

    Such a norm takes the mean over channels out of the stream, so that neither an encoder's row nor a direction does
    anything there by its own mean.
    """
    if getattr(coder.config, "norm", "none") == "layer":
        return x - x.mean(-1, keepdim=True)
    return x


def cosines_between(model: MFNModel, features: Sequence[tuple[int, int]]) -> list[list[float]]:
    """[n, n] cosines of what some features write, in float64; a direction of length 0 has 0 with all, and with itself.

    Args:
        model: whose.
        features: layer and number of each. They must exist.
    """
    rows = torch.stack([full_precision(written(model, layer)[number]).double().cpu() for layer, number in features])
    unit = torch.nn.functional.normalize(rows)
    found: list[list[float]] = (unit @ unit.T).clamp(-1, 1).tolist()
    return found
