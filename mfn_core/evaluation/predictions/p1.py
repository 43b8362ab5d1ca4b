"""P1: firing rates converge to the target, with little overlap.

With exactly K features firing on each token, the mean rate and the mean overlap are given by K and F and show nothing:
what is judged is how the rates spread about the target, and the tail of the overlaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mfn_core.evaluation.verdicts import Condition, Verdict
from mfn_core.metrics import firing
from mfn_core.metrics.bootstrap import Estimate, mean_of
from mfn_core.metrics.overlap import CoFiring

CLAIM = "Firing rates converge to the target, and features overlap less than those of a random code."
LEAST_NEAR = 0.8  # share of live features within a factor of two of the target
BINS = np.sqrt(2.0) ** np.arange(-16, 17)  # of rates, as multiples of the target; what lies beyond is in the last ones
FARTHEST = 5  # features of a layer that are told of at either end
LEVEL = 99.0  # the percentile of Jaccard overlaps that is compared
RESAMPLES = 1000  # of features, for overlaps


class LayerFiring(NamedTuple):
    """How the features of one layer fire on the same text.

    Attributes:
        counts: int64 [F], tokens on which each fires.
        tokens: of how many.
        target: K / F.
        overlap: pairs of (chosen) features.
    """

    counts: firing.Counts
    tokens: int
    target: float
    overlap: CoFiring


def verdict(ours: Mapping[int, LayerFiring], random: Mapping[int, LayerFiring] | None, seed: int = 0) -> Verdict:
    """P1 from how the layers of a model fire, and those of a random code on the same streams.

    Shares are of all live features of all layers; overlaps are percentiles within each layer, meaned over layers.
    """
    near = [firing.near(layer.counts, layer.tokens, layer.target) for layer in ours.values()]
    share = mean_of(np.concatenate(near).astype(np.float64), seed=seed)
    difference = None if random is None else _difference(ours, random, seed)
    rows = {
        name: {str(number): row(layer) for number, layer in layers.items()}
        for name, layers in (("MFN", ours), ("random", random or {}))
    }
    return Verdict(
        "P1",
        CLAIM,
        [
            Condition(
                "live features with a rate within a factor of two of K / F", "at least", LEAST_NEAR, share, "share"
            ),
            Condition(
                f"{LEVEL:g}th percentile of Jaccard overlaps less that of a random code",
                "below",
                0.0,
                difference,
                why_not="" if difference else "no random code was read",
            ),
        ],
        {"layers": rows, "farthest": [each for number, layer in ours.items() for each in farthest(number, layer)]},
    )


def row(layer: LayerFiring) -> dict[str, Any]:
    """What a table shows of one layer."""
    counts, tokens = layer.counts, layer.tokens
    return {
        "features": len(counts),
        "tokens": tokens,
        "target": layer.target,
        "near_target": firing.near_target(counts, tokens, layer.target),
        "dead": firing.dead(counts),
        "ultra_rare": firing.ultra_rare(counts, tokens),
        "dense": firing.dense(counts, tokens),
        "gini": firing.spread(counts),
        "overlap": layer.overlap.percentile(LEVEL),
        "overlap_max": layer.overlap.percentile(100.0),
        "rates": rates(layer),
    }


def rates(layer: LayerFiring) -> dict[str, list[float]]:
    """Live features by their rate over the target: `edges` of the bins, `counts` one fewer."""
    times = layer.counts[layer.counts > 0] / layer.tokens / layer.target
    counts, edges = np.histogram(times.clip(BINS[0], BINS[-1]), BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def farthest(number: int, layer: LayerFiring) -> list[dict[str, Any]]:
    """The features of a layer that fire most, and the live ones that fire least."""
    order = np.argsort(layer.counts, kind="stable")
    order = order[layer.counts[order] > 0][::-1]
    told = [*order[:FARTHEST], *order[FARTHEST:][-FARTHEST:]]
    found = [(int(feature), float(layer.counts[feature] / layer.tokens)) for feature in told]
    return [
        {"layer": number, "feature": feature, "rate": rate, "times_target": rate / layer.target}
        for feature, rate in found
    ]


def _difference(ours: Mapping[int, LayerFiring], random: Mapping[int, LayerFiring], seed: int) -> Estimate:
    """Of the percentiles, meaned over layers; the interval over the features of each."""
    rng = np.random.default_rng(seed)
    value, drawn = 0.0, np.zeros(RESAMPLES)
    for number, layer in ours.items():
        other = random[number].overlap
        value += (layer.overlap.percentile(LEVEL) - other.percentile(LEVEL)) / len(ours)
        resampled = [side.resampled(RESAMPLES, rng, LEVEL) for side in (layer.overlap, other)]
        drawn += (resampled[0] - resampled[1]) / len(ours)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(value, float(low), float(high), sum(len(layer.overlap.chosen) for layer in ours.values()))
