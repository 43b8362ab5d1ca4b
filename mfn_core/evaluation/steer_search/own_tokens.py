"""The tokens that are a feature's own: to write these shows nothing of a concept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

from mfn_core.indexing.weights import weight_facts
from mfn_core.model import MFNModel

TOP = 10
Features = Mapping[int, Sequence[int]]


def promoted(model: MFNModel, features: Features) -> dict[tuple[int, int], frozenset[str]]:
    """By layer and feature, the ten tokens whose logit its direction raises most, if no later layer reacted."""
    return {
        (layer, feature): _texts(model, row)
        for layer, numbers in features.items()
        for feature, row in zip(numbers, weight_facts(model, layer, TOP, 0, numbers).promoted_ids.tolist(), strict=True)
    }


def _texts(model: MFNModel, ids: Collection[int]) -> frozenset[str]:
    decode = model.required_tokenizer.decode
    return frozenset(cast(str, decode([number])) for number in ids)
