"""Which differences between runs are more than luck, and which pressures earn their place.

The rule is fixed before anything is measured. A pressure has one figure that it is there for. It earns its place where
that figure is worse without it, by more than seeds explain: the whole interval of the difference lies on the worse
side. Seed noise is one standard deviation for each figure, pooled over all equipped runs of several seeds; with σ on ν
degrees of freedom, a difference of means over m and n seeds has the interval d ± t(ν) σ √(1/m + 1/n). Runs of one seed
that share their first steps differ by less than that, so that it is on the safe side. Intervals of the pressures' own
figures are widened for how many are judged together (Bonferroni); those in tables are plain 95 % ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from mfn_core.ablations.measure import Figures
from mfn_core.evidence.document import CellKind
from mfn_core.metrics.bootstrap import Estimate
from mfn_core.metrics.outputs import recovered

LEVEL = 0.05
PRICE = 0.01  # nats of cross-entropy that a pressure may cost


@dataclass(frozen=True)
class Measure:
    """One figure of a run.

    Attributes:
        key, title, unit, kind: as a column of a table.
        worse: which way is worse.
    """

    key: str
    title: str
    worse: Literal["higher", "lower"] = "higher"
    unit: str = ""
    kind: CellKind = "number"


MEASURES = (
    Measure("loss", "cross-entropy", unit="nats"),
    Measure("above", "above the dense twin", unit="nats"),
    Measure("fvu", "FVU"),
    Measure("l0", "L0"),
    Measure("dead", "dead", kind="share"),
    Measure("near_target", "within 2× of target rate", "lower", kind="share"),
    Measure("comp", "competition"),
    Measure("overlap", "Jaccard overlap, 99th percentile"),
    Measure("moved", "code moved by noise"),
    Measure("shrinkage", "shrinkage"),
    Measure("per_flop", "loss recovered per FLOP (twin: 1)", "lower"),
)
BY_KEY = {measure.key: measure for measure in MEASURES}
OWN = {
    "recon": BY_KEY["fvu"],
    "rate": BY_KEY["near_target"],
    "comp": BY_KEY["comp"],
    "stab": BY_KEY["moved"],
    "util": BY_KEY["above"],  # seeds of the Transformer differ by more than what layers cost does
    "auxk": BY_KEY["dead"],
}

Values = Mapping[str, Mapping[int, Mapping[str, float]]]
"""By run, seed and measure; a measure that a run has not is left out."""


def values_of(ours: Figures, dense: Figures | None) -> dict[str, float]:
    """The measures of one run, its dense twin of the same seed beside it.

    Layers are meaned. Loss recovered per FLOP: the share of what lies between the unigram cost and the twin's
    cross-entropy that the run gets, over its operations in a forward pass as a multiple of the twin's.
    """
    found = {"loss": ours.loss}
    if dense is not None:
        gained = recovered(ours.loss, dense.loss, ours.unigram) if ours.unigram > dense.loss else math.nan
        found |= {"above": ours.loss - dense.loss, "per_flop": gained * dense.flops / ours.flops}
    for key in ("fvu", "l0", "dead", "near_target", "comp", "overlap", "moved", "shrinkage"):
        mean = ours.mean(key)
        if mean is not None:
            found[key] = mean
    return found


class Noise:
    """How far seeds of one setting lie apart, for each measure."""

    def __init__(self, values: Values, equipped: Sequence[str]) -> None:
        """`equipped`: runs with layers of features; the noise of the others is another."""
        self.sigma: dict[str, float] = {}
        self.freedom: dict[str, int] = {}
        for measure in MEASURES:
            columns = [_column(values, run, measure.key) for run in equipped]
            several = [column for column in columns if len(column) > 1]
            freedom = sum(len(column) - 1 for column in several)
            if freedom:
                squares = sum(float(np.square(column - column.mean()).sum()) for column in several)
                self.sigma[measure.key], self.freedom[measure.key] = math.sqrt(squares / freedom), freedom

    def half(self, key: str, n: int, m: int | None = None, level: float = LEVEL) -> float | None:
        """Half of the interval of a mean over n seeds, or of its difference from one over m; None without noise."""
        if key not in self.sigma:
            return None
        quantile = float(stats.t.ppf(1 - level / 2, self.freedom[key]))
        return quantile * self.sigma[key] * math.sqrt(1 / n + (1 / m if m else 0.0))


def mean(values: Values, noise: Noise, run: str, key: str) -> Estimate | None:
    """Of a run over its seeds. Without noise the ends of the interval are not numbers."""
    column = _column(values, run, key)
    if not len(column):
        return None
    value, half = float(column.mean()), noise.half(key, len(column))
    low, high = (math.nan, math.nan) if half is None else (value - half, value + half)
    return Estimate(value, low, high, len(column))


def difference(values: Values, noise: Noise, run: str, full: str, key: str, level: float = LEVEL) -> Estimate | None:
    """A run's mean less that of the full setting. None where one lacks the measure, or nothing is known of noise."""
    ours, theirs = _column(values, run, key), _column(values, full, key)
    half = noise.half(key, len(ours), len(theirs), level) if len(ours) and len(theirs) else None
    if half is None:
        return None
    value = float(ours.mean() - theirs.mean())
    return Estimate(value, value - half, value + half, len(ours))


def _column(values: Values, run: str, key: str) -> np.ndarray:
    found = [of_seed[key] for of_seed in values.get(run, {}).values() if key in of_seed]
    return np.array([value for value in found if math.isfinite(value)])
