"""P3: features align across seeds.

Two models of different seeds share no basis: what is compared is what their features do on the same tokens. Features
are matched one to one, by the correlation of their activations; representations by CKA.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfn_core.evaluation.verdicts import Condition, Verdict
from mfn_core.metrics.bootstrap import Estimate, mean_of

CLAIM = "Features of different seeds align, more than those of SAEs on the seeds' twins and of random codes."


@dataclass(frozen=True)
class Aligned:
    """How far one layer of two models says the same.

    Attributes:
        pair: names of the two, such as "0–1".
        layer: its number, the same in both.
        matched: mean correlation of features matched one to one.
        cka: of their dense codes, debiased.
    """

    pair: str
    layer: int
    matched: float
    cka: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"pair": self.pair, "layer": self.layer, "matched": self.matched, "cka": self.cka}


def verdict(ours: Sequence[Aligned], others: Mapping[str, Sequence[Aligned]]) -> Verdict:
    """P3 from the alignment of all pairs of seeds in all layers, and the same of each baseline.

    Differences are taken pair by pair and layer by layer. Neither pairs of three seeds nor layers are independent: the
    interval is over pairs, layers being meaned within each, and is as wide as three numbers make it.
    """
    conditions = [
        Condition(
            f"{what} less that of {name}, mean over pairs of seeds",
            "above",
            0.0,
            difference(ours, rows, field) if rows else None,
            why_not="" if rows else f"no {name} was read",
        )
        for name, rows in others.items()
        for field, what in (("matched", "mean correlation of matched features"), ("cka", "CKA"))
    ]
    tables = {name: [row.to_json() for row in rows] for name, rows in (("MFN", ours), *others.items())}
    return Verdict("P3", CLAIM, conditions, {"aligned": tables})


def difference(ours: Sequence[Aligned], theirs: Sequence[Aligned], field: str) -> Estimate:
    """Mean over pairs of the mean over layers of the difference.

    Raises:
        ValueError: the two do not have the same pairs and layers.
    """
    first, second = ({(row.pair, row.layer): getattr(row, field) for row in rows} for rows in (ours, theirs))
    if first.keys() != second.keys():
        raise ValueError("both must have the same pairs of seeds and layers")
    pairs = sorted({pair for pair, _ in first})
    means = [np.mean([first[key] - second[key] for key in first if key[0] == pair]) for pair in pairs]
    return mean_of(np.array(means))
