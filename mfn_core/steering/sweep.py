"""Dose and response: what comes of interventions over a range of strengths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mfn_core.errors import ConfigError
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.slices import Slices, at_once, finish
from mfn_core.steering.agreeing import agreement
from mfn_core.steering.doses import at_dose, check_swept, most_dose, spread
from mfn_core.steering.linear import edits_of, first_order_in_slices
from mfn_core.steering.prediction import check_position, divergences, gained
from mfn_core.steering.results import DosePoint, Sweep, Texts
from mfn_core.steering.texts import check_room, write_texts_in_slices
from mfn_core.writing import Writing

TOKENS = 6  # that are followed by default
MOST_DOSES = 64


def dose_response(
    model: MFNModel,
    prompt: str,
    interventions: Sequence[Intervention],
    doses: Sequence[float] | None = None,
    swept: int | None = None,
    tokens: Sequence[int] | None = None,
    writing: Writing | None = None,
    samples: int = 1,
    position: int = -1,
) -> Sweep:
    """Runs a prompt at all doses at once: a row of one batch each, and one without interventions beside them.

    Args:
        model: in eval mode, with a tokenizer.
        prompt: text.
        interventions: in the order in which they act.
        doses: values of the swept intervention, or factors of all; by default nine from 0 on, up to
            `doses.most_dose`.
        swept: which of them is swept, the first being 0; None for the only one there is, or all of several.
        tokens: ids whose log-probability is followed; by default the six that gain most probability, on the mean
            over the doses.
        writing: how texts are written at each dose, with the same noise at all; None: nothing is written.
        samples: texts a dose, with noise of their own each.
        position: of the token after which logits are read.

    Raises:
        ConfigError: nothing can be swept, or there are too many doses.
        InterventionError: an intervention, or a dose of it, is not possible.
    """
    found = finish(dose_response_in_slices(model, prompt, interventions, doses, swept, tokens, writing, position))
    if writing is None:
        return found
    settings = (None, *(point.dose for point in found.points))
    plain, *written = write_doses(model, prompt, interventions, settings, found.swept, writing, samples)
    return found.with_texts(plain, written)


@torch.no_grad()
def dose_response_in_slices(
    model: MFNModel,
    prompt: str,
    interventions: Sequence[Intervention],
    doses: Sequence[float] | None = None,
    swept: int | None = None,
    tokens: Sequence[int] | None = None,
    writing: Writing | None = None,
    position: int = -1,
) -> Slices[Sweep]:
    """The same in slices, save for the texts: for those of `writing` it is seen to that there is room, and no more.

    Every slice runs some doses beside the prompt without interventions, all in a pass of one shape: so where a dose
    changes nothing, nothing differs.
    """
    swept = check_swept(interventions, swept)
    ids = model.encode_text(prompt)
    position = check_position(ids, position)
    check_room(model, [ids], 0 if writing is None else writing.tokens)
    doses = spread(most_dose(model, interventions, swept, ids)) if doses is None else tuple(doses)
    if not 1 <= len(doses) <= MOST_DOSES:
        raise ConfigError(f"a sweep has 1 to {MOST_DOSES} doses, not {len(doses)}")
    settings = [at_dose(interventions, dose, swept) for dose in doses]
    room = min(at_once(len(ids), least=2), len(settings) + 1)
    inputs = torch.tensor([ids] * room, device=model.device)
    rows: list[Tensor] = []
    for at in range(0, len(settings), room - 1):
        some = settings[at : at + room - 1]
        edits = edits_of(model, [(), *some, *[()] * (room - 1 - len(some))], len(ids))
        found = model(inputs, edits=edits, logits_to_keep=len(ids) - position).logits[:, 0].float()
        rows += [*([found[0]] if not rows else []), *found[1 : 1 + len(some)]]
        yield
    logits = torch.stack(rows)
    logprobs = torch.log_softmax(logits, -1)
    followed = gained(logprobs[0], logprobs[1:], TOKENS) if tokens is None else list(tokens)
    orders = yield from first_order_in_slices(model, ids, settings, position)
    predicted = orders.through.float()
    kl = divergences(logprobs[1:], logprobs[0])
    followed_logprobs = logprobs[:, followed].tolist()
    points = [
        DosePoint(
            dose,
            tuple(followed_logprobs[row]),
            kl[row - 1],
            agreement(predicted[row - 1], logits[row] - logits[0]),
            None,
        )
        for row, dose in enumerate(doses, start=1)
    ]
    return Sweep(swept, tuple(followed), tuple(followed_logprobs[0]), None, tuple(points))


def write_doses(
    model: MFNModel,
    prompt: str,
    interventions: Sequence[Intervention],
    doses: Sequence[float | None],
    swept: int | None,
    writing: Writing,
    samples: int = 1,
) -> list[Texts]:
    """Continues a prompt at some doses, None for no interventions, in one batch. What is written at one does not depend
    on the others. Arguments as `dose_response` has them; `swept` as it gives it back."""
    return finish(write_doses_in_slices(model, prompt, interventions, doses, swept, writing, samples))


def write_doses_in_slices(
    model: MFNModel,
    prompt: str,
    interventions: Sequence[Intervention],
    doses: Sequence[float | None],
    swept: int | None,
    writing: Writing,
    samples: int = 1,
) -> Slices[list[Texts]]:
    """The same in slices."""
    settings = [() if dose is None else at_dose(interventions, dose, swept) for dose in doses]
    seeds = [writing.seed + sample for sample in range(samples)]
    return (yield from write_texts_in_slices(model, [prompt] * samples, settings, writing, seeds))
