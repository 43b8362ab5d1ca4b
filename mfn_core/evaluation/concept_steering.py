"""Whether a concept's detector, clamped while a model writes, brings the concept into the text.

The detector is set to multiples of the greatest strength it has in labelled text, fixed beforehand (`DOSES`), while
the model writes on from neutral beginnings (`PROMPTS`), greedily. Whether what it wrote has the concept is judged by a
probe on tokens (`text_probes`), beside what is written with nothing turned, and with another feature of the same layer
set to the same values: since directions have unit length, that is a push as long. Each prompt is a unit: what is told
of a concept is the mean over prompts of the share of doses at which the text has it, so that no dose is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfn_core.evaluation.labelled import LabelledTokens, padded
from mfn_core.evaluation.text_probes import TextProbe
from mfn_core.intervals import Mean, ratio
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.writing import Writing, nats, write

DOSES = (1.0, 2.0, 4.0)  # times a detector's greatest strength
TOKENS = 24  # that are written
LEAST_AUC = 0.9  # of the probe that judges; a concept that it tells less well is left out
PROMPTS = (
    "The",
    "In the",
    "It was",
    "There is",
    "When the",
    "He had",
    "She said",
    "They were",
    "This is a",
    "After the",
    "One of the",
    "I have",
    "We can",
    "At the",
    "But the",
    "For example,",
)


class Detecting(NamedTuple):
    """What is turned for a concept.

    Attributes:
        layer, feature: the detector.
        control: another feature of the layer.
        peak: the detector's greatest strength.
    """

    layer: int
    feature: int
    control: int
    peak: float


@dataclass(frozen=True)
class Written:
    """Continuations of the prompts under one change.

    Attributes:
        has: of each prompt, whether the text has the concept.
        nats: mean cost of a token of them, for whoever judges how strange they are; None where nobody does, or where
            nothing was written.
    """

    has: Sequence[bool]
    nats: float | None


@dataclass(frozen=True)
class SteeringSuccess:
    """What came of one concept.

    Attributes:
        auc: of the probe that judged.
        plain: with nothing turned.
        steered, control: with the detector, and with the other feature, set to each of the doses.
    """

    auc: float
    plain: Written
    steered: Sequence[Written]
    control: Sequence[Written]

    @property
    def above_plain(self) -> Mean:
        """How much more often a text has the concept than with nothing turned, over prompts."""
        return _mean(_shares(self.steered) - np.asarray(self.plain.has, dtype=np.float64))

    @property
    def above_control(self) -> Mean:
        """How much more often than with the other feature turned, over prompts."""
        return _mean(_shares(self.steered) - _shares(self.control))

    @property
    def steers(self) -> bool:
        """Whether both are beyond chance."""
        return self.above_plain.positive and self.above_control.positive

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SteeringSuccess:
        """What `to_json` gave."""
        turned = {name: [Written(**row) for row in data[name]] for name in ("steered", "control")}
        return cls(data["auc"], Written(**data["plain"]), **turned)


def share_of(written: Sequence[Written]) -> float:
    """Of all texts under these changes, the share that have the concept."""
    return float(_shares(written).mean())


def stranger(written: Sequence[Written], plain: Written) -> float | None:
    """Perplexity over that of the plain texts, geometric mean over the changes; None where it is not known."""
    costs = [each.nats for each in written]
    if plain.nats is None or None in costs:
        return None
    return float(np.exp(np.mean([cost for cost in costs if cost is not None]) - plain.nats))


def _shares(written: Sequence[Written]) -> NDArray[np.float64]:
    """float64 [prompts]."""
    has = np.array([each.has for each in written], dtype=np.float64)
    return np.asarray(has.mean(axis=0))


def _mean(values: NDArray[np.float64]) -> Mean:
    return ratio(values, np.ones(len(values)))


class ConceptSteering:
    """Steers one model towards concepts."""

    def __init__(self, model: MFNModel, judge: MFNModel | None) -> None:
        """Writes what is compared with.

        Args:
            model: with layers and a tokenizer.
            judge: that says how strange texts are, with the same tokenizer: the dense twin. None for nobody.
        """
        self._model, self._judge = model, judge
        self._plain = self._write([()] * len(PROMPTS))

    def success(self, turned: Detecting, probe: TextProbe) -> SteeringSuccess:
        """What comes of turning a concept's detector."""
        turns = [
            (Intervention(turned.layer, feature, "set", dose * turned.peak),)
            for feature in (turned.feature, turned.control)
            for dose in DOSES
        ]
        written = self._judged(self._write([turn for turn in turns for _ in PROMPTS]), probe)
        (plain,) = self._judged(self._plain, probe)
        return SteeringSuccess(probe.auc, plain, written[: len(DOSES)], written[len(DOSES) :])

    def _write(self, turns: Sequence[Sequence[Intervention]]) -> list[list[int]]:
        """Of all prompts under the first change, then under the next. One change for each text."""
        return write(self._model, _prompts(turns), turns, Writing(tokens=TOKENS, batch=len(turns)))

    def _judged(self, texts: Sequence[Sequence[int]], probe: TextProbe) -> list[Written]:
        """By change."""
        costs = None if self._judge is None else nats(self._judge, _prompts(texts), texts, batch=len(texts))
        has = [probe.holds(text) for text in texts]
        groups = [slice(at, at + len(PROMPTS)) for at in range(0, len(texts), len(PROMPTS))]
        return [Written(has[group], _mean_cost(costs[group]) if costs else None) for group in groups]


def _prompts(of: Sequence[object]) -> Sequence[str]:
    """As many as there are texts: all of them, again and again."""
    return PROMPTS * (len(of) // len(PROMPTS))


def _mean_cost(costs: Sequence[Tensor]) -> float | None:
    """Nats a token; None where there is no token."""
    every = torch.cat(list(costs))
    return float(every.mean()) if len(every) else None


@torch.no_grad()
def peaks(
    model: MFNModel, texts: Sequence[LabelledTokens], features: Sequence[tuple[int, int]], batch: int = 16
) -> list[float]:
    """The greatest strength of each (layer, feature) on any token of the texts but each one's first."""
    found = torch.zeros(len(features), device=model.device)
    for part in padded(texts, batch, model.device):
        traces = model(part.ids, record="codes", logits_to_keep=1).traces
        strengths = [traces[layer].codes.value_of(feature)[part.keep].amax() for layer, feature in features]
        found = torch.maximum(found, torch.stack(strengths).float())
    return [float(peak) for peak in found]
