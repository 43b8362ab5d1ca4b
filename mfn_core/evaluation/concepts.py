"""Which features stand for a concept: chosen on one half of labelled text, scored on the other.

A feature, with a threshold on its strength, is a detector. Its precision is the share of what it fires on that is an
instance of the concept; its recall the share of instances on which it fires. What is counted is tokens (`token`), or
whole texts, by a feature's greatest strength in each (`text`): a topic is not in every word of a passage.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mfn_core.evaluation.labelled import LabelledTokens, padded
from mfn_core.model import MFNModel

Unit = Literal["token", "text"]
LEVELS = 10  # thresholds that are tried: 0, 0.1, … of a feature's greatest strength
FOUND_PRECISION, FOUND_RECALL = 0.9, 0.3


class Share(NamedTuple):
    """So many of so many."""

    part: int
    whole: int

    @property
    def value(self) -> float:
        """Part / whole; 0 of nothing."""
        return self.part / self.whole if self.whole else 0.0

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Wilson's score interval, 95 % by default. Source: E. B. Wilson, JASA 22 (1927)."""
        if not self.whole:
            return 0.0, 1.0
        n, p = self.whole, self.value
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Detector:
    """The feature that detects a concept best, and how well it does on text on which it was not chosen.

    Attributes:
        concept, unit: what is detected, and in what it is counted.
        layer, feature, threshold: fires where its strength is greater than 0 and at least the threshold.
        precision, recall: on the scored half.
        base: share of instances among the units of that half of which it is known: the precision of firing anywhere.
    """

    concept: str
    unit: Unit
    layer: int
    feature: int
    threshold: float
    precision: Share
    recall: Share
    base: Share

    @property
    def found(self) -> bool:
        """Whether precision is at least 0.9 at a recall of at least 0.3."""
        return self.precision.value >= FOUND_PRECISION and self.recall.value >= FOUND_RECALL


@dataclass
class Counts:
    """How often the features of one layer fire, and on what.

    Attributes:
        fired: [levels, F, C], units in which a feature reaches a threshold, of those of which a concept is known.
        hits: [levels, F, C], instances among them.
    """

    fired: Tensor
    hits: Tensor


class Firings(NamedTuple):
    """Units of one batch in which features of one layer fire. Lengths: N units, M entries.

    Attributes:
        units: int64 [M], which unit an entry is of.
        features: int64 [M].
        values: [M], > 0.
        labels: int8 [N, C]: 1 where a unit is an instance, 0 where not, −1 where that is unknown.
    """

    units: Tensor
    features: Tensor
    values: Tensor
    labels: Tensor


def find_detectors(
    model: MFNModel, texts: Sequence[LabelledTokens], concepts: Mapping[str, Unit], batch: int = 16
) -> list[Detector]:
    """The best detector of each concept, over all layers.

    Chosen is the feature and threshold with the greatest lower end of precision's interval among those whose recall
    reaches 0.3; where none does, the one with the greatest F₁.

    Args:
        model: with layers.
        texts: of both halves; column c of their labels is concept c.
        concepts: by name, in the order of the columns, in what each is counted.
        batch: texts in a forward pass.

    Returns:
        One for each concept that has instances in the half in which is chosen.
    """
    chosen = [text for text in texts if not text.scored]
    scored = [text for text in texts if text.scored]
    top = _greatest(model, chosen, batch)
    best: dict[str, tuple[int, int, int]] = {}
    for unit in dict.fromkeys(concepts.values()):
        counts, instances, _ = _count(model, chosen, unit, top, batch)
        for column, (concept, own) in enumerate(concepts.items()):
            if own == unit and instances[column] > 0:
                best[concept] = _best(counts, column, float(instances[column]))
    return [
        d for unit in dict.fromkeys(concepts.values()) for d in _score(model, scored, unit, concepts, best, top, batch)
    ]


def _score(
    model: MFNModel,
    texts: Sequence[LabelledTokens],
    unit: Unit,
    concepts: Mapping[str, Unit],
    best: Mapping[str, tuple[int, int, int]],
    top: Mapping[int, Tensor],
    batch: int,
) -> Iterator[Detector]:
    counts, instances, known = _count(model, texts, unit, top, batch)
    for column, (concept, own) in enumerate(concepts.items()):
        if own != unit or concept not in best:
            continue
        layer, level, feature = best[concept]
        hits = int(counts[layer].hits[level, feature, column])
        positive = int(instances[column])
        yield Detector(
            concept,
            unit,
            layer,
            feature,
            float(top[layer][feature]) * level / LEVELS,
            Share(hits, int(counts[layer].fired[level, feature, column])),
            Share(hits, positive),
            Share(positive, int(known[column])),
        )


def _best(counts: Mapping[int, Counts], column: int, instances: float) -> tuple[int, int, int]:
    """Layer, level and feature."""
    ranked = []
    for layer, found in counts.items():
        hits, fired = found.hits[..., column].double(), found.fired[..., column].double()
        recall = hits / instances
        precise = _lower(hits, fired)
        f1 = 2 * hits / (fired + instances)
        score = torch.where(recall >= FOUND_RECALL, 1.0 + precise, f1)
        place = int(score.argmax())
        level, feature = divmod(place, score.shape[1])
        ranked.append((float(score.flatten()[place]), layer, level, feature))
    _, layer, level, feature = max(ranked)
    return layer, level, feature


def _lower(hits: Tensor, fired: Tensor, z: float = 1.96) -> Tensor:
    """The lower end of `Share.interval`, for many at once; 0 where nothing fired."""
    n = fired.clamp(min=1.0)
    p = hits / n
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)).sqrt()
    return torch.where(fired > 0, (p + z * z / (2 * n) - half) / (1 + z * z / n), 0.0)


def _greatest(model: MFNModel, texts: Sequence[LabelledTokens], batch: int) -> dict[int, Tensor]:
    """By layer, [F]: each feature's greatest strength."""
    top = {n: torch.zeros(layer.n_features, device=model.device) for n, layer in model.coders.items()}
    for firings in _firings(model, texts, "token", batch):
        for number, found in firings.items():
            top[number].scatter_reduce_(0, found.features, found.values, "amax")
    return top


def _count(
    model: MFNModel, texts: Sequence[LabelledTokens], unit: Unit, top: Mapping[int, Tensor], batch: int
) -> tuple[dict[int, Counts], Tensor, Tensor]:
    """Counts by layer, instances of each concept [C], and units of which it is known [C]."""
    n_concepts = texts[0].labels.shape[1] if texts else 0
    counts = {
        n: Counts(*(torch.zeros(LEVELS * t.numel(), n_concepts, device=t.device) for _ in range(2)))
        for n, t in top.items()
    }
    instances, known = (torch.zeros(n_concepts, device=model.device) for _ in range(2))
    for firings in _firings(model, texts, unit, batch):
        for number, found in firings.items():
            greatest = top[number]
            level = (found.values / greatest[found.features].clamp(min=1e-12) * LEVELS).long().clamp(max=LEVELS - 1)
            place = level * greatest.numel() + found.features
            labels = found.labels[found.units]
            counts[number].fired.index_add_(0, place, (labels >= 0).float())
            counts[number].hits.index_add_(0, place, (labels == 1).float())
        labels = next(iter(firings.values())).labels
        instances += (labels == 1).sum(0)
        known += (labels >= 0).sum(0)
    for found_counts in counts.values():
        for name in ("fired", "hits"):
            at_level = getattr(found_counts, name).reshape(LEVELS, -1, n_concepts)
            setattr(found_counts, name, at_level.flip(0).cumsum(0).flip(0))  # at a threshold: of all levels above, too
    return counts, instances, known


@torch.no_grad()
def _firings(model: MFNModel, texts: Sequence[LabelledTokens], unit: Unit, batch: int) -> Iterator[dict[int, Firings]]:
    """What fires, by layer, batch by batch. The first token of a text, and padding, are no units."""
    for ids, keep, labels in padded(texts, batch, model.device):
        traces = model(ids, record=True, logits_to_keep=1).traces
        yield {n: _of_layer(t.codes.indices, t.codes.values, keep, labels, unit) for n, t in traces.items()}


def _of_layer(indices: Tensor, values: Tensor, keep: Tensor, labels: Tensor, unit: Unit) -> Firings:
    fires = (values > 0) & keep[..., None]
    row, position, entry = fires.nonzero(as_tuple=True)
    features, strengths = indices[row, position, entry], values[row, position, entry].float()
    if unit == "token":
        number = keep.flatten().long().cumsum(0) - 1  # of the token among those that count
        return Firings(number[row * keep.shape[1] + position], features, strengths, labels[keep])
    pairs, which = torch.unique(torch.stack([row, features]), dim=1, return_inverse=True)
    greatest = strengths.new_zeros(pairs.shape[1]).scatter_reduce_(0, which, strengths, "amax")
    of_text = torch.where(keep[..., None], labels, -1).amax(1)
    return Firings(pairs[0], pairs[1], greatest, of_text)
