"""How a study of toy models is done: piece by piece, each kept as it is done, with word of how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from mfn_core.evidence.document import Check

Once = Callable[[str, Callable[[], Any]], Any]
"""Gives what was kept under a key, or computes and keeps it: `mfn_core.evaluation.journal.Journal.once`."""
Tell = Callable[[str, float | None], None]
"""Is told what is being done, and which share of all is."""
Progress = Callable[[int, int], None]
"""Is told how many steps of how many are done."""

DIGITS = 4  # of numbers that are kept: what figures can show


class Work:
    """The pieces of one study."""

    def __init__(self, once: Once, tell: Tell, pieces: int) -> None:
        """
        Args:
            once: where pieces are kept.
            tell: hears how far the study is.
            pieces: how many there will be.
        """
        self._once, self._tell, self._pieces = once, tell, pieces
        self._done = 0

    def piece(self, key: str, what: str, compute: Callable[[Progress], Any]) -> Any:
        """What `compute` gives, as plain data; from where it was kept, if it was.

        Args:
            key: unlike that of any other piece of the study.
            what: is being done, in words.
            compute: is told whom to tell of its steps.
        """

        def progress(step: int, steps: int) -> None:
            self._tell(what, (self._done + step / steps) / self._pieces)

        self._tell(what, self._done / self._pieces)
        found = self._once(key, lambda: compute(progress))
        self._done += 1
        return found


def plain(values: Tensor) -> Any:
    """Nested lists, rounded to `DIGITS`."""
    return [_rounded(value) for value in values.tolist()]


def _rounded(value: Any) -> Any:
    return [_rounded(each) for each in value] if isinstance(value, list) else round(float(value), DIGITS)


def check(claim: str, true: bool, found: str) -> Check:
    """A claim that the numbers bear out, or not."""
    return Check(claim, "holds" if true else "fails", found)
