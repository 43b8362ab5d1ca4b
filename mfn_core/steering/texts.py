"""What is written at a dose, as a model without interventions finds it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mfn_core.errors import ConfigError
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.slices import Slices
from mfn_core.steering.results import Texts
from mfn_core.writing import ReadBack, Writing, decoded, read_back_in_slices, write_in_slices

GRAM = 3  # tokens in a row that are looked for again


def write_texts_in_slices(
    model: MFNModel,
    prompts: Sequence[str],
    settings: Sequence[Sequence[Intervention]],
    writing: Writing,
    seeds: Sequence[int],
    features: Sequence[tuple[int, int]] = (),
) -> Slices[list[Texts]]:
    """Continues every prompt under every setting, all in one batch, the same noise for each prompt under all settings.

    Args:
        model: that writes under interventions, and reads without.
        prompts: repeated where a prompt is to be continued several times.
        settings: interventions.
        writing: how texts are written.
        seeds: of each prompt.
        features: whose firing is told.

    Returns:
        One a setting.
    """
    rows = [setting for setting in settings for _ in prompts]
    again = list(prompts) * len(settings)
    written = yield from write_in_slices(model, again, rows, writing, list(seeds) * len(settings))
    read = yield from read_back_in_slices(model, again, written, features)
    spelled = decoded(model, written)
    size = len(prompts)
    return [
        _texts(written[at : at + size], spelled[at : at + size], read, slice(at, at + size), bool(features))
        for at in range(0, len(rows), size)
    ]


def _texts(ids: list[list[int]], texts: list[str], read: ReadBack, part: slice, watched: bool) -> Texts:
    costs = [cost for text in read.nats[part] for cost in text.tolist()]
    perplexity = math.exp(min(sum(costs) / len(costs), 700.0)) if costs else None
    return Texts(
        tuple(map(tuple, ids)),
        tuple(texts),
        perplexity,
        sum(map(repetition, ids)) / len(ids),
        tuple(tuple(row.tolist()) for row in read.fired[part]) if watched else (),
    )


def check_room(model: MFNModel, prompts: Sequence[Sequence[int]], tokens: int) -> None:
    """Checks that continuations of so many tokens fit behind prompts.

    Raises:
        ConfigError: one does not.
    """
    longest = max(map(len, prompts))
    if longest + tokens > model.max_context:
        raise ConfigError(
            f"a prompt has {longest} tokens; with {tokens} new ones that is more than the model's context of "
            f"{model.max_context}"
        )


def repetition(ids: Sequence[int]) -> float:
    """The share of a text's runs of three tokens that it has had before; 0 for one too short to have any."""
    grams = [tuple(ids[at : at + GRAM]) for at in range(len(ids) - GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
