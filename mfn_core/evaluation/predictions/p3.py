"""P3: features align across seeds.

Two models of different seeds share no basis: what is compared is what their features do on the same tokens. Features
are matched one to one, by the correlation of their activations; representations by CKA.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mfn_core.evaluation.verdicts import Condition, Verdict
from mfn_core.metrics.bootstrap import Estimate, mean_of

CLAIM = "Features of different seeds align, more than those of SAEs on the seeds' twins and of random codes."


FEWEST = 3  # seeds
STRONG = 0.7  # a correlation from which on two features pass for one
LEVELS = tuple(step / 20 for step in range(21))  # quantiles of matched correlations that are told


@dataclass(frozen=True)
class Aligned:
    """How far one layer of two models says the same.

    Attributes:
        pair: names of the two, such as "0–1".
        layer: its number, the same in both.
        matched: mean correlation of features matched one to one; those that never fire count, as 0.
        cka: of their dense codes, debiased.
        held_out: the same as `matched` of features matched on one half of the tokens and correlated on the other, where
            chance coincidences of rare features do not help; None where there was but one batch.
        live: of the matched pairs, how many have two features that fire.
        strong: share of all pairs with a correlation of at least `STRONG`.
        quantiles: of the correlations of all pairs, at `LEVELS`.
        best: the most alike, as (feature, the other's feature, correlation).
    """

    pair: str
    layer: int
    matched: float
    cka: float
    held_out: float | None = None
    live: int = 0
    strong: float = 0.0
    quantiles: tuple[float, ...] = ()
    best: tuple[tuple[int, int, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Aligned:
        """What `to_json` gave."""
        return cls(**data | {"quantiles": tuple(data["quantiles"]), "best": tuple(tuple(row) for row in data["best"])})


def not_measured(why: str) -> Verdict:
    """P3 where there is nothing to measure it on."""
    missing = Condition("mean correlation of matched features less that of baselines", "above", 0.0, None, why_not=why)
    return Verdict("P3", CLAIM, [missing])


def verdict(
    ours: Sequence[Aligned],
    others: Mapping[str, Sequence[Aligned]],
    seeds: int = FEWEST,
    beside: Mapping[str, Sequence[Aligned]] | None = None,
) -> Verdict:
    """P3 from the alignment of all pairs of seeds in all layers, and the same of each baseline.

    Differences are taken pair by pair and layer by layer. Neither pairs of three seeds nor layers are independent: the
    interval is over pairs, layers being meaned within each, and is as wide as three numbers make it. With fewer than
    three seeds there is no interval: the numbers are in the tables, and nothing is judged.

    Args:
        ours: of the model and those of other seeds.
        others: by the baseline's name; an empty one was not read.
        seeds: how many models there are.
        beside: others that are shown, and not compared with.
    """
    few = f"{FEWEST} seeds are needed, and there are {seeds}" if seeds < FEWEST else ""
    conditions = [
        Condition(
            f"{what} less that of {name}, mean over pairs of seeds",
            "above",
            0.0,
            difference(ours, rows, field) if rows and not few else None,
            why_not="" if rows and not few else few or f"no {name} were read",
        )
        for name, rows in others.items()
        for field, what in (("matched", "mean correlation of matched features"), ("cka", "CKA"))
    ]
    return Verdict("P3", CLAIM, conditions, tables({"MFN": ours, **others, **(beside or {})}))


def tables(found: Mapping[str, Sequence[Aligned]]) -> dict[str, Any]:
    """The numbers behind it, row by row."""
    every = [(source, row) for source, rows in found.items() for row in rows]
    shown = ("pair", "layer", "matched", "held_out", "live", "strong", "cka")
    return {
        "means": [
            {"source": source}
            | {name: float(np.mean([getattr(row, name) for row in rows])) for name in ("matched", "strong", "cka")}
            for source, rows in found.items()
            if rows
        ],
        "aligned": [{"source": source} | {name: getattr(row, name) for name in shown} for source, row in every],
        "quantiles": [
            {"source": source, "pair": row.pair, "layer": row.layer, "level": level, "correlation": value}
            for source, row in every
            for level, value in zip(LEVELS, row.quantiles, strict=bool(row.quantiles))
        ],
        "best": [
            {"pair": row.pair, "layer": row.layer, "feature": mine, "other": theirs, "correlation": r}
            for row in next(iter(found.values()), [])
            if row.pair.startswith("0–")  # the model's own features, which a page can show
            for mine, theirs, r in row.best
        ],
    }


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
