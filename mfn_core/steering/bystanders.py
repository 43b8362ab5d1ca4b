"""What interventions do to other features: which of them change most, and how many begin or cease to fire."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from mfn_core.codes import SparseCodes
from mfn_core.run import LayerTrace
from mfn_core.steering.results import SideEffect, SideEffects, Turnover

MOST_ENTRIES = 1 << 22  # of dense code held at once
ROUNDING = 1e-4  # two rows of one batch differ by less where nothing differs; relative to a value, or to 1


def side_effects(
    plain: Mapping[int, LayerTrace],
    steered: Mapping[int, LayerTrace],
    turned: Collection[tuple[int, int]],
    row: int,
    most: int = 20,
) -> SideEffects:
    """Compares one row of two records of the same text, position by position.

    Args:
        plain: of a pass without interventions, [1, T, K] codes; its first row counts.
        steered: of a pass with them.
        turned: (layer, feature) of the interventions; they are left out.
        row: of `steered`.
        most: features to tell of.
    """
    begins = min((_begins(plain[n].codes, steered[n].codes, row) for n in plain), key=lambda at: (at is None, at or 0))
    if begins is None:
        return SideEffects((), (), 0, None)
    found: list[SideEffect] = []
    turnover: list[Turnover] = []
    changed = 0
    first = min(layer for layer, _ in turned) if turned else 0
    for layer in sorted(number for number in plain if number >= first):
        own = [feature for number, feature in turned if number == layer]
        sums = _Sums(plain[layer].codes, steered[layer].codes, row, begins, own)
        changed += int((sums.moved > 0).sum())
        turnover.append(Turnover(layer, sums.replaced))
        found += sums.strongest(layer, most)
    found.sort(key=lambda effect: (-effect.change, effect.layer, effect.feature))
    return SideEffects(tuple(found[:most]), tuple(turnover), changed, begins)


def _begins(plain: SparseCodes, steered: SparseCodes, row: int) -> int | None:
    """The first position at which two codes differ."""
    total = plain.values[0].shape[0]
    step = max(1, MOST_ENTRIES // plain.n_features)
    for at in range(0, total, step):
        differs = _apart(_dense(plain, 0, at, at + step), _dense(steered, row, at, at + step)).any(-1)
        if bool(differs.any()):
            return at + int(differs.int().argmax())
    return None


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """Where two codes differ by more than rows of a batch do by rounding."""
    return (b - a).abs() > ROUNDING * a.abs().clamp(min=1.0)


def _dense(codes: SparseCodes, row: int, start: int, stop: int) -> Tensor:
    """[positions, F] of some positions of one row."""
    return codes[row, start:stop].dense()


class _Sums:
    """Over the positions from one on, of each feature of a layer: float64 [F] each."""

    def __init__(self, plain: SparseCodes, steered: SparseCodes, row: int, begins: int, own: Collection[int]) -> None:
        n, total = plain.n_features, plain.values.shape[1]
        zeros = torch.zeros(5, n, dtype=torch.float64, device=plain.values.device)
        self.before, self.after, self.moved, self.fired_before, self.fired_after = zeros
        self.positions = total - begins
        replaced = 0.0
        step = max(1, MOST_ENTRIES // n)
        for at in range(begins, total, step):
            a, b = (_dense(codes, r, at, at + step).double() for codes, r in ((plain, 0), (steered, row)))
            a[:, list(own)] = b[:, list(own)] = 0.0
            fires_a, fires_b = a != 0, b != 0
            either = (fires_a | fires_b).sum(-1)
            replaced += float(((fires_a ^ fires_b).sum(-1) / either.clamp(min=1)).sum())
            self.before += a.sum(0)
            self.after += b.sum(0)
            self.moved += torch.where(_apart(a, b), (b - a).abs(), 0.0).sum(0)
            self.fired_before += fires_a.sum(0)
            self.fired_after += fires_b.sum(0)
        self.replaced = replaced / self.positions

    def strongest(self, layer: int, most: int) -> list[SideEffect]:
        """The features that moved most."""
        values, features = self.moved.topk(min(most, len(self.moved)))
        return [
            SideEffect(
                layer,
                feature,
                float(self.before[feature]) / self.positions,
                float(self.after[feature]) / self.positions,
                moved / self.positions,
                int(self.fired_before[feature]),
                int(self.fired_after[feature]),
                self.positions,
            )
            for moved, feature in zip(values.tolist(), features.tolist(), strict=True)
            if moved > 0
        ]
