"""Whether the detectors of concepts steer, for P4's tables: what is kept on the way, and the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from mfn_core.evaluation.concept_steering import (
    DOSES,
    LEAST_AUC,
    ConceptSteering,
    Detecting,
    SteeringSuccess,
    peaks,
    share_of,
    stranger,
)
from mfn_core.evaluation.concepts import Detector
from mfn_core.evaluation.journal import Journal
from mfn_core.evaluation.labelled import LabelledTokens
from mfn_core.evaluation.text_probes import TextProbes
from mfn_core.experiments.material import OURS, Progress
from mfn_core.metrics.bootstrap import mean_of
from mfn_core.model import MFNModel

Successes = Mapping[str, SteeringSuccess | None]
"""By concept; None where no probe tells it well enough in a text."""


def steer_concepts(
    model: MFNModel,
    judge: MFNModel | None,
    texts: Sequence[LabelledTokens],
    concepts: Sequence[str],
    detectors: Sequence[Detector],
    controls: Mapping[str, int],
    probes: TextProbes,
    journal: Journal,
    progress: Progress,
) -> Successes:
    """What comes of turning each detector.

    Args:
        model: that writes.
        judge: that says how strange it becomes; None for nobody.
        texts: labelled, in which the detectors were found.
        concepts: in the order of the labels' columns.
        detectors: that were found.
        controls: by concept, the feature that stands beside its detector.
        probes: of the same texts.
        journal: what is done already is taken from it.
        progress: told what is being done, and which share of it is.
    """

    def greatest() -> list[float]:
        progress("reading how strong detectors are", 0.0)
        chosen_in = [text for text in texts if not text.scored]
        return peaks(model, chosen_in, [(d.layer, d.feature) for d in detectors])

    steering = cache(lambda: ConceptSteering(model, judge))
    strengths = journal.once("peaks", greatest) if detectors else []

    def steer(detector: Detector, peak: float) -> dict[str, Any] | None:
        probe = probes.of(concepts.index(detector.concept))
        if probe is None or probe.auc < LEAST_AUC:
            return None
        turned = Detecting(detector.layer, detector.feature, controls[detector.concept], peak)
        return steering().success(turned, probe).to_json()

    found: dict[str, SteeringSuccess | None] = {}
    for done, (detector, peak) in enumerate(zip(detectors, strengths, strict=True)):
        progress(f"steering towards {detector.concept}", done / len(detectors))
        row = journal.once(detector.concept, partial(steer, detector, peak))
        found[detector.concept] = None if row is None else SteeringSuccess.from_json(row)
    return found


def tables(found: Mapping[str, Successes], detectors: Mapping[str, Mapping[str, Detector]]) -> dict[str, Any]:
    """`steering`, of each source over its concepts, and `steered_concepts`. Both arguments by source, then concept."""
    steering, rows = [], []
    for source, successes in found.items():
        told = {concept: success for concept, success in successes.items() if success is not None}
        if not told:
            continue
        every = list(told.values())
        counts = {"concepts": len(told), "left_out": len(successes) - len(told)}
        steers = {"steers": sum(one.steers for one in every) / len(every)}
        steering.append({"source": source, "dose": "all"} | counts | steers | _over_concepts(every, range(len(DOSES))))
        for place, dose in enumerate(DOSES):
            steering.append({"source": source, "dose": f"{dose:g}"} | counts | _over_concepts(every, [place]))
        most_first = sorted(told.items(), key=lambda item: -share_of(item[1].steered))
        rows += [_row(source, detectors[source][concept], success) for concept, success in most_first]
    return {"steering": steering, "steered_concepts": rows}


def _over_concepts(told: Sequence[SteeringSuccess], places: Sequence[int]) -> dict[str, Any]:
    """Means over concepts with their intervals, and medians of strangeness; of some of the doses."""
    shares: dict[str, list[float]] = {"with_nothing": [], "with_other": [], "with_detector": []}
    strange: dict[str, list[float]] = {"stranger_other": [], "stranger": []}
    for one in told:
        own, other = ([changes[place] for place in places] for changes in (one.steered, one.control))
        for name, changes in (("with_nothing", [one.plain]), ("with_other", other), ("with_detector", own)):
            shares[name].append(share_of(changes))
        for name, changes in (("stranger_other", other), ("stranger", own)):
            if (ratio := stranger(changes, one.plain)) is not None:
                strange[name].append(ratio)
    medians = {name: float(np.median(ratios)) if ratios else None for name, ratios in strange.items()}
    return {name: mean_of(each).to_json() for name, each in shares.items()} | medians


def named(source: str, detector: Detector) -> dict[str, Any]:
    """What a row of a table says of a detector: of another source than ours it has a number, and no page to link to."""
    return {
        "source": source,
        "concept": detector.concept,
        "layer": detector.layer,
        "feature" if source == OURS else "number": detector.feature,
    }


def _row(source: str, detector: Detector, success: SteeringSuccess) -> dict[str, Any]:
    return named(source, detector) | {
        "steers": "yes" if success.steers else "no",
        "with_nothing": share_of([success.plain]),
        "with_other": share_of(success.control),
        "with_detector": share_of(success.steered),
        **{f"with_detector_{dose:g}": share_of([each]) for dose, each in zip(DOSES, success.steered, strict=True)},
        "above_other": success.above_control.to_estimate(),
        "stranger": stranger(success.steered, success.plain),
        "judge": success.auc,
    }
