"""P4 on one model and what stands beside it: features clamped, explained, and the detectors of concepts ablated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from mfn_core.evaluation.concept_table import ConceptTable
from mfn_core.evaluation.concepts import Unit
from mfn_core.evaluation.journal import Journal
from mfn_core.evaluation.predictions import p4
from mfn_core.evaluation.verdicts import Verdict
from mfn_core.experiments import clamping
from mfn_core.experiments.explaining import Explained, Wanted, explain, summary
from mfn_core.experiments.material import OURS, SAE, Material, Progress, share
from mfn_core.experiments.stand_ins import NEURONS, neurons_of
from mfn_core.intervals import Mean
from mfn_core.model import MFNModel

MOST_ERASED = 4000  # labelled texts in which detectors are sought and ablated


def interventions(material: Material, journal: Journal, seed: int, progress: Progress) -> Verdict:
    """P4, at tokens of held-out text."""
    rows = clamping.usable(material.rows)
    if not material.sweeps:
        return p4.not_measured("no features were to be clamped")
    if not rows:
        return p4.not_measured("the texts are too short to clamp features in")
    sources = {OURS: material.model}
    if material.sae is not None:
        sources[SAE] = material.sae
    if material.twin is not None and not material.twin.coders:
        sources[NEURONS] = neurons_of(material.twin, max(layer.k for layer in material.model.mfn_layers.values()))
    found: dict[str, list[p4.FeatureSweep]] = {}
    explained: dict[str, list[Explained]] = {}
    for source, model in sources.items():
        per_layer = -(-material.sweeps // len(model.coders))
        tell = share(progress, f"P4: reading text, {source}")
        draw_places = partial(clamping.places, model, rows, per_layer, seed, progress=tell)
        drawn = [clamping.Place(*place) for place in journal.once(f"p4/{source}/places", draw_places)]
        found[source] = []
        for number, place in enumerate(drawn):
            progress(f"P4: clamping features, {source}", number / len(drawn))
            sweep = partial(_sweep, model, rows, place, seed + number)
            found[source].append(p4.FeatureSweep.from_json(journal.once(f"p4/{source}/{number}", sweep)))
        judge = partial(_explain, model, material.rows, drawn, share(progress, f"P4: explaining features, {source}"))
        explained[source] = [Explained(**row) for row in journal.once(f"p4/{source}/explained", judge)]
    if not found[OURS]:
        return p4.not_measured("no feature fires on the text")
    beside = {
        "interpretability": summary(explained),
        "explanations": [row.to_json() for row in explained[OURS]],
        "erasure": [row for source in (OURS, SAE) for row in _erasure(material, source, sources, journal, progress)],
    }
    return p4.verdict(found, OURS, {name: rows for name, rows in beside.items() if rows})


def _explain(
    model: MFNModel, rows: clamping.Rows, places: Sequence[clamping.Place], tell: Callable[[int, int], None]
) -> list[dict[str, Any]]:
    wanted = [Wanted(place.layer, place.feature, 1.0 if place.peak >= 0 else -1.0) for place in places]
    return [each.to_json() for each in explain(model, rows, wanted, progress=tell)]


def _interval(mean: Mean) -> dict[str, float | None]:
    ends = mean.interval() if np.isfinite(mean.error) else (None, None)
    return {"value": mean.value, "low": ends[0], "high": ends[1]}


def _erasure(
    material: Material, source: str, sources: Mapping[str, MFNModel], journal: Journal, progress: Progress
) -> list[dict[str, Any]]:
    """What ablating the detector of each concept costs within the concept and outside, beside another feature's."""
    if source not in sources or not material.labelled or not material.concepts:
        return []
    units: dict[str, Unit] = {name: "text" if whole else "token" for name, whole in material.concepts.items()}

    def tell(what: str, done: float) -> None:
        progress(f"P4: {what}, {source}", done)

    texts = material.labelled[:: -(-len(material.labelled) // MOST_ERASED)]
    table = ConceptTable(sources[source], texts, units, journal.under(f"p4/{source}/concepts/"), tell)
    detectors = {detector.concept: detector for detector in table.detectors()}
    return [
        {
            "source": source,
            "concept": concept,
            "layer": detectors[concept].layer,
            "feature" if source == OURS else "number": detectors[concept].feature,
            "inside": _interval(effect.inside),
            "outside": _interval(effect.outside),
            "control": _interval(effect.control_inside),
            "specific": "yes" if effect.specific else "no",
            "erased": "yes" if effect.changes else "no",
        }
        for concept, effect in table.effects(list(detectors.values())).items()
    ]


def _sweep(model: MFNModel, rows: clamping.Rows, place: clamping.Place, seed: int) -> dict[str, Any]:
    return clamping.sweep(model, rows, place, seed).to_json()
