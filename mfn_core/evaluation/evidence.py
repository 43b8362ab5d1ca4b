"""The predictions tested on one model: what is read, what is computed, what is kept on the way.

Pieces of the work go into a journal as they are done, so that it can be interrupted.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.errors import ConfigError
from mfn_core.evaluation.journal import Journal
from mfn_core.evaluation.labelled import LabelledTokens
from mfn_core.evaluation.layer_firing import layer_firing
from mfn_core.evaluation.predictions import p1, p2, p5
from mfn_core.evaluation.representations import Representation, Sample, draw, represent
from mfn_core.evaluation.text_costs import costs_of
from mfn_core.evaluation.verdicts import Verdict
from mfn_core.model import MFNModel

VERSION = 1  # of what is computed and kept: a journal of another version begins anew
OURS, SAE, STREAM, DENSE = "MFN", "SAE", "stream", "dense stream"

Progress = Callable[[str, float | None], None]
Texts = Sequence[Sequence[NDArray[np.int64]]]  # of each text its windows


@dataclass(frozen=True)
class Material:
    """What predictions are tested on.

    Attributes:
        model: with MFNs.
        twin: its dense twin; None where there is none.
        sae: the dense twin with post-hoc SAEs at the same places; None where there is none.
        home: texts of the kind that the model was trained on, held out.
        domains: texts of domains that it was not trained on, by name.
        labelled: texts whose labels probes are fitted to.
        concepts: by name, in the order of the labels' columns, whether whole texts are their units.
    """

    model: MFNModel
    home: Texts
    twin: MFNModel | None = None
    sae: MFNModel | None = None
    domains: Mapping[str, Texts] = field(default_factory=dict)
    labelled: Sequence[LabelledTokens] = ()
    concepts: Mapping[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, other in (("twin", self.twin), ("SAEs", self.sae)):
            if other is not None and other.vocab_size != self.model.vocab_size:
                raise ConfigError(
                    f"the {name} have a vocabulary of {other.vocab_size} tokens, the model one of "
                    f"{self.model.vocab_size}: they are compared on the same tokens"
                )

    def settings(self, seed: int) -> dict[str, Any]:
        """What the results depend on, as plain data, for a journal and a report; texts by a digest."""
        digest = hashlib.blake2b(digest_size=16)
        for name, texts in (("", self.home), *self.domains.items()):
            digest.update(f"{name} {len(texts)} ".encode())
            for ids in itertools.chain.from_iterable(texts):
                digest.update(ids.tobytes())
        for text in self.labelled:
            digest.update(f"{text.scored} ".encode() + text.ids.tobytes() + text.labels.tobytes())
        return {
            "evidence": VERSION,
            "model": self.model.fingerprint,
            "twin": None if self.twin is None else self.twin.fingerprint,
            "sae": None if self.sae is None else self.sae.fingerprint,
            "texts": digest.hexdigest(),
            "domains": sorted(self.domains),
            "concepts": dict(self.concepts),
            "seed": seed,
        }


def verdicts(
    material: Material, journal: Journal, seed: int = 0, progress: Progress = lambda what, share: None
) -> list[Verdict]:
    """Tests P1, P2 and P5; what lacks its material says so in its verdict.

    Args:
        material: what is read.
        journal: made with `material.settings(seed)`; what is done already is taken from it.
        seed: of random codes, samples, probes and intervals.
        progress: told what is being done, and which share of it is.
    """
    return [
        rates_and_overlap(material, seed, progress),
        probes(material, journal, seed, progress),
        transfer(material, journal, progress),
    ]


def rates_and_overlap(material: Material, seed: int, progress: Progress) -> Verdict:
    """P1, on held-out text."""
    rows = list(itertools.chain.from_iterable(material.home))
    found = layer_firing(material.model, rows, seed=seed, progress=_share(progress, "P1: counting what fires"))
    return p1.verdict(*found, seed=seed)


def probes(material: Material, journal: Journal, seed: int, progress: Progress) -> Verdict:
    """P2, on labelled text."""
    names, of_texts = list(material.concepts), list(material.concepts.values())
    samples = draw(material.labelled, of_texts, seed=seed) if names else {}
    usable = [c for c, name in enumerate(names) if p2.usable(samples[of_texts[c]], c)]
    if not usable:
        return p2.not_measured("no concept has enough instances in either half of the labelled text")
    scores = _scores(material, material.model, (OURS, STREAM), samples, usable, journal, seed, progress)
    if material.sae is not None:
        scores += _scores(material, material.sae, (SAE, DENSE), samples, usable, journal, seed, progress)
    return p2.verdict(scores, OURS, SAE, STREAM)


def _scores(
    material: Material,
    model: MFNModel,
    sources: tuple[str, str],
    samples: Mapping[bool, Sample],
    columns: Sequence[int],
    journal: Journal,
    seed: int,
    progress: Progress,
) -> list[p2.ConceptScore]:
    """Of all concepts on a model's codes and on its streams, by these names. The texts are read once for both, and only
    where something is not in the journal."""
    names, of_texts = list(material.concepts), list(material.concepts.values())

    @cache
    def layers() -> dict[int, dict[bool, Representation]]:
        tell = _share(progress, f"P2: reading {len(material.labelled):,} labelled texts, {sources[0]}")
        held = represent(model, material.labelled, samples, progress=tell)
        return {n: {whole: held[whole][n] for whole in held} for n in model.coders}

    def score(column: int, source: str) -> dict[str, Any]:
        whole = of_texts[column]
        read = p2.Source(source, layers(), stream=source == sources[1])
        return p2.score_concept(names[column], column, whole, samples[whole], read, seed).to_json()

    scores = []
    for source, (done, column) in itertools.product(sources, enumerate(columns)):
        progress(f"P2: probes on {source}, {names[column]}", done / len(columns))
        row = journal.once(f"p2/{source}/{names[column]}", partial(score, column, source))
        scores.append(p2.ConceptScore.from_json(row))
    return scores


def transfer(material: Material, journal: Journal, progress: Progress) -> Verdict:
    """P5, on text of other domains."""
    if material.twin is None:
        return p5.not_measured("no dense twin was given")
    if not material.domains:
        return p5.not_measured("no text of another domain was given")
    twin = material.twin

    def costs(name: str, texts: Texts) -> p5.Costs:
        def compute() -> dict[str, list[float]]:
            ours, tokens = costs_of(material.model, texts, progress=_share(progress, f"P5: reading {name}"))
            theirs, _ = costs_of(twin, texts, progress=_share(progress, f"P5: reading {name}, dense twin"))
            return {"ours": ours.tolist(), "twin": theirs.tolist(), "tokens": tokens.tolist()}

        row = journal.once(f"p5/{name}", compute)
        return p5.Costs(np.array(row["ours"]), np.array(row["twin"]), np.array(row["tokens"], dtype=np.int64))

    found = {name: costs(name, texts) for name, texts in material.domains.items()}
    return p5.verdict(found, {"held-out text": costs("", material.home)}, None)


def _share(progress: Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done / max(1, total))
