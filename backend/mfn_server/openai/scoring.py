"""What a model thinks of a text that is given: the log-probabilities of a prompt's own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfn_core.interventions import Intervention
    from mfn_core.model import MFNModel

ROWS = 128  # positions whose log-probabilities are worked out at a time, beside the logits of all


@dataclass(frozen=True, slots=True)
class Scored:
    """A token of a prompt.

    Attributes:
        token: its id.
        logprob: in nats, given what stands before it; None for the first, before which nothing stands.
        alternatives: the likeliest tokens in its place with their log-probabilities, likeliest first.
    """

    token: int
    logprob: float | None
    alternatives: tuple[tuple[int, float], ...]


def score(
    model: MFNModel, prompt: Sequence[int], interventions: Sequence[Intervention], alternatives: int
) -> list[Scored]:
    """Log-probabilities of each token of a prompt under interventions, in one forward pass.

    All of it counts as prompt: an intervention on new text alone acts on the last token, after which it would begin.
    The pass has the prompt's own length, so sums are rounded in another order than where the engine reads the same text
    in pieces: expect differences of some 1e-6.

    Raises:
        InterventionError: an intervention names what is not there.
    """
    import torch

    from mfn_core.interventions import EditBuffers

    edits = EditBuffers.allocate(model.n_features, rows=1, device=model.device, signed=model.signed)
    edits.write(0, interventions, prompt_length=len(prompt))
    ids = torch.tensor([list(prompt)], device=model.device)
    found = [Scored(prompt[0], None, ())]
    with torch.inference_mode():
        logits = model(ids, edits=edits).logits[0, :-1]  # [T − 1, V]
        for start in range(0, len(prompt) - 1, ROWS):
            rows = torch.log_softmax(logits[start : start + ROWS].float(), dim=-1)
            tokens = ids[0, start + 1 : start + 1 + len(rows)]
            chances = rows.gather(-1, tokens[:, None])[:, 0].tolist()
            top = rows.topk(min(alternatives, rows.shape[-1]), dim=-1)
            others = zip(top.indices.tolist(), top.values.tolist(), strict=True)
            for token, chance, (names, values) in zip(tokens.tolist(), chances, others, strict=True):
                found.append(Scored(token, chance, tuple(zip(names, values, strict=True))))
    return found
