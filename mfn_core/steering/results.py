"""What is found out about interventions, in plain numbers: passed on and shown without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mfn_core.interventions import Intervention

Method = Literal["first_order", "path", "secant"]
"""How a change of the logits is predicted; see `linear`."""

AGREES = 0.8  # Spearman's ρ from which on a prediction counts as good: the bound that the preprint's fourth claim gets


@dataclass(frozen=True)
class Agreement:
    """A predicted and a measured change of the logits, compared. None where one of them does not change.

    Attributes:
        spearman: rank correlation over all tokens, ties at their mean rank.
        pearson: correlation.
        slope: how many logits came for each that was predicted: least squares, of changes about their means. Below 1,
            less came than was predicted.
        overlap_raised, overlap_lowered: the share of the `top` tokens predicted to rise (fall) most that are among as
            many that did.
        top: how many.
    """

    spearman: float | None
    pearson: float | None
    slope: float | None
    overlap_raised: float
    overlap_lowered: float
    top: int

    @property
    def agrees(self) -> bool:
        """Whether the order of the tokens was told well: Spearman's ρ is 0.8 or more."""
        return self.spearman is not None and self.spearman >= AGREES


@dataclass(frozen=True, slots=True)
class SideEffect:
    """A feature that nobody turned, on the positions that could change.

    Attributes:
        layer, feature: which.
        before, after: its value, on the mean over the positions.
        change: how far its value moved, on the mean over the positions, whichever way; in units of z, hence relative to
            the stream at its layer.
        fired_before, fired_after: on how many of them it fired.
        positions: how many there are.
    """

    layer: int
    feature: int
    before: float
    after: float
    change: float
    fired_before: int
    fired_after: int
    positions: int


@dataclass(frozen=True, slots=True)
class Turnover:
    """How many other features of a layer have changed places with others.

    Attributes:
        layer: which.
        replaced: of the features that fired before or after, the share that fired only once, on the mean over
            positions: 0 where all stayed, 1 where none did.
    """

    layer: int
    replaced: float


@dataclass(frozen=True)
class SideEffects:
    """What became of other features.

    Attributes:
        strongest: those that changed most, over all layers, first the one that changed most.
        turnover: by layer, of those at or behind the first that was turned. First order takes it to be 0.
        changed: features that changed at all, over all layers.
        begins: the first position at which anything changed; None where nothing did.
    """

    strongest: tuple[SideEffect, ...]
    turnover: tuple[Turnover, ...]
    changed: int
    begins: int | None


@dataclass(frozen=True, slots=True)
class TokenChange:
    """One token of the vocabulary. Changes are of its logit, less the mean change over the vocabulary.

    Attributes:
        token: its id.
        predicted: to first order, through the model.
        lens: by the direct lens.
        measured: what came of it.
        logprob, steered_logprob: log-probability in nats without and with the interventions.
    """

    token: int
    predicted: float
    lens: float
    measured: float
    logprob: float
    steered_logprob: float


@dataclass(frozen=True)
class PredictionReport:
    """A prediction beside its measurement, in plain numbers.

    Attributes:
        ids, interventions, position, kl, agreement, lens_agreement, side_effects, method: as `Prediction` has them.
        raised, lowered: the tokens predicted to rise, and to fall, most; first the one that does most.
        gained: those that gained most probability.
        followed: those that were asked for.
        each: of each intervention (token, predicted share), of those that it raises most.
    """

    ids: tuple[int, ...]
    interventions: tuple[Intervention, ...]
    position: int
    raised: tuple[TokenChange, ...]
    lowered: tuple[TokenChange, ...]
    gained: tuple[TokenChange, ...]
    followed: tuple[TokenChange, ...]
    each: tuple[tuple[tuple[int, float], ...], ...]
    kl: float
    agreement: Agreement
    lens_agreement: Agreement
    side_effects: SideEffects
    method: Method = "first_order"


@dataclass(frozen=True)
class Texts:
    """Texts written alike.

    Attributes:
        ids: of each, without its prompt.
        texts: the same as text.
        perplexity: e to the mean nats of a token after what precedes it, under the model without interventions; None
            where nothing was written.
        repetition: the share of a text's runs of three tokens that it has had before, on the mean over the texts. A
            text that goes round in circles has a low perplexity, so one is not to be read without the other.
        fired: bool [length] each, see `read_back`.
    """

    ids: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...]
    perplexity: float | None
    repetition: float
    fired: tuple[tuple[bool, ...], ...] = ()


@dataclass(frozen=True)
class DosePoint:
    """One dose.

    Attributes:
        dose: see `doses.at_dose`.
        logprobs: of the tokens followed, in nats.
        kl: KL(steered ‖ plain) of the next token, in nats.
        agreement: of what first order predicts for this dose with what was measured, over all tokens.
        written: what was written at it; None where nothing was to be written.
    """

    dose: float
    logprobs: tuple[float, ...]
    kl: float
    agreement: Agreement
    written: Texts | None


@dataclass(frozen=True)
class Sweep:
    """What comes of some doses.

    Attributes:
        swept: the number of the intervention whose value is the dose; None: the dose multiplies all.
        tokens: ids of the tokens followed.
        plain_logprobs: theirs, in nats, without interventions.
        plain_written: what was written without any; None where nothing was to be written.
        points: a dose each, in the order asked for.
    """

    swept: int | None
    tokens: tuple[int, ...]
    plain_logprobs: tuple[float, ...]
    plain_written: Texts | None
    points: tuple[DosePoint, ...]

    def with_texts(self, plain: Texts, written: Sequence[Texts]) -> Sweep:
        """The same with what was written, without interventions and at each dose."""
        points = (replace(point, written=texts) for point, texts in zip(self.points, written, strict=True))
        return replace(self, plain_written=plain, points=tuple(points))
