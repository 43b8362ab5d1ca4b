"""How much a feature's firing says: what a list begins with for somebody who looks for nothing yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ENOUGH_FIRINGS = 200
"""Of a feature with so many firings, half is believed."""


def telling(
    firing_count: NDArray[np.int64],
    rate: NDArray[np.float64],
    greatest: NDArray[np.float32],
    mean: NDArray[np.float32],
    token_r2: NDArray[np.float32],
) -> NDArray[np.float32]:
    """How much the firings of each feature say (ours): the product of

    - the surprise of a firing, log2(1 / rate), in bits: what fires at every third token says little;
    - how far the strongest stands above the mean, log2(max / mean): where all firings are alike, none stands out;
    - the share of its values that the current token does not explain, 1 − R², R² from 0 to 1; one half where unknown;
    - the evidence, firings / (firings + 200): what fired a few times may be chance.

    Args:
        firing_count: firings on the corpus, int [n].
        rate: share of tokens on which it fires, [n].
        greatest: the strongest firing, [n].
        mean: over its firings, [n].
        token_r2: [n], NaN where unknown.

    Returns:
        float32 [n], at least 0; 0 for what never fired, or whose mean is not above 0.
    """
    known = (firing_count > 0) & (rate > 0) & (mean > 0) & (greatest > mean)
    surprise = -np.log2(rate, where=known, out=np.zeros(len(rate)))
    ratio = np.divide(greatest, mean, where=known, out=np.ones(len(rate)), dtype=np.float64)
    context = np.where(np.isnan(token_r2), 0.5, 1.0 - np.clip(token_r2, 0.0, 1.0))
    evidence = firing_count / (firing_count + ENOUGH_FIRINGS)
    return np.asarray(surprise * np.log2(ratio) * context * evidence, np.float32)
