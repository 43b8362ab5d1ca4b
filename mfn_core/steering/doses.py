"""Strengths of interventions: one value, or all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from mfn_core.errors import ConfigError
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel

MOST_LENGTHS = 1.5  # how far a default range goes, in lengths of the stream: three times where the best one lay
MOST_TIMES = 2.0  # where all are turned together, or one is scaled, in times what was given
SWEPT = 9  # doses of a default sweep

Turns = Sequence[Intervention]


def at_dose(turns: Turns, dose: float, swept: int | None) -> tuple[Intervention, ...]:
    """Interventions at a dose.

    Args:
        turns: in the order in which they act.
        dose: the value that the swept one takes, in its own units (those of z; for `scale` a factor). Where all are
            swept, what every value is multiplied by, also the start of a ramp; `ablate` has no value and stays.
        swept: the number of the one that is swept, the first being 0; None for all.
    """
    if swept is None:
        return tuple(turn if turn.mode == "ablate" else _times(turn, dose) for turn in turns)
    return tuple(replace(turn, value=dose) if number == swept else turn for number, turn in enumerate(turns))


def _times(turn: Intervention, dose: float) -> Intervention:
    ramp = None if turn.ramp is None else replace(turn.ramp, start=turn.ramp.start * dose)
    return replace(turn, value=turn.value * dose, ramp=ramp)


def check_swept(turns: Turns, swept: int | None) -> int | None:
    """What is swept: the one asked for; else the only one there is, or all.

    Raises:
        ConfigError: there is nothing to sweep.
    """
    sweepable = [number for number, turn in enumerate(turns) if turn.mode != "ablate"]
    if not sweepable:
        raise ConfigError("nothing to sweep: give an intervention with a value (set, add or scale)")
    if swept is None:
        return 0 if len(turns) == 1 else None
    if swept not in sweepable:
        raise ConfigError(f"intervention {swept + 1} cannot be swept: it is not there, or has no value")
    return swept


def most_dose(model: MFNModel, turns: Turns, swept: int | None, ids: Sequence[int]) -> float:
    """How far a range goes by default.

    For `set` and `add` one and a half times the length |x| of the normalised stream that the layer reads, on the mean
    over the tokens of a text: a feature at v adds v D_j with |D_j| = 1, hence at |x| as much as all the rest. "The
    Eiffel Tower Llama" (Louapre 2025) found the best strengths near half of that length, over layers and features of
    Llama 3.1 8B, and few that are any good around it.

    Args:
        model: whose layer it is.
        turns, swept: as `check_swept` gives it.
        ids: the text, as token ids.
    """
    if swept is None or turns[swept].mode == "scale":
        return MOST_TIMES * (1.0 if swept is None else max(1.0, turns[swept].value))
    layer = turns[swept].layer
    with torch.no_grad():
        x = model(torch.tensor([list(ids)], device=model.device), record=True, logits_to_keep=1).traces[layer].x[0]
    rest = x[1:] if len(x) > 1 else x  # the first position holds what is massive and says nothing of the others
    return MOST_LENGTHS * float(rest.float().norm(dim=-1).mean())


def spread(most: float, n: int = SWEPT) -> tuple[float, ...]:
    """n doses from 0 to the greatest, evenly, as numbers that people read: three digits."""
    return tuple(float(f"{most * step / (n - 1):.3g}") for step in range(n))
