"""Curves of a training run, out of its log: whatever numbers its lines have, by step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from mfn_core.training.metrics import read_metrics

LOG, CONFIG = "metrics.jsonl", "config.json"
MOST_POINTS = 400  # of one series


class Series(NamedTuple):
    """One line of a plot. `name`: the layer or part that it is of; empty where there is but one."""

    name: str
    steps: list[int]
    values: list[float]


def curves(folder: Path) -> dict[str, list[Series]]:
    """All series by what they are of, such as "fvu" with one for each layer.

    A key of the log that is a number names a series; all others, joined, what it is of: `valid`, `layers`, `3`, `fvu`
    is series 3 of "valid layers fvu". More than `MOST_POINTS` are thinned evenly; the last one stays.
    """
    found: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
    for line in read_metrics(folder / LOG):
        step = line.get("step") if isinstance(line, Mapping) else None
        if not isinstance(step, int):
            continue
        for key, value in _numbers(line, ()):
            steps, values = found.setdefault(key, ([], []))
            steps.append(step)
            values.append(value)
    by_name: dict[str, list[Series]] = {}
    for (name, part), (steps, values) in found.items():
        kept = _thinned(len(steps))
        by_name.setdefault(name, []).append(Series(part, [steps[i] for i in kept], [values[i] for i in kept]))
    return by_name


def _numbers(value: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, str], float]]:
    for key, each in value.items():
        path = (*above, str(key))
        if isinstance(each, Mapping):
            yield from _numbers(each, path)
        elif _is_number(each) and path != ("step",):
            name = " ".join(part for part in path if not part.isdecimal())
            yield (name, " ".join(part for part in path if part.isdecimal())), float(each)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _thinned(count: int) -> list[int]:
    if count <= MOST_POINTS:
        return list(range(count))
    places = [round(place * (count - 1) / (MOST_POINTS - 1)) for place in range(MOST_POINTS)]
    return [places[0], *(after for before, after in pairwise(places) if after != before)]
