"""The tokens that are a feature's own: to write these shows nothing of a concept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import torch

from mfn_core.model import MFNModel

TOP = 10
Features = Mapping[int, Sequence[int]]


@torch.no_grad()
def promoted(model: MFNModel, features: Features) -> dict[tuple[int, int], frozenset[str]]:
    """By layer and feature, the ten tokens whose logit its direction raises most, if no later layer reacted."""
    lens = model.family.lens(model.base)
    out: dict[tuple[int, int], frozenset[str]] = {}
    for layer, numbers in features.items():
        coder = model.coders[layer]
        written = coder.directions[list(numbers)].float()
        if coder.config.site == "mlp_hidden":
            written = written @ model.family.down_directions(model.base, layer).float()
        rows = (written @ lens.t()).topk(min(TOP, len(lens)), dim=-1).indices.tolist()
        out |= {(layer, feature): _texts(model, row) for feature, row in zip(numbers, rows, strict=True)}
    return out


def _texts(model: MFNModel, ids: Collection[int]) -> frozenset[str]:
    decode = model.required_tokenizer.decode
    return frozenset(cast(str, decode([number])) for number in ids)
