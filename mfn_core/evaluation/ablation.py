"""What a model predicts worse without a feature, and where: inside of its concept, if it stands for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.evaluation.labelled import LabelledTokens, Padded, padded
from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.model import MFNModel


@dataclass(frozen=True)
class AblationEffect:
    """Nats that the next token costs more when a feature is ablated throughout.

    Attributes:
        inside: mean after instances of the concept; 0 where there are none.
        outside: mean after all other tokens.
        inside_error, outside_error: standard errors of the means, over texts.
    """

    inside: float
    outside: float
    inside_error: float
    outside_error: float

    @property
    def specific(self) -> bool:
        """Whether more is lost inside than outside, by more than two standard errors of the difference."""
        spread = (self.inside_error**2 + self.outside_error**2) ** 0.5
        return bool(self.inside - self.outside > 2 * spread)


class Ablations:
    """Ablates features, one at a time, on texts whose untouched cost is computed once."""

    def __init__(self, model: MFNModel, texts: Sequence[LabelledTokens], batch: int = 16) -> None:
        self.model = model
        self._batches = list(padded([text for text in texts if len(text.ids) > 1], batch, model.device))
        self._plain = [self._costs(part, ()) for part in self._batches]

    def effect(self, layer: int, feature: int, column: int) -> AblationEffect:
        """What ablating a feature costs inside and outside of the concept in a column of the labels."""
        off = (Intervention(layer, feature, "ablate"),)
        inside, outside = [], []
        for part, plain in zip(self._batches, self._plain, strict=True):
            more = self._costs(part, off) - plain
            label, counts = part.labels[:, :-1, column], part.keep[:, 1:]
            inside.append(_by_text(more, counts & (label == 1)))
            outside.append(_by_text(more, counts & (label == 0)))
        (inside_mean, inside_error), (outside_mean, outside_error) = _mean(inside), _mean(outside)
        return AblationEffect(inside_mean, outside_mean, inside_error, outside_error)

    @torch.no_grad()
    def _costs(self, part: Padded, interventions: Sequence[Intervention]) -> Tensor:
        """[B, T − 1]: nats of each next token."""
        edits = EditBuffers.allocate(
            self.model.n_features, len(part.ids), slots=1, device=self.model.device, signed=self.model.signed
        )
        for row in range(len(part.ids)):
            edits.write(row, interventions, 0)
        logits = self.model(part.ids, edits=edits).logits[:, :-1]
        return F.cross_entropy(logits.transpose(1, 2).float(), part.ids[:, 1:], reduction="none")


def _by_text(more: Tensor, where: Tensor) -> Tensor:
    """[2, B]: sum and count of each text."""
    return torch.stack([(more * where).sum(1), where.sum(1).to(more.dtype)]).double().cpu()


def _mean(parts: Sequence[Tensor]) -> tuple[float, float]:
    """The mean over all tokens, and its standard error where texts, not tokens, are independent (ratio estimator)."""
    sums, counts = torch.cat(list(parts), dim=1)
    seen = counts > 0
    sums, counts = sums[seen], counts[seen]
    if len(sums) == 0:
        return 0.0, float("inf")
    mean = sums.sum() / counts.sum()
    if len(sums) == 1:
        return float(mean), float("inf")
    residual = (sums - mean * counts) / counts.mean()
    return float(mean), float(residual.std() / len(sums) ** 0.5)
