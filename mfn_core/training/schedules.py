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


def warmup_cosine(progress: float, warmup: float, floor: float, hold: float = 0.0) -> float:
    """Factor on a learning rate: linear from 0 during `warmup`, 1 up to `hold`, then a half cosine down to `floor`."""
    if progress < warmup:
        return progress / warmup
    hold = max(hold, warmup)
    along = max(progress - hold, 0.0) / max(1.0 - hold, 1e-9)
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * min(along, 1.0)))
