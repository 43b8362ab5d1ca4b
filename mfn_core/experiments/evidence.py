"""The predictions tested on one model: what is computed, and what is kept on the way.

Pieces of the work go into a journal as they are done, so that it can be interrupted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache, partial
from typing import Any

import numpy as np

from mfn_core.evaluation.aligning import align
from mfn_core.evaluation.journal import Journal
from mfn_core.evaluation.layer_firing import layer_firing
from mfn_core.evaluation.predictions import p1, p2, p3, p5
from mfn_core.evaluation.representations import Representation, Sample, draw, represent
from mfn_core.evaluation.splicing import spliced
from mfn_core.evaluation.text_costs import costs_of
from mfn_core.evaluation.verdicts import Verdict
from mfn_core.experiments.material import OURS, SAE, Material, Progress, share
from mfn_core.experiments.predictability import interventions
from mfn_core.experiments.stand_ins import CONTROL, random_control
from mfn_core.model import MFNModel

STREAM, DENSE = "stream", "dense stream"
HOME = "held-out text"
SAES, RANDOM = "SAEs on the seeds' twins", "random codes"
FEWEST_TOKENS = 100  # to compare codes on


def verdicts(
    material: Material, journal: Journal, seed: int = 0, progress: Progress = lambda what, share: None
) -> list[Verdict]:
    """Tests all five; what lacks its material says so in its verdict.

    Args:
        material: what is read.
        journal: made with `material.settings(seed)`; what is done already is taken from it.
        seed: of random codes, samples, probes and intervals.
        progress: told what is being done, and which share of it is.
    """
    return [
        rates_and_overlap(material, journal, seed, progress),
        probes(material, journal, seed, progress),
        alignment(material, journal, seed, progress),
        interventions(material, journal, seed, progress),
        transfer(material, journal, progress),
    ]


def rates_and_overlap(material: Material, journal: Journal, seed: int, progress: Progress) -> Verdict:
    """P1, on held-out text."""

    def count() -> dict[str, Any]:
        tell = share(progress, "P1: counting what fires")
        found = layer_firing(material.model, material.rows, seed=seed, progress=tell)
        verdict = p1.verdict(*found, seed=seed)
        if material.control:
            tell = share(progress, "P1: counting what fires in a random Transformer")
            rows, _ = layer_firing(random_control(material.model, seed), material.rows, seed=seed, progress=tell)
            verdict.tables["layers"][CONTROL] = {str(number): p1.row(layer) for number, layer in rows.items()}
        return verdict.to_json()

    return Verdict.from_json(journal.once("p1", count))


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
    if material.control:
        sources = CONTROL, f"stream of {CONTROL}"
        random = random_control(material.model, seed)
        scores += _scores(material, random, sources, samples, usable, journal, seed, progress)
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
        tell = share(progress, f"P2: reading {len(material.labelled):,} labelled texts, {sources[0]}")
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


def alignment(material: Material, journal: Journal, seed: int, progress: Progress) -> Verdict:
    """P3, on held-out text."""
    if not material.seeds:
        return p3.not_measured("no model of another seed was given")
    if sum(len(row) - 1 for row in material.rows) < FEWEST_TOKENS:
        return p3.not_measured(f"the text has fewer than {FEWEST_TOKENS} tokens")
    found: dict[str, list[p3.Aligned]] = {OURS: [], SAES: [], RANDOM: []}

    def read(models: Sequence[MFNModel], one: int, other: int, name: str) -> tuple[list[p3.Aligned], list[p3.Aligned]]:
        pair, stands = f"{one}–{other}", (seed + one, seed + other) if name == OURS else None

        def compute() -> list[list[dict[str, Any]]]:
            tell = share(progress, f"P3: reading seeds {pair}, {name}")
            both = models[one], models[other]
            rows = align(both, pair, material.rows, stands, seed=seed, progress=tell)
            return [[row.to_json() for row in part] for part in rows]

        codes, random = (
            [p3.Aligned.from_json(row) for row in part] for part in journal.once(f"p3/{name}/{pair}", compute)
        )
        return codes, random

    ours = (material.model, *material.seeds)
    for one, other in itertools.combinations(range(len(ours)), 2):
        codes, random = read(ours, one, other, OURS)
        found[OURS] += codes
        found[RANDOM] += random
        if material.sae is not None and material.seed_saes:
            found[SAES] += read((material.sae, *material.seed_saes), one, other, SAES)[0]
    beside: dict[str, list[p3.Aligned]] = {}
    if material.control:
        controls = [random_control(material.model, seed + number) for number in range(len(ours))]
        for one, other in itertools.combinations(range(len(ours)), 2):
            beside.setdefault(CONTROL, []).extend(read(controls, one, other, CONTROL)[0])
    mine = found.pop(OURS)
    return p3.verdict(mine, found, len(ours), beside)


def transfer(material: Material, journal: Journal, progress: Progress) -> Verdict:
    """P5, on text of other domains."""
    if material.twin is None:
        return p5.not_measured("no dense twin was given")
    if not material.domains:
        return p5.not_measured("no text of another domain was given")
    domains, home = material.domains, {HOME: material.home}

    def of(model: MFNModel, name: str, who: str, replaced: bool = False) -> list[list[float]]:
        def compute() -> list[list[float]]:
            tell = share(progress, f"P5: reading {name}, {who}")
            with spliced(model) if replaced else nullcontext():
                sums, tokens = costs_of(model, texts[name], progress=tell)
            return [sums.tolist(), tokens.tolist()]

        found: list[list[float]] = journal.once(f"p5/{who}/{name}", compute)
        return found

    texts = {**domains, **home}
    twin = {name: of(material.twin, name, "dense twin")[0] for name in texts}

    def costs(names: Iterable[str], model: MFNModel, who: str, replaced: bool = False) -> dict[str, p5.Costs]:
        rows = {name: of(model, name, who, replaced) for name in names}
        return {
            name: p5.Costs(np.array(sums), np.array(twin[name]), np.array(tokens, dtype=np.int64))
            for name, (sums, tokens) in rows.items()
        }

    tuned = costs(texts, material.tuned_sae, "fine-tuned SAE", True) if material.tuned_sae is not None else None
    bare = costs(texts, material.sae, "spliced SAE", True) if material.sae is not None else None
    return p5.verdict(costs(domains, material.model, OURS), costs(home, material.model, OURS), tuned, bare)
