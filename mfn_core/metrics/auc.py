"""How sure areas under the ROC curve are, and whether one is greater than another."""

from __future__ import annotations

import math


def auc_variance(auc: float, instances: int, others: int) -> float:
    """Of an area under the ROC curve over so many instances and other units. Source: J. A. Hanley and B. J. McNeil,
    Radiology 143 (1982) 29."""
    a, m, n = auc, instances, others
    return a * (1 - a) * (1 + (m - 1) * (1 - a) / (2 - a) + (n - 1) * a / (1 + a)) / (m * n)


def p_above(first: float, second: float, instances: int, others: int) -> float:
    """One-sided p value of the first area being no greater than the second, both over the same units.

    By the normal distribution, and as if the two were independent: scores of the same units go together, which makes
    the true spread of the difference smaller and this p too great, never too small. 0.5 where both are the same.
    """
    spread = (auc_variance(first, instances, others) + auc_variance(second, instances, others)) ** 0.5
    if spread == 0.0:
        return 0.5 if first == second else float(first < second)
    return 0.5 * math.erfc((first - second) / spread / 2**0.5)
