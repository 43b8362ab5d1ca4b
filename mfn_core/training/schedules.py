"""How a setting moves over a run: pure functions of the share of steps done, from 0 to 1."""

from __future__ import annotations

import math


def ramp(progress: float, start: float, end: float) -> float:
    """0 up to `start`, linear to 1 at `end`, 1 from there on. The schedule of α."""
    if end <= start:
        return float(progress >= end)
    return min(max((progress - start) / (end - start), 0.0), 1.0)


def anneal_k(progress: float, first: int, last: int, until: float) -> int:
    """K from `first` to `last`, linear in steps, reached at `until`. The paper anneals K from a larger set."""
    return round(first + (last - first) * ramp(progress, 0.0, until))


def warmup_cosine(progress: float, warmup: float, floor: float) -> float:
    """Factor on a learning rate: linear from 0 during `warmup`, then a half cosine down to `floor`."""
    return two_falls(progress, warmup, 0.0, 0.0, 1.0, floor)


def two_falls(progress: float, warmup: float, hold: float, settle: float, settled: float, floor: float) -> float:
    """Factor on a learning rate: linear from 0 during `warmup`, 1 up to `hold`, down to `settled` at `settle`, and on
    to `floor` at the end; both falls are half cosines. With `settle` 0 the second is the only one."""
    if progress < warmup:
        return progress / warmup
    if progress < settle:
        return half_cosine(progress, max(hold, warmup), settle, 1.0, settled)
    return half_cosine(progress, max(settle, warmup), 1.0, settled, floor)


def half_cosine(progress: float, start: float, end: float, first: float, last: float) -> float:
    """`first` up to `start`, half a cosine to `last` at `end`, `last` from there on."""
    along = ramp(progress, start, end)
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * along))
