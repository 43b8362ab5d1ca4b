"""What is read off one step beside the tokens: log-probabilities, alternatives, divergence, features.

All of it comes row by row: what one row is told depends neither on how many there are nor on what others ask for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mfn_core.generation.events import Alternative, Fired, Shift, Watched
from mfn_core.run import LayerTrace


@dataclass(slots=True)
class Readings:
    """Of R rows, by row.

    Attributes:
        tokens: what was chosen.
        chances: its log-probability in nats.
        divergences: KL(row ‖ partner) in nats; 0 for rows without a partner.
        alternatives: by how many were asked for, the likeliest tokens.
        plain_chances: the chosen token's log-probability in the partner's row; empty where no row has a partner.
        shifts: by how many were asked for, the tokens whose probability differs most from the partner's; likewise.
    """

    tokens: list[int]
    chances: list[float]
    divergences: list[float]
    alternatives: dict[int, list[tuple[Alternative, ...]]] = field(default_factory=dict)
    plain_chances: list[float] = field(default_factory=list)
    shifts: dict[int, list[tuple[Shift, ...]]] = field(default_factory=dict)


def read(logits: Tensor, chosen: Tensor, partners: Sequence[int] | None, counts: Collection[int]) -> Readings:
    """What a step says of its rows, in one copy from the device.

    Args:
        logits: [R, V].
        chosen: int64 [R].
        partners: whose distribution each row is held against, its own number for none; None for none at all.
        counts: how many alternatives are asked for, each number once.
    """
    logprobs = torch.log_softmax(logits.float(), dim=-1)
    columns = [chosen[:, None], logprobs.gather(-1, chosen[:, None])]
    asked = sorted({min(count, logprobs.shape[-1]) for count in counts if count})
    for count in asked:  # each by itself: which of equal ones come first may depend on how many are asked for
        columns.extend(reversed(logprobs.topk(count, dim=-1)))
    if partners is not None:
        theirs = torch.tensor(partners, device=logprobs.device)
        other = logprobs[theirs]
        # Not the exp of the logarithms: of a tensor's last few numbers a CPU takes another (see `rows.alike`).
        chances = torch.softmax(logits.float(), dim=-1)
        columns += [(chances * (logprobs - other)).sum(-1, keepdim=True), other.gather(-1, chosen[:, None])]
        moved = (chances - chances[theirs]).abs()
        for count in asked:
            far, tokens = moved.topk(count, dim=-1)
            columns += [tokens, far, logprobs.gather(-1, tokens), other.gather(-1, tokens)]
    rows = torch.cat([column.double() for column in columns], dim=-1).tolist()
    begin = 2
    readings = Readings(
        tokens=[int(row[0]) for row in rows],
        chances=[row[1] for row in rows],
        divergences=[0.0] * len(rows),
    )
    for count in asked:
        middle, end = begin + count, begin + 2 * count
        readings.alternatives[count] = [
            tuple(map(Alternative, map(int, row[begin:middle]), row[middle:end])) for row in rows
        ]
        begin = end
    if partners is not None:
        readings.divergences = [max(0.0, row[begin]) for row in rows]
        readings.plain_chances = [row[begin + 1] for row in rows]
        begin += 2
        for count in asked:
            readings.shifts[count] = [_shifts(row[begin : begin + 4 * count], count) for row in rows]
            begin += 4 * count
    return readings


def _shifts(numbers: list[float], count: int) -> tuple[Shift, ...]:
    """Of tokens, how far each moved, and its two log-probabilities, `count` numbers each: those that moved."""
    columns = (numbers[at : at + count] for at in range(0, 4 * count, count))
    return tuple(Shift(int(token), new, old) for token, far, new, old in zip(*columns, strict=True) if far > 0)


def strongest(traces: Mapping[int, LayerTrace], count: int) -> list[tuple[Fired, ...]]:
    """The `count` features of each row that are furthest from 0 at the last position, over all layers, as edited.

    Of equally strong ones the one of the lower layer comes first, and within a layer the one whose column does.
    """
    codes = {layer: traces[layer].codes for layer in sorted(traces)}
    values = torch.cat([code.values[:, -1] for code in codes.values()], dim=-1)  # [R, ΣK]
    features = torch.cat([code.indices[:, -1] for code in codes.values()], dim=-1)
    layers = torch.cat([torch.full((code.width,), layer) for layer, code in codes.items()]).to(values.device)
    order = values.abs().argsort(dim=-1, descending=True, stable=True)[:, :count]
    columns = [values.gather(-1, order), features.gather(-1, order), layers[order]]
    rows = torch.stack([column.double() for column in columns], dim=-1).tolist()
    return [
        tuple(Fired(int(layer), int(feature), value) for value, feature, layer in row if value != 0) for row in rows
    ]


def watched(
    traces: Mapping[int, LayerTrace], row: int, watch: Sequence[tuple[int, int]], position: int = -1
) -> tuple[Watched, ...]:
    """What given features do on one token, whether or not they are strong.

    Args:
        traces: of a recorded forward pass.
        row, position: which token.
        watch: (layer, feature) each.
    """
    values: dict[tuple[int, int], tuple[float, float]] = {}
    for layer in sorted({layer for layer, _ in watch}):
        asked = [feature for number, feature in watch if number == layer]
        trace = traces[layer]
        wanted = torch.tensor(asked, device=trace.scale.device)
        raw, edited = (
            torch.where(wanted[:, None] == codes.indices[row, position], codes.values[row, position], 0.0).sum(-1)
            for codes in trace.whole or (trace.raw_codes, trace.codes)
        )
        for feature, value, untouched in zip(asked, edited.tolist(), raw.tolist(), strict=True):
            values[layer, feature] = (value, untouched)
    return tuple(Watched(*which, *values[which]) for which in watch)
