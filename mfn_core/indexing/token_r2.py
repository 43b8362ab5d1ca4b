"""Token R²: the share of a feature's variance that a look-up by the current token explains.

The corpus is cut into halves by document. A feature's mean over each token, taken from one half, predicts its
activation z on every counted token of the other (0 where it is silent); then the halves change places:

    token R² = 1 − Σ (z − predicted)² / Σ (z − mean of z in that half)²,     both sums over both halves.

1: which token it is says all of it. 0 or less: no more than the mean does. A token that the first half does not hold is
predicted by the feature's mean over that half.

The squares are never gone through one by one: with n tokens t in the half that is predicted and m_t the prediction,
Σ (z − m_t)² = Σ z² − 2 Σ m_t Σ z + Σ n m_t², which needs sums by token alone. All sums come in as whole numbers, exact
in any order; what is computed of them here is float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import mix
from mfn_core.indexing.exact import SUM_SCALE
from mfn_core.indexing.pairs import Pairs

CONTEXT_R2 = 0.3
"""Below it, a feature is called a context feature."""

MIN_FIRINGS = 200
"""Firings in each half from which on the figure is taken to be a feature's own, not chance."""

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)

_SALT = np.uint64(0xA0761D6478BD642F)  # so that halves have nothing to do with which contexts are drawn
_NO_VARIANCE = 1e-6  # of Σ z²: z varies by less than a thousandth of its size, which rounding may have made


def half_of(document: NDArray[Any]) -> NDArray[np.int64]:
    """Which half each document belongs to, 0 or 1, by a hash of its number in the corpus."""
    return (mix(document.astype(np.uint64) + _SALT) >> np.uint64(63)).astype(np.int64)


def token_r2(
    pairs: tuple[Pairs, Pairs], squares: NDArray[np.float64], token_counts: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Token R² of F features.

    Args:
        pairs: what fires on what, of each half.
        squares: [halves, F], Σ z².
        token_counts: [halves, V], how often each token counts.

    Returns:
        float32 [F]; NaN where it is not known: z does not vary (a dead feature, say), or one half of the corpus is
        empty.
    """
    n_features = squares.shape[1]
    if not token_counts.any(1).all():
        return np.full(n_features, np.nan, np.float32)
    residual, total = np.zeros(n_features), np.zeros(n_features)
    for fit, test in ((0, 1), (1, 0)):
        residual += _residual(pairs[fit], pairs[test], squares[test], token_counts[fit], token_counts[test])
        z = _z_by_feature(pairs[test], n_features, token_counts.shape[1])
        total += squares[test] - z**2 / token_counts[test].sum()
    known = total > _NO_VARIANCE * squares.sum(0)
    return np.where(known, 1 - residual / np.where(known, total, 1), np.nan).astype(np.float32)


def _residual(
    fit: Pairs,
    test: Pairs,
    squares: NDArray[np.float64],
    fit_counts: NDArray[np.int64],
    test_counts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """float64 [F]: Σ (z − predicted)² over all counted tokens of `test`."""
    n_features, vocab = len(squares), len(fit_counts)
    overall = _z_by_feature(fit, n_features, vocab) / fit_counts.sum()
    unseen = fit_counts == 0

    feature, token = np.divmod(fit.keys, vocab)
    mean = _z(fit) / fit_counts[token]
    predicted_squared = _by_feature(feature, test_counts[token] * mean**2, n_features)
    predicted_squared += overall**2 * test_counts[unseen].sum()

    feature, token = np.divmod(test.keys, vocab)
    predicted = np.where(unseen[token], overall[feature], _look_up(test.keys, fit.keys, mean))
    product = _by_feature(feature, predicted * _z(test), n_features)
    return squares - 2 * product + predicted_squared


def _z(pairs: Pairs) -> NDArray[np.float64]:
    """float64 [P]: Σ z."""
    return pairs.sums / SUM_SCALE


def _z_by_feature(pairs: Pairs, n_features: int, vocab: int) -> NDArray[np.float64]:
    """float64 [F]: Σ z."""
    return _by_feature(pairs.keys // vocab, _z(pairs), n_features)


def _by_feature(feature: NDArray[np.int64], amounts: NDArray[np.float64], n_features: int) -> NDArray[np.float64]:
    """float64 [F]: the sum of each feature's amounts."""
    return np.bincount(feature, amounts, n_features).astype(np.float64)  # of nothing, it counts in whole numbers


def _look_up(wanted: NDArray[np.int64], keys: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The value of each wanted key, 0 where there is none. `keys` ascend."""
    if not len(keys):
        return np.zeros(len(wanted))
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0.0)


@dataclass(frozen=True)
class TokenR2Summary:
    """Token R² over the features of a layer that fire often enough.

    Attributes:
        n: features that fire at least `MIN_FIRINGS` times in each half, and whose token R² is known.
        quantiles: of theirs, by share (`QUANTILES`); empty without any.
        context_share: which share of them lies below `CONTEXT_R2`; None without any.
    """

    n: int
    quantiles: dict[float, float]
    context_share: float | None

    @property
    def median(self) -> float | None:
        """None without any."""
        return self.quantiles.get(0.5)


def summarize(token_r2: NDArray[np.floating[Any]], half_firings: NDArray[np.int64]) -> TokenR2Summary:
    """Sums up F features: [F], NaN where unknown, and [F], the firings in the half with fewer."""
    values = token_r2[(half_firings >= MIN_FIRINGS) & ~np.isnan(token_r2)]
    if not len(values):
        return TokenR2Summary(0, {}, None)
    quantiles = {share: float(np.quantile(values, share)) for share in QUANTILES}
    return TokenR2Summary(len(values), quantiles, float((values < CONTEXT_R2).mean()))
