"""Firings of a feature, as patterns are learned from them, out of the contexts that its page shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mfn_core.naming.patterns import Firings


def firings_of(page: Mapping[str, Any], first: Mapping[str, int], reach: int) -> Firings:
    """Every firing in a feature's contexts.

    One that was drawn fairly out of a band stands for as many of the band's contexts as were not drawn; a strongest
    context that was not drawn stands for itself. Contexts that say the same are one: they must not be learned from and
    tested on both.

    Args:
        page: fields of a `FeaturePage`.
        first: first token ids by how a token is shown (`Lexicon.first`).
        reach: how many tokens before a firing are kept.
    """
    known: dict[tuple[str, ...], int] = {}
    before, weights, strengths, contexts = [], [], [], []
    for context, weight in _contexts(page):
        tokens, values = context["tokens"], context["values"]
        ids = [first.get(token, -1) for token in tokens]
        number = known.setdefault(tuple(tokens), len(known))
        for place, value in enumerate(values):
            if value > 0:
                seen = ids[max(place - reach, 0) : place + 1][::-1]
                before.append(seen + [-1] * (reach + 1 - len(seen)))
                weights.append(weight)
                strengths.append(value)
                contexts.append(number)
    return Firings(
        np.array(before, np.int32).reshape(-1, reach + 1),
        np.array(weights, np.float64),
        np.array(strengths, np.float64),
        np.array(contexts, np.int64),
    )


def halves(firings: Firings) -> tuple[Firings, Firings]:
    """To learn from and to test on: every other context, so that both have strong ones and weak ones."""
    first = firings.context % 2 == 0
    return firings.only(first), firings.only(~first)


def _contexts(page: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], float]]:
    """Different contexts of a feature, the strongest first, each with how many it stands for."""
    drawn = {}
    for band in page["bands"]:
        for context in band["contexts"]:
            drawn[context["document"], context["start"]] = (context, band["count"] / len(band["contexts"]))
    for context in page["contexts"]:
        drawn.setdefault((context["document"], context["start"]), (context, 1.0))
    yield from sorted(drawn.values(), key=lambda each: -each[0]["peak_value"])
