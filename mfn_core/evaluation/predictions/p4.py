"""P4: interventions on z act predictably.

A feature is clamped at the last token of a text to several strengths. To first order the logits of the next token move
by Δz_j · ∂logit/∂z_j, the derivative taken through the model; that is compared with how they moved, by Spearman's ρ
over the vocabulary. A feature's ρ is the mean over the strengths, fixed beforehand (`DOSES`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.evaluation.verdicts import Condition, Verdict
from mfn_core.metrics.bootstrap import Estimate, bootstrap, median_of

CLAIM = "What clamping a feature does to the logits is told by its derivative, and better than for a random direction."
LEAST = 0.8  # median of Spearman's ρ
DOSES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)  # clamped to so many times the greatest strength seen
WAYS = ("first_order", "secant", "lens", "random")


@dataclass(frozen=True)
class FeatureSweep:
    """What came of clamping one feature at the last token of one text in which it fires there.

    Attributes:
        layer, feature: which.
        tokens: of the text.
        value: its strength there.
        peak: its greatest strength in all that was read, what doses are multiples of.
        length: of what clamping it to the peak adds to the stream, over the stream's length.
        first_order: Spearman's ρ of the predicted and the measured change of the logits, at each dose;
            None where the dose is the strength that it has there already.
        secant, lens: the same of two other predictions: by secants (`mfn_core.steering.linear`), by D_j · W_U alone.
        random: the same of a random direction in its place, as long as what it added, to first order.
        rise: Spearman's ρ, over the doses, of the dose and how far the ten tokens rose that are predicted to rise most.
        random_rise: the same of the random direction.
        predicted, measured: at dose 1, how far these ten tokens' logits rise, less the mean of all logits.
        kl: KL(plain ‖ clamped) of the next token at each dose, nats.
        random_kl: the same of the random direction.
        inside: at dose 1, of each block from the layer on, how far its attention patterns, its attention and its MLP
            moved, and the same of the random direction: keys as in `BlockChange`, and `random_…`.
        off: KL a token, in texts of other content, where it is ablated throughout.
        on: the same where it is clamped to its peak throughout.
        random_on: where a random direction is added throughout, as long. All three None where there is no such text.
    """

    layer: int
    feature: int
    tokens: int
    value: float
    peak: float
    length: float
    first_order: Sequence[float | None]
    secant: Sequence[float | None]
    lens: Sequence[float | None]
    random: Sequence[float | None]
    rise: float
    random_rise: float
    predicted: float
    measured: float
    kl: Sequence[float]
    random_kl: Sequence[float]
    inside: Sequence[Mapping[str, float]]
    off: float | None
    on: float | None
    random_on: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FeatureSweep:
        """What `to_json` gave."""
        return cls(**data)

    @property
    def monotone(self) -> bool:
        """Whether more of it moved its tokens more, at each dose."""
        return self.rise > 1 - 1e-9

    @property
    def random_monotone(self) -> bool:
        """The same of the random direction."""
        return self.random_rise > 1 - 1e-9


def not_measured(why: str) -> Verdict:
    """P4 where there is nothing to measure it on."""
    missing = Condition(_claim("the derivative"), "at least", LEAST, None, why_not=why)
    return Verdict("P4", CLAIM, [missing])


def verdict(
    sweeps: Mapping[str, Sequence[FeatureSweep]], ours: str, beside: Mapping[str, Any] | None = None
) -> Verdict:
    """P4 from the sweeps of the features of all sources.

    Args:
        sweeps: by the name of a source; some 200 features each.
        ours: the source that is judged; others are shown beside.
        beside: further tables, of what was measured of interventions and is not judged.
    """
    mine = sweeps[ours]
    return Verdict(
        "P4",
        CLAIM,
        [
            Condition(_claim("the derivative"), "at least", LEAST, median_of(_rho(mine, "first_order"))),
            Condition(
                f"{_claim('the derivative')} less that of random directions of equal length",
                "above",
                0.0,
                difference_of_medians(_rho(mine, "first_order"), _rho(mine, "random")),
            ),
        ],
        tables(sweeps, ours) | dict(beside or {}),
    )


def _claim(how: str) -> str:
    return f"median over features of Spearman's ρ of the logits' change told by {how} and measured"


def _rho(sweeps: Iterable[FeatureSweep], way: str) -> NDArray[np.float64]:
    """Of each feature the mean over the doses."""
    return np.array([_told(sweep, way) for sweep in sweeps], dtype=np.float64)


def _told(sweep: FeatureSweep, way: str) -> float:
    return fmean(rho for rho in getattr(sweep, way) if rho is not None)


def difference_of_medians(first: NDArray[np.float64], second: NDArray[np.float64]) -> Estimate:
    """The interval over features, each with both of its numbers."""
    return bootstrap(first, lambda drawn: float(np.median(first[drawn]) - np.median(second[drawn])))


def tables(sweeps: Mapping[str, Sequence[FeatureSweep]], ours: str) -> dict[str, Any]:
    """The numbers behind it, row by row. Features of other sources than ours have a number, and no page to link to."""
    groups = {source: list(rows) for source, rows in sweeps.items() if rows}
    layers = {
        (source, layer): [row for row in rows if row.layer == layer]
        for source, rows in groups.items()
        for layer in sorted({row.layer for row in rows})
    }
    return {
        "sources": [{"source": source} | _summary(rows) for source, rows in groups.items()],
        "layers": [{"source": source, "layer": layer} | _means_of(rows) for (source, layer), rows in layers.items()],
        "doses": [
            {"source": source, "dose": dose}
            | {name: _median(getattr(row, name)[place] for row in rows) for name in (*WAYS, "kl", "random_kl")}
            for source, rows in groups.items()
            for place, dose in enumerate(DOSES)
        ],
        "inside": [
            {"source": source, "layer": layer, "block": block} | _means(rows, block)
            for (source, layer), rows in layers.items()
            for block in sorted({int(change["block"]) for row in rows for change in row.inside})
        ],
        "side_effects": [{"source": source} | _elsewhere(rows) for source, rows in groups.items()],
        "features": [
            {"source": source, "layer": row.layer, "feature" if source == ours else "number": row.feature} | _row(row)
            for source, rows in groups.items()
            for row in rows
        ],
    }


def _row(sweep: FeatureSweep) -> dict[str, Any]:
    told = {way: _told(sweep, way) for way in WAYS}
    named = ("rise", "predicted", "measured", "peak", "length", "off", "on")
    return {"rho": told.pop("first_order")} | told | {name: getattr(sweep, name) for name in named}


def _summary(rows: Sequence[FeatureSweep]) -> dict[str, Any]:
    """Medians over features, of ρ with their intervals."""
    found = _means_of(rows)
    for way in WAYS:
        estimate = median_of(_rho(rows, way))
        found |= {f"{way}_low": estimate.low, f"{way}_high": estimate.high}
    return found


def _means_of(rows: Sequence[FeatureSweep]) -> dict[str, Any]:
    def share(name: str) -> float:
        return fmean(float(getattr(row, name)) for row in rows)

    return {
        "features": len(rows),
        **{way: float(np.median(_rho(rows, way))) for way in WAYS},
        "good": float((_rho(rows, "first_order") >= LEAST).mean()),
        "monotone": share("monotone"),
        "random_monotone": share("random_monotone"),
        "rise": share("rise"),
        "random_rise": share("random_rise"),
        "length": float(np.median([row.length for row in rows])),
    }


def _means(rows: Sequence[FeatureSweep], block: int) -> dict[str, float]:
    changes = [change for row in rows for change in row.inside if change["block"] == block]
    return {name: fmean(change[name] for change in changes) for name in changes[0] if name != "block"}


def _elsewhere(rows: Sequence[FeatureSweep]) -> dict[str, float | None]:
    """Medians over the features that have other texts."""
    return {name: _median(getattr(row, name) for row in rows) for name in ("off", "on", "random_on")}


def _median(values: Iterable[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
