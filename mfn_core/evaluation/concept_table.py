"""The whole measurement of a model's concepts: detectors, and what ablating each costs, kept piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mfn_core.evaluation.ablation import FEWEST_TEXTS, MOST_TEXTS, AblationEffect, Ablations
from mfn_core.evaluation.concepts import FOUND_RECALL, LEVELS, Detector, Unit, find_detectors
from mfn_core.evaluation.journal import Journal
from mfn_core.evaluation.labelled import LabelledTokens
from mfn_core.model import MFNModel

JOURNAL_VERSION = 1  # of what is kept, and of how it is measured

Progress = Callable[[str, float], None]


class ConceptTable:
    """The measurement of one model on one set of texts."""

    def __init__(
        self,
        model: MFNModel,
        texts: Sequence[LabelledTokens],
        concepts: Mapping[str, Unit],
        journal: Journal,
        progress: Progress = lambda what, share: None,
    ) -> None:
        """What is done already is taken from the journal.

        Args:
            model: with layers.
            texts: of both halves.
            concepts: by name, in the order of the labels' columns, in what each is counted.
            journal: made with `settings` of the same.
            progress: told what is being done, and which share of it is.
        """
        self._model, self._texts, self._concepts = model, texts, concepts
        self._journal, self._progress = journal, progress

    def detectors(self) -> list[Detector]:
        """The feature that detects each concept best."""
        what = f"looking for {len(self._concepts)} concepts in {sum(len(text.ids) for text in self._texts):,} tokens"

        def look() -> list[dict[str, Any]]:
            self._progress(what, 0.0)
            tell = self._share(what)
            return [d.to_json() for d in find_detectors(self._model, self._texts, self._concepts, progress=tell)]

        return [Detector.from_json(row) for row in self._journal.once("detectors", look)]

    def effects(self, detectors: Sequence[Detector]) -> dict[str, AblationEffect]:
        """What ablating each that is found costs, by concept; on the half of the texts on which nothing was chosen."""
        columns = {name: number for number, name in enumerate(self._concepts)}
        found = [d for d in detectors if d.found]
        waiting = [d for d in found if _key(d) not in self._journal]
        if waiting:
            what = "reading the texts without ablation"
            self._progress(what, 0.0)
            places = [(d.layer, d.feature) for d in detectors]
            scored = [text for text in self._texts if text.scored]
            ablations = Ablations(self._model, scored, places, progress=self._share(what))
            # by layer, since the stream before one layer is kept at a time
            for done, d in enumerate(sorted(waiting, key=lambda d: (d.layer, d.concept))):
                self._progress(f"ablating {d.concept}, {done + 1} of {len(waiting)}", done / len(waiting))
                effect = ablations.effect(d.layer, d.feature, columns[d.concept])
                self._journal.once(_key(d), effect.to_json)
        return {d.concept: AblationEffect.from_json(self._journal[_key(d)]) for d in found}

    def _share(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self._progress(what, done / total)


def settings(model: MFNModel, texts: Sequence[LabelledTokens], concepts: Mapping[str, Unit]) -> dict[str, Any]:
    """What the measurement depends on, for its journal. Texts and labels, as the model reads them, by a digest."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(f"{len(text.ids)} {text.scored} ".encode())
        digest.update(text.ids.tobytes() + text.labels.tobytes())
    return {
        "journal": JOURNAL_VERSION,
        "model": model.fingerprint,
        "concepts": dict(concepts),
        "texts": digest.hexdigest(),
        "measure": [LEVELS, FOUND_RECALL, MOST_TEXTS, FEWEST_TEXTS],
    }


def _key(detector: Detector) -> str:
    return f"ablated/{detector.concept}"
