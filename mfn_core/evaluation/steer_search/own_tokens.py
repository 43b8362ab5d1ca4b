"""The tokens that are a feature's own: to write these shows nothing of a concept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import torch

from mfn_core.evaluation.steer_search.reading import batches
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


@torch.no_grad()
def fired_on(
    model: MFNModel, features: Features, ids: Sequence[Sequence[int]]
) -> dict[tuple[int, int], frozenset[str]]:
    """By layer and feature, the ten tokens on which it fires most, by its summed strength over pieces of text."""
    sums = {layer: torch.zeros(len(numbers), model.vocab_size) for layer, numbers in features.items()}
    place = {layer: torch.full((model.n_features[layer],), -1) for layer in features}
    for layer, numbers in features.items():
        place[layer][list(numbers)] = torch.arange(len(numbers))
    for _, tokens, keep in batches(model, ids):
        traces = model(tokens, record=True, logits_to_keep=1).traces
        here = tokens.cpu()[..., None]
        for layer, total in sums.items():
            codes = traces[layer].codes
            rows = place[layer][codes.indices.cpu()]
            counts = (rows >= 0) & keep.cpu()[..., None] & (codes.values.cpu() > 0)
            flat = (rows * model.vocab_size + here)[counts]
            total.view(-1).index_add_(0, flat, codes.values.cpu().float()[counts])
    out: dict[tuple[int, int], frozenset[str]] = {}
    for layer, numbers in features.items():
        for feature, total in zip(numbers, sums[layer], strict=True):
            top = total.topk(min(TOP, total.numel()))
            out[layer, feature] = _texts(model, top.indices[top.values > 0].tolist())
    return out


def _texts(model: MFNModel, ids: Collection[int]) -> frozenset[str]:
    decode = model.required_tokenizer.decode
    return frozenset(cast(str, decode([number])) for number in ids)
