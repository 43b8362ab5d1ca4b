"""Dose and response: what comes of interventions over a range of strengths."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mfn_core.errors import ConfigError
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.steering.agreeing import agreement
from mfn_core.steering.doses import at_dose, check_swept, most_dose, spread
from mfn_core.steering.linear import edits_of, first_order
from mfn_core.steering.prediction import check_position, divergences, gained
from mfn_core.steering.results import DosePoint, Sweep, Texts
from mfn_core.steering.texts import check_room, write_texts
from mfn_core.writing import Writing

TOKENS = 6  # that are followed by default
MOST_DOSES = 64


@torch.no_grad()
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
    swept = check_swept(interventions, swept)
    ids = model.encode_text(prompt)
    position = check_position(ids, position)
    check_room(model, [ids], 0 if writing is None else writing.tokens)
    doses = spread(most_dose(model, interventions, swept, ids)) if doses is None else tuple(doses)
    if not 1 <= len(doses) <= MOST_DOSES:
        raise ConfigError(f"a sweep has 1 to {MOST_DOSES} doses, not {len(doses)}")
    settings = [(), *(at_dose(interventions, dose, swept) for dose in doses)]
    inputs = torch.tensor([ids] * len(settings), device=model.device)
    edits = edits_of(model, settings, len(ids))
    logits = model(inputs, edits=edits, logits_to_keep=len(ids) - position).logits[:, 0].float()
    logprobs = torch.log_softmax(logits, -1)
    followed = gained(logprobs[0], logprobs[1:], TOKENS) if tokens is None else list(tokens)
    predicted = first_order(model, ids, settings[1:], position).through.float()
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
    found = Sweep(swept, tuple(followed), tuple(followed_logprobs[0]), None, tuple(points))
    if writing is None:
        return found
    plain, *written = write_doses(model, prompt, interventions, (None, *doses), swept, writing, samples)
    return found.with_texts(plain, written)


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
    settings = [() if dose is None else at_dose(interventions, dose, swept) for dose in doses]
    seeds = [writing.seed + sample for sample in range(samples)]
    return write_texts(model, [prompt] * samples, settings, writing, seeds)
