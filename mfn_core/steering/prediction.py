"""Interventions on one text: what first order says of the next token's logits, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mfn_core.errors import ConfigError
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.slices import Slices, finish
from mfn_core.steering.agreeing import TOP, agreement, centred
from mfn_core.steering.bystanders import side_effects
from mfn_core.steering.linear import edits_of, first_order_in_slices
from mfn_core.steering.results import Agreement, Method, PredictionReport, SideEffects, TokenChange


@dataclass(frozen=True)
class Prediction:
    """What interventions were predicted to do to one next token, and what they did.

    Attributes:
        ids: the text.
        interventions: in the order in which they act.
        position: of the token after which the logits were read.
        predicted: float [V], through the model, as asked for; changes are less their mean over the vocabulary.
        each: float [interventions, V], each one's share in it, given those before it in the list; they add up to it.
        lens: float [V], by the direct lens.
        measured: float [V].
        logprobs, steered_logprobs: float [V], in nats.
        kl: KL(steered ‖ plain) in nats.
        agreement, lens_agreement: of the two with what was measured.
        side_effects: on other features, over the text.
        method: by which it was predicted.
    """

    ids: tuple[int, ...]
    interventions: tuple[Intervention, ...]
    position: int
    predicted: Tensor
    each: Tensor
    lens: Tensor
    measured: Tensor
    logprobs: Tensor
    steered_logprobs: Tensor
    kl: float
    agreement: Agreement
    lens_agreement: Agreement
    side_effects: SideEffects
    method: Method = "first_order"

    def tokens(self, ids: Sequence[int]) -> list[TokenChange]:
        """What is known of some tokens, in the order given."""
        chosen = torch.tensor(list(ids), dtype=torch.int64)
        columns = (self.predicted, self.lens, self.measured, self.logprobs, self.steered_logprobs)
        values = [column[chosen].tolist() for column in columns]
        return [TokenChange(*row) for row in zip(chosen.tolist(), *values, strict=True)]

    def raised(self, n: int = TOP) -> list[TokenChange]:
        """The n tokens predicted to rise most."""
        return self.tokens(self.predicted.topk(min(n, len(self.predicted))).indices.tolist())

    def lowered(self, n: int = TOP) -> list[TokenChange]:
        """The n tokens predicted to fall most."""
        return self.tokens((-self.predicted).topk(min(n, len(self.predicted))).indices.tolist())

    def gained(self, n: int = TOP) -> list[TokenChange]:
        """The n tokens that gained most probability in truth."""
        return self.tokens(gained(self.logprobs, self.steered_logprobs[None], n))

    def report(self, n: int = TOP, followed: Sequence[int] = ()) -> PredictionReport:
        """The same in plain numbers: n tokens of each kind, and those that are asked for."""
        shares = self.each.topk(min(n, self.each.shape[-1]), dim=-1)
        return PredictionReport(
            ids=self.ids,
            interventions=self.interventions,
            position=self.position,
            raised=tuple(self.raised(n)),
            lowered=tuple(self.lowered(n)),
            gained=tuple(self.gained(n)),
            followed=tuple(self.tokens(followed)),
            each=tuple(
                tuple(zip(tokens, values, strict=True))
                for tokens, values in zip(shares.indices.tolist(), shares.values.tolist(), strict=True)
            ),
            kl=self.kl,
            agreement=self.agreement,
            lens_agreement=self.lens_agreement,
            side_effects=self.side_effects,
            method=self.method,
        )


def predict(
    model: MFNModel,
    ids: Sequence[int],
    interventions: Sequence[Intervention],
    position: int = -1,
    most_side_effects: int = 20,
    method: Method = "first_order",
) -> Prediction:
    """Predicts the change of the next token's logits, and measures it.

    Args:
        model: in eval mode.
        ids: the text as token ids, all of it the prompt; `MFNModel.encode_text` gives them.
        interventions: in the order in which they act.
        position: of the token after which the logits are read: the last, or another in [−T, T).
        most_side_effects: how many other features to tell of.
        method: how it is predicted: `first_order`, by the slope at the untouched text; `path`, by the slopes at several
            points on the way to the steered one, for as many times the work; `secant`, by first order between layers of
            features and exactly within them. See `linear`.

    Raises:
        ConfigError: there is no such position, or no text.
        InterventionError: an intervention names what is not there.
    """
    return finish(predict_in_slices(model, ids, interventions, position, most_side_effects, method))


@torch.no_grad()
def predict_in_slices(
    model: MFNModel,
    ids: Sequence[int],
    interventions: Sequence[Intervention],
    position: int = -1,
    most_side_effects: int = 20,
    method: Method = "first_order",
) -> Slices[Prediction]:
    """The same in slices."""
    place = check_position(ids, position)
    # Row i has the first i interventions: what each adds, given those before it, is a difference of two rows.
    rows = [interventions[:n] for n in range(1, len(interventions) + 1)]
    orders = yield from first_order_in_slices(model, ids, rows or [()], place, method)
    predicted, lens = centred(orders.through.float()), centred(orders.lens.float())
    inputs = torch.tensor([list(ids)] * 2, device=model.device)
    # The two in one pass of one shape, so that where nothing is changed nothing differs.
    output = model(inputs, edits=edits_of(model, [(), interventions], len(ids)), record=True)
    logits = output.logits[:, place]
    change = centred((logits[1] - logits[0]).float())
    logprobs = torch.log_softmax(logits.float(), -1)
    kl = divergences(logprobs[1:], logprobs[0])
    turned = {(i.layer, i.feature) for i in interventions}
    return Prediction(
        ids=tuple(ids),
        interventions=tuple(interventions),
        position=place,
        predicted=predicted[-1].cpu(),
        each=predicted.diff(dim=0, prepend=torch.zeros_like(predicted[:1]))[: len(interventions)].cpu(),
        lens=lens[-1].cpu(),
        measured=change.cpu(),
        logprobs=logprobs[0].cpu(),
        steered_logprobs=logprobs[1].cpu(),
        kl=kl[0],
        agreement=agreement(predicted[-1], change),
        lens_agreement=agreement(lens[-1], change),
        side_effects=side_effects(output.traces, output.traces, turned, 1, most_side_effects),
        method=method,
    )


def check_position(ids: Sequence[int], position: int) -> int:
    """The position in [0, T).

    Raises:
        ConfigError: there is none such.
    """
    if not -len(ids) <= position < len(ids):
        raise ConfigError(f"there is no position {position} in a text of {len(ids)} tokens")
    return range(len(ids))[position]


def divergences(steered: Tensor, plain: Tensor) -> list[float]:
    """KL(steered ‖ plain) in nats of rows of log-probabilities [R, V] against one [V]."""
    found = (steered.exp() * (steered - plain)).sum(-1)
    return [max(0.0, value) for value in found.tolist()]  # rounding can go below 0


def gained(plain: Tensor, steered: Tensor, n: int) -> list[int]:
    """The n tokens that gained most probability, on the mean over rows: log-probabilities [V] and [R, V]."""
    more = steered.exp().mean(0) - plain.exp()
    return [int(token) for token in more.topk(min(n, len(more))).indices]
