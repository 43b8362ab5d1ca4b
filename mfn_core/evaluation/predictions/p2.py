"""P2: concepts are read better from z than from what others make of the stream.

For each concept and source, one layer is used: that on which a probe of the kind does best on held-back texts of the
half on which probes are fitted. Its score is that of a probe fitted on that whole half, on the other half (ours).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfn_core.evaluation.probes import Matrix, ProbeScore, Split, full, held_back, k_sparse, k_sparse_each
from mfn_core.evaluation.representations import Representation, Sample
from mfn_core.evaluation.verdicts import Condition, Verdict
from mfn_core.metrics.auc import p_above
from mfn_core.metrics.bootstrap import Estimate, bootstrap, holm, mean_of

CLAIM = "A concept is read better from z than from the code of an SAE, and no worse than from the stream."
SPARSE = (1, 2, 5, 20)  # k of the k-sparse probes
FEWEST = 15  # instances, and others, in either half, for a concept to be used
LEAST_GAIN = 0.1  # of z over the SAE, at k = 1
TELLS = 0.02  # by how much an SAE's AUC must exceed a guess, for its gain to be a fraction of something


@dataclass(frozen=True)
class Source:
    """Something probes read.

    Attributes:
        name: such as "MFN" or "SAE".
        layers: by number, what it holds of the sample.
        stream: whether its streams are read, not its codes.
    """

    name: str
    layers: Mapping[int, Mapping[bool, Representation]]
    stream: bool = False

    def matrix(self, layer: int, whole: bool) -> Matrix:
        """Rows of the sample."""
        found = self.layers[layer][whole]
        return found.stream if self.stream else found.codes


@dataclass(frozen=True)
class ConceptScore:
    """How well one concept is read from one source.

    Attributes:
        concept, source: names.
        by_k: AUC by k; "full" is the probe on all dimensions.
        layers: the layer that was used, likewise.
        best: the dimension of k = 1; None for a stream, whose dimensions have no names.
        units: instances, and other units, that were scored.
    """

    concept: str
    source: str
    by_k: Mapping[str, float]
    layers: Mapping[str, int]
    best: int | None
    units: tuple[int, int] = (0, 0)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "concept": self.concept,
            "source": self.source,
            "auc": dict(self.by_k),
            "layers": dict(self.layers),
            "best": self.best,
            "units": list(self.units),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ConceptScore:
        """What `to_json` gave."""
        return cls(data["concept"], data["source"], data["auc"], data["layers"], data["best"], tuple(data["units"]))


def usable(sample: Sample, column: int, fewest: int = FEWEST) -> bool:
    """Whether a concept has enough instances, and others, in either half."""
    for half in (False, True):
        labels = sample.labels[sample.scored == half, column]
        if min((labels == 1).sum(), (labels == 0).sum()) < fewest:
            return False
    return True


def score_concept(
    concept: str, column: int, whole: bool, sample: Sample, source: Source, seed: int = 0
) -> ConceptScore:
    """Fits and scores all probes of one concept on one source.

    They read a lot of the units of which the concept is known. What was drawn for other concepts is left out, or few
    instances would stand among very many others.
    """
    drawn = sample.lot(column, rng=seed)
    fit, scored = drawn & ~sample.scored, drawn & sample.scored
    y = sample.labels[:, column] == 1

    def split(layer: int) -> Split:
        x = source.matrix(layer, whole)
        return Split(x[fit], y[fit], x[scored], y[scored], sample.text[fit])

    splits = {layer: split(layer) for layer in source.layers}
    chosen = _layers(splits, seed)
    found = {k: k_sparse(splits[layer], k, seed) for k, layer in chosen.items()}
    by_k = {str(k): probe.auc for k, probe in found.items()}
    layers = {str(k): layer for k, layer in chosen.items()}
    best = None if source.stream else int(found[1].dimensions[0])
    layers["full"] = layers[str(SPARSE[-1])]
    by_k["full"] = full(splits[layers["full"]], seed).auc
    units = int((y & scored).sum()), int((~y & scored).sum())
    return ConceptScore(concept, source.name, by_k, layers, best, units)


def _layers(splits: Mapping[int, Split], seed: int) -> dict[int, int]:
    """By k, the layer whose probe does best on texts held back from the fitting half; the first of those that tie."""
    judged: dict[int, dict[int, ProbeScore]] = {}
    for layer, split in splits.items():
        held = held_back(split, seed)
        if held is None:  # too few texts to hold any back: judged where it is fitted
            held_x, held_y, x, y, text = split.fit_x, split.fit_y, split.fit_x, split.fit_y, split.fit_text
        else:
            held_x, held_y = split.fit_x[held], split.fit_y[held]
            x, y, text = split.fit_x[~held], split.fit_y[~held], split.fit_text[~held]
        judged[layer] = k_sparse_each(Split(x, y, held_x, held_y, text), SPARSE, seed)

    def best(k: int) -> int:
        return max(judged, key=lambda layer: judged[layer][k].auc)

    return {k: best(k) for k in SPARSE}


def not_measured(why: str) -> Verdict:
    """P2 where there is nothing to measure it on."""
    missing = Condition("gain of the best single feature", "at least", LEAST_GAIN, None, why_not=why)
    return Verdict("P2", CLAIM, [missing])


def gain(ours: Sequence[float], theirs: Sequence[float]) -> Estimate | None:
    """Mean over concepts of (AUC − ½) / (AUC' − ½) − 1, over those of which the other source tells anything at all."""
    first, second = np.asarray(ours) - 0.5, np.asarray(theirs) - 0.5
    told = second >= TELLS
    return mean_of(first[told] / second[told] - 1.0) if told.any() else None


def gain_of_means(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """The mean of AUC − ½ over that of the other source, less 1: no concept weighs more for being hard to the other."""
    first, second = np.asarray(ours) - 0.5, np.asarray(theirs) - 0.5

    def measure(drawn: Any) -> float:
        below = float(second[drawn].mean())
        return float(first[drawn].mean()) / below - 1.0 if below > 0 else float("nan")

    return bootstrap(first, measure)


def verdict(scores: Sequence[ConceptScore], ours: str, sae: str, stream: str) -> Verdict:
    """P2 from the scores of all concepts on all sources.

    Args:
        scores: of each concept on each source.
        ours, sae, stream: names of the sources that the prediction is about; others are shown beside.
    """
    auc_of = {(s.source, s.concept): s.by_k for s in scores}
    concepts = list(dict.fromkeys(s.concept for s in scores if s.source == ours))
    sources = list(dict.fromkeys(s.source for s in scores))

    def column(source: str, k: str) -> list[float]:
        return [auc_of[source, concept][k] for concept in concepts]

    against = gain(column(ours, "1"), column(sae, "1")) if sae in sources else None
    difference = np.subtract(column(ours, "full"), column(stream, "full"))
    tests = [row for other in (sae, stream) if other in sources for row in _tests(scores, ours, other)]
    means = {
        source: {k: mean_of(column(source, k)).to_json() for k in (*map(str, SPARSE), "full")} for source in sources
    }
    gains = {
        source: {k: gain_of_means(column(ours, k), column(source, k)).to_json() for k in (*map(str, SPARSE), "full")}
        for source in sources
        if source != ours
    }
    return Verdict(
        "P2",
        CLAIM,
        [
            Condition(
                "gain of the best single feature over the SAE's, mean over concepts",
                "at least",
                LEAST_GAIN,
                against,
                why_not="" if against else "no SAE to compare with, or it tells no concept",
            ),
            Condition("AUC of the full probe on z less that on the stream", "at least", 0.0, mean_of(difference)),
        ],
        {"means": means, "gains": gains, "tests": tests, "concepts": [s.to_json() for s in scores]},
    )


def _tests(scores: Sequence[ConceptScore], ours: str, other: str) -> list[dict[str, Any]]:
    """Concept by concept, whether z is read better, with p values that are corrected for how many concepts there are.
    No condition asks about it: those are about means over concepts."""
    found = {(s.source, s.concept): s for s in scores}
    rows = []
    for k in ("1", "full"):
        pairs = [(s, found[other, s.concept]) for s in scores if s.source == ours and min(s.units) > 0]
        p_values = holm([p_above(mine.by_k[k], theirs.by_k[k], *mine.units) for mine, theirs in pairs])
        rows += [
            {"over": other, "k": k, "concept": mine.concept, "difference": mine.by_k[k] - theirs.by_k[k], "p_holm": p}
            for (mine, theirs), p in zip(pairs, p_values, strict=True)
        ]
    return rows
