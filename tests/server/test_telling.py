"""How much a feature's firing says."""

from __future__ import annotations

import numpy as np

from mfn_server.features.telling import telling


def test_each_part_counts_and_what_is_not_known_is_bounded() -> None:
    count = np.array([1000, 1000, 1000, 1000, 10, 0, 1000, 1000, 1000])
    rate = np.array([0.001, 0.3, 0.001, 0.001, 0.001, 0.0, 0.001, 0.001, 0.001])
    greatest = np.array([4, 4, 2, 4, 4, 0, 4, 4, -1], np.float32)
    mean = np.array([1, 1, 1, 1, 1, 0, 1, 1, -3], np.float32)
    token_r2 = np.array([0.1, 0.1, 0.1, 0.9, 0.1, np.nan, np.nan, -0.4, 0.1], np.float32)
    found = telling(count, rate, greatest, mean, token_r2)
    best = np.log2(1000) * np.log2(4) * 0.9 * 1000 / 1200
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], best, rtol=1e-6)
    assert (found[1:6] < found[0]).all(), "what is frequent, flat, one token's, or hardly seen says less"
    np.testing.assert_allclose(found[2], best / 2, rtol=1e-6)
    assert found[5] == found[8] == 0, "what never fired, and what has no mean above 0"
    np.testing.assert_allclose(found[6:8], [best / 0.9 / 2, best / 0.9], rtol=1e-6)
