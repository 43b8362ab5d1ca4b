"""How a feature stands by how often it fired on the corpus: it is dead, ultra-rare, alive, or nobody can tell yet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TOKENS_TO_ONE = 1_000_000
"""A feature that fires on fewer than one token in so many is ultra-rare."""

ENOUGH_TOKENS = 3_000_000
"""On fewer tokens a rate of one in a million cannot be told from twice or half as much, nor from none."""

SURELY_ALIVE = 10
"""With so many firings a feature is not ultra-rare, however few tokens were read: at one in a million, fewer than three
are expected of fewer than `ENOUGH_TOKENS`, and ten come about once in 900 times (ours)."""

STATUSES = ("alive", "ultra_rare", "undetermined", "dead")
"""`schemas.FeatureStatus`, by the numbers that `status_codes` gives."""


def status_codes(firing_count: NDArray[Any] | int, n_tokens: int) -> NDArray[np.uint8]:
    """How features stand, as places in `STATUSES`: uint8, of the shape of `firing_count`.

    Args:
        firing_count: on how many tokens each fires.
        n_tokens: tokens of the corpus that count.
    """
    count = np.asarray(firing_count, np.int64)
    seldom = count * TOKENS_TO_ONE < n_tokens if n_tokens >= ENOUGH_TOKENS else count < SURELY_ALIVE
    code = STATUSES.index("ultra_rare" if n_tokens >= ENOUGH_TOKENS else "undetermined")
    return np.where(count == 0, STATUSES.index("dead"), np.where(seldom, code, 0)).astype(np.uint8)
