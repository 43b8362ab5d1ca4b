"""How many features see beyond their token and can be named: token R², labels and a quiz's scores taken together."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.errors import ConfigError
from mfn_core.indexing.token_r2 import CONTEXT_R2, MIN_FIRINGS
from mfn_core.intervals import Share
from mfn_server.atlas.file import Atlas, read_atlas
from scripts.atlas.files import write_json
from scripts.atlas.index import Index, Place, indexed
from scripts.atlas.scoring import GOOD, read_scores

RESAMPLES = 4_000


@dataclass(frozen=True)
class Layer:
    """What is known of the features of one layer, or of several.

    Attributes:
        live: how many fire in the index.
        counted: how many of them fire often enough there for token R² to be known.
        context: how many of those have one under 0.3: they fire by context.
        named: of features that fire by context and were read, how many have a label.
        detected: of labelled ones that fire by context and were asked about, how many reach 0.7.
        estimate: of the live features, the share that fires by context, is nameable and is told by its name.
        resampled: [RESAMPLES], the same for readers and quizzes drawn anew from these.
    """

    live: int
    counted: int
    context: int
    named: Share
    detected: Share
    estimate: float
    resampled: NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        """Plain data; the interval holds the middle 95 % of what was drawn anew."""
        interval = [float(end) for end in np.quantile(self.resampled, (0.025, 0.975))]
        return {
            "live": self.live,
            "counted": self.counted,
            "context": self.context,
            "named": self.named.to_json(),
            "detected": self.detected.to_json(),
            "share": {"value": self.estimate, "interval": interval},
        }


def beyond(given: argparse.Namespace) -> None:
    """`beyond`."""
    key, scores = read_scores(given.key, given.answers)
    atlas = read_atlas(given.atlas)
    with indexed(given.model, given.db) as index:
        for where, fingerprint in ((given.key, key.model), (given.atlas, atlas.header.model)):
            if fingerprint != index.facts.fingerprint:
                raise ConfigError(f"{where} is of another model than {given.model}")
        layers = _layers(index, atlas, scores)
    upper = list(layers)[len(layers) // 2 :]
    groups = {f"layer {number}": layer for number, layer in layers.items()}
    groups["upper half"] = together([layers[number] for number in upper])
    for name, layer in groups.items():
        print(_line(name, layer.to_json()))
    if given.json is not None:
        report = {
            "kind": "beyond",
            "model": key.model,
            "corpus": key.corpus,
            "strong": key.strong,
            "layers": {str(number): layer.to_json() for number, layer in layers.items()},
            "upper": {"layers": upper, **groups["upper half"].to_json()},
        }
        write_json(given.json, report)


def _layers(index: Index, atlas: Atlas, scores: Mapping[Place, Fraction]) -> dict[int, Layer]:
    live, known = index.firing(1), index.token_r2()
    context = {place for place, r2 in known.items() if r2 < CONTEXT_R2}
    read = {(entry.layer, entry.feature): not entry.unclear for entry in atlas.entries.values()}
    generator = np.random.default_rng(0)
    return {
        number: estimate(
            _of(live, number),
            _of(known, number),
            _of(context, number),
            [named for place, named in read.items() if place[0] == number and place in context],
            [value >= GOOD for place, value in scores.items() if place[0] == number and place in context],
            generator,
        )
        for number in sorted({source.layer for source in index.facts.sources})
    }


def _of(places: Collection[Place], number: int) -> int:
    return sum(layer == number for layer, _ in places)


def estimate(
    live: int,
    counted: int,
    context: int,
    named: Sequence[bool],
    detected: Sequence[bool],
    generator: np.random.Generator,
) -> Layer:
    """A layer's share, by features that were drawn: those that fire by context, times named, times detected.

    Args:
        live, counted, context: see `Layer`.
        named: of features that fire by context and were read, whether each has a label.
        detected: of labelled ones among them that were asked about, whether each is told by its label.
        generator: draws readers and quizzes anew. A part of which none was drawn counts as 0.
    """
    among = context / live if live else 0.0
    labelled, told = (Share(sum(part), len(part)) for part in (named, detected))
    drawn = [_drawn(part, generator) for part in (named, detected)]
    value = among * labelled.value * told.value
    return Layer(live, counted, context, labelled, told, value, among * drawn[0] * drawn[1])


def _drawn(part: Sequence[bool], generator: np.random.Generator) -> NDArray[np.float64]:
    """Shares of as many, drawn from these with replacement."""
    if not part:
        return np.zeros(RESAMPLES)
    means: NDArray[np.float64] = generator.choice(np.array(part, dtype=np.float64), (RESAMPLES, len(part))).mean(axis=1)
    return means


def together(layers: Sequence[Layer]) -> Layer:
    """Several layers as one, each weighing with its live features."""
    live = sum(layer.live for layer in layers)
    weights = [layer.live / live if live else 0.0 for layer in layers]
    value, resampled = 0.0, np.zeros(RESAMPLES)
    for weight, layer in zip(weights, layers, strict=True):
        value, resampled = value + weight * layer.estimate, resampled + weight * layer.resampled
    counted, context = (sum(getattr(layer, name) for layer in layers) for name in ("counted", "context"))
    named, detected = (
        Share(sum(getattr(layer, name).part for layer in layers), sum(getattr(layer, name).whole for layer in layers))
        for name in ("named", "detected")
    )
    return Layer(live, counted, context, named, detected, value, resampled)


def _line(name: str, layer: Mapping[str, Any]) -> str:
    low, high = layer["share"]["interval"]
    named, detected = layer["named"], layer["detected"]
    return (
        f"{name:11}{layer['live']:6} live, {layer['counted']} fire {MIN_FIRINGS} times in each half, "
        f"{layer['context']} of these with token R² < {CONTEXT_R2}; named {named['part']} of {named['whole']}, "
        f"told {detected['part']} of {detected['whole']}: {layer['share']['value']:.1%} of the live "
        f"(95 %: {low:.1%} to {high:.1%})"
    )
