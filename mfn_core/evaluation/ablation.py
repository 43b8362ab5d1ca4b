"""What a model predicts worse without a feature, and where: inside of its concept, if it stands for it.

A feature is ablated throughout a text, and each next token's cost is compared with that of the untouched pass. What it
costs on the concept's instances and elsewhere is given apart. Beside it stands a control: the same for another feature
of the same layer that fires about as often, since some text is easily spoilt by whatever is taken away.

To be quick, no pass computes what is known already: a text in which a feature never fires costs exactly what it did;
the blocks before the feature's layer are computed once for all features of the layer (`late_start`); and where many
texts have a concept, so many of them are drawn, and as many without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mfn_core.errors import MFNError
from mfn_core.evaluation.labelled import LabelledTokens
from mfn_core.evaluation.late_start import Streams, padded_ids
from mfn_core.intervals import Mean, ratio, stratified
from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.model import MFNModel

MOST_TEXTS = 100  # texts with a concept that are drawn, and as many without
FEWEST_TEXTS = 50  # texts without it, even where fewer have it

Progress = Callable[[int, int], None]
N = TypeVar("N")


@dataclass(frozen=True)
class AblationEffect:
    """Nats that the next token costs more when a feature is ablated throughout.

    Attributes:
        inside: mean after instances of the concept; 0 where there are none.
        outside: mean after all other tokens of which the concept is known.
        control: the other feature, of the same layer.
        control_inside, control_outside: the same means where that one is ablated.
        above_control: by how much `inside` is greater than `control_inside`, text by text.
        texts: how many of them were looked at, with and without the concept.
    """

    inside: Mean
    outside: Mean
    control: int
    control_inside: Mean
    control_outside: Mean
    above_control: Mean
    texts: tuple[int, int]

    @property
    def specific(self) -> bool:
        """Whether more is lost inside than outside, beyond chance."""
        return self.inside.less(self.outside).positive

    @property
    def changes(self) -> bool:
        """Whether it changes what it should: more inside than outside, and more there than the control, each beyond
        chance."""
        return self.specific and self.above_control.positive

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "inside": self.inside.to_json(),
            "outside": self.outside.to_json(),
            "specific": self.specific,
            "control": {
                "feature": self.control,
                "inside": self.control_inside.to_json(),
                "outside": self.control_outside.to_json(),
            },
            "above_control": self.above_control.to_json(),
            "changes": self.changes,
            "texts": {"with": self.texts[0], "without": self.texts[1]},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> AblationEffect:
        """What `to_json` gave."""
        control = data["control"]
        return cls(
            Mean.from_json(data["inside"]),
            Mean.from_json(data["outside"]),
            control["feature"],
            Mean.from_json(control["inside"]),
            Mean.from_json(control["outside"]),
            Mean.from_json(data["above_control"]),
            (data["texts"]["with"], data["texts"]["without"]),
        )


class Job(NamedTuple):
    """A feature that is to be ablated in a text; both by number."""

    text: int
    feature: int


class Ablations:
    """Ablates features, one at a time, on texts that are read once without."""

    def __init__(
        self,
        model: MFNModel,
        texts: Sequence[LabelledTokens],
        detectors: Iterable[tuple[int, int]],
        batch: int = 16,
        progress: Progress = lambda done, total: None,
        seed: int = 0,
    ) -> None:
        """Reads the texts.

        Args:
            model: with layers.
            texts: on which features are ablated; those of one token tell nothing and are left out.
            detectors: (layer, feature) of all that will be asked about. None of them is taken for a control.
            batch: texts in a forward pass.
            progress: told how many texts have been read, and of how many.
            seed: of the texts that are drawn where there are many.
        """
        self.model = model
        self._texts = [text for text in texts if len(text.ids) > 1]
        self._batch = batch
        self._taken: dict[int, set[int]] = {}
        for layer, feature in detectors:
            self._taken.setdefault(layer, set()).add(feature)
        self._fires = {
            layer: np.zeros((len(self._texts), model.n_features[layer]), dtype=np.bool_) for layer in self._taken
        }
        self._counts = {layer: np.zeros(model.n_features[layer], dtype=np.int64) for layer in self._taken}
        self._rank = np.random.default_rng(seed).permutation(len(self._texts))
        self._plain: list[NDArray[np.float64]] = [np.empty(0)] * len(self._texts)
        self._streams = Streams(model, [text.ids for text in self._texts])
        self._read(progress)

    def effect(self, layer: int, feature: int, column: int) -> AblationEffect:
        """What ablating a feature costs inside and outside of a concept.

        Args:
            layer, feature: one of the detectors.
            column: of the concept, in the labels.
        """
        have, lack = self._with(column)
        texts = [*self._draw(have, MOST_TEXTS), *self._draw(lack, max(FEWEST_TEXTS, len(have)))]
        control = self._control(layer, feature)
        jobs = [Job(n, f) for f in (feature, control) for n in texts if self._fires[layer][n, f]]
        more = self._more(layer, jobs)
        own, other = (self._sums(texts, f, column, more) for f in (feature, control))
        present = np.isin(texts, have)
        tokens = [self._outside_tokens(group, column) for group in (have, lack)]
        inside, control_inside = (ratio(part[present, 0], part[present, 1]) for part in (own, other))
        outside, control_outside = (
            stratified([(part[which, 2], part[which, 3]) for which in (present, ~present)], tokens)
            for part in (own, other)
        )
        above = ratio(own[present, 0] - other[present, 0], own[present, 1])
        drawn = int(present.sum()), int((~present).sum())
        return AblationEffect(inside, outside, control, control_inside, control_outside, above, drawn)

    def _with(self, column: int) -> tuple[list[int], list[int]]:
        """Texts that have the concept before their last token, and those that are known to lack it."""
        have, lack = [], []
        for number, text in enumerate(self._texts):
            labels = text.labels[:-1, column]
            if (labels == 1).any():
                have.append(number)
            elif (labels == 0).any():
                lack.append(number)
        return have, lack

    def _draw(self, texts: Sequence[int], most: int) -> list[int]:
        """At most so many of them, never more than `MOST_TEXTS`.

        Those that come first in one order, drawn once, so that concepts have texts in common, whose streams are there.
        """
        return sorted(sorted(texts, key=self._rank.__getitem__)[: min(most, MOST_TEXTS)])

    def _control(self, layer: int, feature: int) -> int:
        """The feature of the layer that fires most nearly as often, none of the detectors if there are others.

        Raises:
            MFNError: the layer has no other feature.
        """
        distance = np.abs(self._counts[layer] - self._counts[layer][feature]).astype(np.float64)
        distance[feature] = np.inf
        free = distance.copy()
        free[list(self._taken[layer])] = np.inf
        if np.isfinite(free).any():
            distance = free
        if not np.isfinite(distance).any():
            raise MFNError(f"layer {layer} has one feature: there is none to compare it with")
        return int(distance.argmin())

    def _sums(
        self, texts: Sequence[int], feature: int, column: int, more: dict[Job, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """[texts, 4]: nats inside, tokens inside, nats outside, tokens outside."""
        out = np.zeros((len(texts), 4))
        for row, number in enumerate(texts):
            labels = self._texts[number].labels[:-1, column]
            out[row, 1], out[row, 3] = (labels == 1).sum(), (labels == 0).sum()
            change = more.get(Job(number, feature))
            if change is not None:  # else the feature never fires there, and nothing changes
                out[row, 0], out[row, 2] = change[labels == 1].sum(), change[labels == 0].sum()
        return out

    def _outside_tokens(self, texts: Sequence[int], column: int) -> int:
        return sum(int((self._texts[number].labels[:-1, column] == 0).sum()) for number in texts)

    @torch.no_grad()
    def _read(self, progress: Progress) -> None:
        """What each next token costs untouched; where and how often features fire."""
        done = 0
        order = sorted(range(len(self._texts)), key=lambda number: len(self._texts[number].ids))
        for numbers in _parts(order, self._batch):
            ids, lengths = padded_ids([self._texts[number].ids for number in numbers], self.model.device)
            out = self.model(ids, record="codes")
            costs = _costs(out.logits, ids)
            for row, (number, length) in enumerate(zip(numbers, lengths, strict=True)):
                self._plain[number] = costs[row, : length - 1].double().cpu().numpy()
            for layer, fires in self._fires.items():
                trace = out.traces[layer]
                codes = trace.raw_codes if trace.whole is None else trace.whole[0]
                for row, (number, length) in enumerate(zip(numbers, lengths, strict=True)):
                    firing = codes.indices[row, :length][codes.fires[row, :length]].cpu().numpy()
                    fires[number, firing] = True
                    np.add.at(self._counts[layer], firing, 1)
            done += len(numbers)
            progress(done, len(self._texts))

    @torch.no_grad()
    def _more(self, layer: int, jobs: Sequence[Job]) -> dict[Job, NDArray[np.float64]]:
        """For each job, [T − 1]: nats that each next token costs more."""
        out: dict[Job, NDArray[np.float64]] = {}
        order = sorted(jobs, key=lambda job: (len(self._texts[job.text].ids), job))
        for part in _parts(order, self._batch):
            texts = [job.text for job in part]
            ids, lengths = padded_ids([self._texts[number].ids for number in texts], self.model.device)
            edits = EditBuffers.allocate(
                self.model.n_features, len(part), slots=1, device=self.model.device, signed=self.model.signed
            )
            for row, job in enumerate(part):
                edits.write(row, [Intervention(layer, job.feature, "ablate")], 0)
            with self._streams.begin(layer, texts) if layer > 0 else nullcontext():
                costs = _costs(self.model(ids, edits=edits).logits, ids)
            for row, (job, length) in enumerate(zip(part, lengths, strict=True)):
                out[job] = costs[row, : length - 1].double().cpu().numpy() - self._plain[job.text]
        return out


def _parts(numbers: Sequence[N], size: int) -> Iterator[Sequence[N]]:
    for at in range(0, len(numbers), size):
        yield numbers[at : at + size]


def _costs(logits: Tensor, ids: Tensor) -> Tensor:
    """[B, T − 1]: nats of each next token."""
    flat = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
    return flat.view(len(ids), -1)
