"""What a model predicts with something else in the place of the stream at one site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor

from mfn_core.coder import SparseCoder
from mfn_core.model import MFNModel


def logits_with(model: MFNModel, number: int, change: Callable[[Tensor], Tensor], ids: Tensor) -> Tensor:
    """Logits [B, T, V] with the stream h [B, T, d] at a code's site replaced by `change(h)`.

    Args:
        model: its other codes do what they always do.
        number: of the code's block.
        change: what goes on in place of the stream, and of what the code would make of it.
        ids: int64 [B, T].
    """
    coder = model.coders[number]
    coder.forward = change  # type: ignore[method-assign, assignment]
    try:
        logits: Tensor = model(ids).logits
    finally:
        del coder.forward
    return logits


@contextmanager
def spliced(model: MFNModel) -> Iterator[None]:
    """For as long as it is open, what a model's codes cannot rebuild does not pass: the stream at each site is what
    its code and decoder make of it, also where a code otherwise reads from outside."""
    for coder in model.coders.values():
        coder.forward = partial(rebuilt, coder)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for coder in model.coders.values():
            del coder.forward


def rebuilt(coder: SparseCoder, h: Tensor) -> Tensor:
    """[B, T, d]: what a code and its decoder make of the stream, without an error term, in the stream's own units."""
    codes, scale = coder.encode(h)
    shift = coder.normalise(h)[2]
    made = scale * coder.decode(codes) + (0.0 if shift is None else shift)
    return made.to(h.dtype)
