"""The tokens that are a feature's own: to write these shows nothing of a concept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import torch

from mfn_core.directions import centred_lens, written
from mfn_core.model import MFNModel

TOP = 10
CHUNK = 256  # features at a time: their logits are CHUNK × vocabulary
Features = Mapping[int, Sequence[int]]


@torch.inference_mode()
def promoted(model: MFNModel, features: Features) -> dict[tuple[int, int], frozenset[str]]:
    """By layer and feature, the ten tokens whose logit its direction raises most, if no later layer reacted."""
    lens = centred_lens(model).t()
    out: dict[tuple[int, int], frozenset[str]] = {}
    for layer, numbers in features.items():
        directions = written(model, layer).float()
        for start in range(0, len(numbers), CHUNK):
            some = list(numbers[start : start + CHUNK])
            top = (directions[some] @ lens).topk(min(TOP, lens.shape[1]), dim=-1).indices
            out |= {(layer, feature): _texts(model, ids) for feature, ids in zip(some, top.tolist(), strict=True)}
    return out


def _texts(model: MFNModel, ids: Collection[int]) -> frozenset[str]:
    decode = model.required_tokenizer.decode
    return frozenset(cast(str, decode([number])) for number in ids)
