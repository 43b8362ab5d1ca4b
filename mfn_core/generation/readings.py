"""What is read off one step beside the tokens: log-probabilities, alternatives, divergence, features."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate

import torch
from torch import Tensor

from mfn_core.generation.events import Alternative, Fired
from mfn_core.run import LayerTrace


def likeliest(logprobs: Tensor, count: int) -> list[tuple[Alternative, ...]]:
    """The `count` likeliest tokens of each row. logprobs: [R, V]."""
    if count == 0:
        return [()] * logprobs.shape[0]
    values, tokens = logprobs.topk(min(count, logprobs.shape[-1]), dim=-1)
    return [
        tuple(map(Alternative, row_tokens, row_values))
        for row_tokens, row_values in zip(tokens.tolist(), values.tolist(), strict=True)
    ]


def divergence(steered: Tensor, plain: Tensor) -> float:
    """KL(steered ‖ plain) in nats, of two rows of log-probabilities [V]."""
    return max(0.0, float((steered.exp() * (steered - plain)).sum()))  # rounding can go below 0


def strongest(traces: Mapping[int, LayerTrace], count: int) -> list[tuple[Fired, ...]]:
    """The `count` features of each row that are furthest from 0 at the last position, over all layers, as edited."""
    layers = sorted(traces)
    codes = [traces[layer].codes for layer in layers]
    values = torch.cat([code.values[:, -1] for code in codes], dim=-1)  # [R, ΣK]
    features = torch.cat([code.indices[:, -1] for code in codes], dim=-1)
    bounds = list(accumulate(code.width for code in codes))
    columns = values.abs().topk(min(count, values.shape[-1]), dim=-1).indices
    rows = zip(
        values.gather(-1, columns).tolist(), columns.tolist(), features.gather(-1, columns).tolist(), strict=True
    )
    return [
        tuple(
            Fired(layers[bisect_right(bounds, column)], feature, value)
            for value, column, feature in zip(*row, strict=True)
            if value != 0
        )
        for row in rows
    ]
