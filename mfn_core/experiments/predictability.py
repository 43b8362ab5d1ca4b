"""P4 on one model and what stands beside it: features clamped, explained, and the detectors of concepts ablated and
turned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from mfn_core.evaluation.ablation import AblationEffect
from mfn_core.evaluation.concept_steering import TOKENS
from mfn_core.evaluation.concept_table import ConceptTable
from mfn_core.evaluation.concepts import Detector, Unit
from mfn_core.evaluation.journal import Journal
from mfn_core.evaluation.predictions import p4
from mfn_core.evaluation.text_probes import TextProbes
from mfn_core.evaluation.verdicts import Verdict
from mfn_core.experiments import clamping, steering_concepts
from mfn_core.experiments.explaining import Explained, Wanted, explain, summary
from mfn_core.experiments.material import OURS, SAE, Material, Progress, share
from mfn_core.experiments.stand_ins import NEURONS, neurons_of
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
    } | ConceptTables(material, sources, journal, progress).tables()
    return p4.verdict(found, OURS, {name: rows for name, rows in beside.items() if rows})


def _explain(
    model: MFNModel, rows: clamping.Rows, places: Sequence[clamping.Place], tell: Callable[[int, int], None]
) -> list[dict[str, Any]]:
    wanted = [Wanted(place.layer, place.feature, 1.0 if place.peak >= 0 else -1.0) for place in places]
    return [each.to_json() for each in explain(model, rows, wanted, progress=tell)]


class ConceptTables:
    """The concepts of the labelled text: their detectors in each source, ablated, then turned."""

    def __init__(
        self, material: Material, sources: Mapping[str, MFNModel], journal: Journal, progress: Progress
    ) -> None:
        self._material, self._journal, self._progress = material, journal, progress
        told = bool(material.labelled and material.concepts)
        self._sources = {source: model for source, model in sources.items() if told and source in (OURS, SAE)}
        self._texts = material.labelled[:: -(-len(material.labelled) // MOST_ERASED)] if told else []

    def tables(self) -> dict[str, Any]:
        """`erasure`, `steering`, `steered_concepts`."""
        probes = TextProbes(self._texts, TOKENS, self._material.model.vocab_size)
        detectors: dict[str, dict[str, Detector]] = {}
        erased: dict[str, dict[str, AblationEffect]] = {}
        steered: dict[str, steering_concepts.Successes] = {}
        for source, model in self._sources.items():
            tell = partial(self._tell, source)
            detectors[source], erased[source] = self._erase(source, model, tell)
            steered[source] = steering_concepts.steer_concepts(
                model,
                self._material.twin,
                self._texts,
                list(self._material.concepts),
                [detectors[source][concept] for concept in erased[source]],
                {concept: effect.control for concept, effect in erased[source].items()},
                probes,
                self._journal.under(f"p4/{source}/steering/"),
                tell,
            )
        erasure = [
            _erasure_row(source, detectors[source][concept], effect)
            for source, effects in erased.items()
            for concept, effect in effects.items()
        ]
        return {"erasure": erasure} | steering_concepts.tables(steered, detectors)

    def _erase(
        self, source: str, model: MFNModel, tell: Callable[[str, float], None]
    ) -> tuple[dict[str, Detector], dict[str, AblationEffect]]:
        """By concept: the detector, and, where it is found, what ablating it costs within the concept and outside."""
        concepts = self._material.concepts
        units: dict[str, Unit] = {name: "text" if whole else "token" for name, whole in concepts.items()}
        table = ConceptTable(model, self._texts, units, self._journal.under(f"p4/{source}/concepts/"), tell)
        detectors = table.detectors()
        return {detector.concept: detector for detector in detectors}, table.effects(detectors)

    def _tell(self, source: str, what: str, done: float) -> None:
        self._progress(f"P4: {what}, {source}", done)


def _erasure_row(source: str, detector: Detector, effect: AblationEffect) -> dict[str, Any]:
    return steering_concepts.named(source, detector) | {
        "inside": effect.inside.to_estimate(),
        "outside": effect.outside.to_estimate(),
        "control": effect.control_inside.to_estimate(),
        "specific": "yes" if effect.specific else "no",
        "erased": "yes" if effect.changes else "no",
    }


def _sweep(model: MFNModel, rows: clamping.Rows, place: clamping.Place, seed: int) -> dict[str, Any]:
    return clamping.sweep(model, rows, place, seed).to_json()
