"""Which features stand for a concept: chosen on one half of labelled text, scored on the other.

A feature, with a threshold on its strength, is a detector. Its precision is the share of what it fires on that is an
instance of the concept; its recall the share of instances on which it fires. What is counted is tokens (`token`), or
whole texts, by a feature's mean strength over the tokens of each (`text`): a topic is not in every word of a passage,
and one stray word does not make it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.codes import SparseCodes
from mfn_core.evaluation.labelled import LabelledTokens, Padded, padded
from mfn_core.intervals import Share, wilson
from mfn_core.model import MFNModel

Unit = Literal["token", "text"]
BY_TEXT = frozenset({"topic", "discourse"})  # kinds of which not every word of a text is an instance
LEVELS = 10  # thresholds that are tried: 0, 0.1, … of a feature's greatest strength in the half in which is chosen
FOUND_PRECISION, FOUND_RECALL = 0.9, 0.3
SHARES = ("precision", "recall", "base")  # of a detector

CODE_BYTES = 1 << 30  # of what fires in the half in which is chosen, kept between its two readings

Progress = Callable[[int, int], None]
Codes = dict[int, SparseCodes]  # by layer


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

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        shares = {name: getattr(self, name).to_json() for name in SHARES}
        named = {name: getattr(self, name) for name in ("concept", "unit", "layer", "feature", "threshold")}
        return {**named, **shares, "found": self.found}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Detector:
        """What `to_json` gave."""
        fields = {name: data[name] for name in ("concept", "unit", "layer", "feature", "threshold")}
        fields |= {name: Share.from_json(data[name]) for name in SHARES}
        return cls(**fields)


@dataclass
class Counts:
    """How often the features of one layer fire, and on what.

    Attributes:
        fired: [levels, F, C], units in which a feature reaches a threshold, of those of which a concept is known.
        hits: [levels, F, C], instances among them.
    """

    fired: Tensor
    hits: Tensor


class Tally(NamedTuple):
    """What was counted in one unit, of the C concepts that are counted in it.

    Attributes:
        layers: by number.
        instances: [C], units that are instances.
        known: [C], units of which that is known.
    """

    layers: dict[int, Counts]
    instances: Tensor
    known: Tensor


class Firings(NamedTuple):
    """Units of one batch in which features of one layer fire: M entries.

    Attributes:
        units: int64 [M], which unit an entry is of.
        features: int64 [M].
        values: [M], > 0; of a text, the mean over its tokens.
    """

    units: Tensor
    features: Tensor
    values: Tensor


def find_detectors(
    model: MFNModel,
    texts: Sequence[LabelledTokens],
    concepts: Mapping[str, Unit],
    batch: int = 16,
    progress: Progress = lambda done, total: None,
) -> list[Detector]:
    """The best detector of each concept, over all layers.

    Chosen is the feature and threshold with the greatest lower end of precision's interval among those whose recall
    reaches 0.3; where none does, the one with the greatest F₁.

    Args:
        model: with layers.
        texts: of both halves; column c of their labels is concept c.
        concepts: by name, in the order of the columns, in what each is counted.
        batch: texts in a forward pass.
        progress: told how many texts have been read, and of how many; the half on which is chosen is read twice.

    Returns:
        One for each concept that has instances in the half in which is chosen.
    """
    names = list(concepts)
    columns = {
        unit: [c for c, name in enumerate(names) if concepts[name] == unit] for unit in dict.fromkeys(concepts.values())
    }
    halves: dict[bool, list[LabelledTokens]] = {False: [], True: []}
    for text in texts:
        halves[text.scored].append(text)
    passes = Passes(model, batch, progress, total=2 * len(halves[False]) + len(halves[True]))
    top = _greatest(passes, halves[False], list(columns))
    chosen, scored = (_count(passes, halves[half], columns, top, again=not half) for half in (False, True))
    return [
        _detector(names[column], unit, place, chosen[unit], scored[unit], top[unit])
        for unit, own in columns.items()
        for place, column in enumerate(own)
        if chosen[unit].instances[place] > 0
    ]


def _detector(
    concept: str, unit: Unit, place: int, chosen: Tally, scored: Tally, top: Mapping[int, Tensor]
) -> Detector:
    layer, level, feature = _best(chosen.layers, place, float(chosen.instances[place]))
    found = scored.layers[layer]
    hits = int(found.hits[level, feature, place])
    instances = int(scored.instances[place])
    return Detector(
        concept,
        unit,
        layer,
        feature,
        float(top[layer][feature]) * level / LEVELS,
        Share(hits, int(found.fired[level, feature, place])),
        Share(hits, instances),
        Share(instances, int(scored.known[place])),
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


def _lower(hits: Tensor, fired: Tensor) -> Tensor:
    """The lower end of `Share.interval`, for many at once; 0 where nothing fired."""
    n = fired.clamp(min=1.0)
    return torch.where(fired > 0, wilson(hits / n, n)[0], 0.0)


class Passes:
    """Recorded forward passes over texts, counted over all that is to be read.

    Args:
        model: with layers.
        batch: texts in a pass.
        progress: told how many texts have been read.
        total: of how many.
    """

    def __init__(self, model: MFNModel, batch: int, progress: Progress, total: int) -> None:
        self.model = model
        self._batch, self._progress, self._total = batch, progress, total
        self._done = self._bytes = 0
        self._kept: dict[int, dict[int, SparseCodes]] = {}

    def over(self, texts: Sequence[LabelledTokens], again: bool = False) -> Iterator[tuple[Padded, Codes]]:
        """Batches, and what fires in them, by layer.

        Args:
            texts: in either half.
            again: they are read twice, so that what fires is kept as long as there is room, and taken from there.
        """
        for number, part in enumerate(padded(texts, self._batch, self.model.device)):
            layers = self._kept.get(number) if again else None
            if layers is None:
                traces = self.model(part.ids, record="codes", logits_to_keep=1).traces
                layers = {layer: trace.codes for layer, trace in traces.items()}
                if again:
                    self._keep(number, layers)
            yield part, layers
            self._done += len(part.ids)
            self._progress(self._done, self._total)

    def _keep(self, number: int, layers: Codes) -> None:
        size = sum(codes.indices.nbytes + codes.values.nbytes for codes in layers.values())
        if self._bytes + size <= CODE_BYTES:
            self._kept[number] = layers
            self._bytes += size


@torch.no_grad()
def _greatest(passes: Passes, texts: Sequence[LabelledTokens], units: Sequence[Unit]) -> dict[Unit, dict[int, Tensor]]:
    """In each unit, by layer, [F]: each feature's greatest strength."""
    model = passes.model
    top: dict[Unit, dict[int, Tensor]] = {
        unit: {n: torch.zeros(layer.n_features, device=model.device) for n, layer in model.coders.items()}
        for unit in units
    }
    for part, layers in passes.over(texts, again=True):
        for number, codes in layers.items():
            for unit in units:
                found = _firings(codes, part, unit)
                top[unit][number].scatter_reduce_(0, found.features, found.values, "amax")
    return top


@torch.no_grad()
def _count(
    passes: Passes,
    texts: Sequence[LabelledTokens],
    columns: Mapping[Unit, Sequence[int]],
    top: Mapping[Unit, Mapping[int, Tensor]],
    again: bool,
) -> dict[Unit, Tally]:
    """What is counted in each unit, of the concepts in these columns of the labels. One forward pass for all."""

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, device=passes.model.device)

    tallies = {
        unit: Tally(
            {n: Counts(*(zeros(LEVELS * t.numel(), len(own)) for _ in range(2))) for n, t in top[unit].items()},
            zeros(len(own)),
            zeros(len(own)),
        )
        for unit, own in columns.items()
    }
    for part, layers in passes.over(texts, again):
        for unit, tally in tallies.items():
            labels = _labels(part, unit, columns[unit])
            tally.instances.add_((labels == 1).sum(0))
            tally.known.add_((labels >= 0).sum(0))
            told = torch.cat([labels >= 0, labels == 1], dim=1).float()
            for number, codes in layers.items():
                _add(tally.layers[number], _firings(codes, part, unit), told, top[unit][number])
    for tally in tallies.values():
        for found in tally.layers.values():
            found.fired, found.hits = (_from_above(each) for each in (found.fired, found.hits))
    return tallies


def _add(counts: Counts, found: Firings, told: Tensor, greatest: Tensor) -> None:
    """`told`: [N, 2 C], 1 where a concept is known of a unit, then 1 where it is an instance."""
    if len(found.units) == 0:
        return
    level = (found.values / greatest[found.features].clamp(min=1e-12) * LEVELS).long().clamp(max=LEVELS - 1)
    place, order = (level * greatest.numel() + found.features).sort()
    places, sizes = torch.unique_consecutive(place, return_counts=True)
    # summed over the entries of each place, without a row of concepts for each entry
    sums = F.embedding_bag(found.units[order], told, sizes.cumsum(0) - sizes, mode="sum")
    fired, hits = sums.chunk(2, dim=1)
    counts.fired.index_add_(0, places, fired)
    counts.hits.index_add_(0, places, hits)


def _from_above(at_level: Tensor) -> Tensor:
    """[levels · F, C] at each level → [levels, F, C] at each threshold, where all levels above count, too."""
    return at_level.reshape(LEVELS, -1, at_level.shape[1]).flip(0).cumsum(0).flip(0)


def _labels(part: Padded, unit: Unit, columns: Sequence[int]) -> Tensor:
    """int8 [N, C]: what is known of each unit. The first token of a text, and padding, are none."""
    labels = part.labels[..., list(columns)]
    if unit == "token":
        return labels[part.keep]
    return torch.where(part.keep[..., None], labels, -1).amax(1)


def _firings(codes: SparseCodes, part: Padded, unit: Unit) -> Firings:
    """What fires in the units of a batch, in the order of `_labels`."""
    row, position, entry = ((codes.values > 0) & part.keep[..., None]).nonzero(as_tuple=True)
    features, strengths = codes.indices[row, position, entry], codes.values[row, position, entry].float()
    if unit == "token":
        number = part.keep.flatten().long().cumsum(0) - 1  # of the token among those that count
        return Firings(number[row * part.keep.shape[1] + position], features, strengths)
    pairs, which = torch.unique(row * codes.n_features + features, return_inverse=True)
    total = strengths.new_zeros(len(pairs)).index_add_(0, which, strengths)
    texts = pairs // codes.n_features
    return Firings(texts, pairs % codes.n_features, total / part.keep.sum(1)[texts])
