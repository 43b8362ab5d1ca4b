"""Long work with a model, done in slices: between two of them the model is free for whoever else waits."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Slices = Generator[None, None, T]
"""Work that pauses after each slice and at last gives what came of it. While it pauses it holds no run of the model."""

SLICE = 256
"""Tokens that one slice has a model read, if not those of a single text are more."""


def finish(work: Slices[T]) -> T:
    """Does all of it at once."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: T = end.value
            return found


def at_once(tokens: int, least: int = 1) -> int:
    """How many texts of so many tokens a slice reads, at least `least`."""
    return max(least, SLICE // max(tokens, 1))
