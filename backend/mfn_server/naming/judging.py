"""Who reads labels and answers questions about text by them: a program, a language model, an embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mfn_core.naming.executing import Executable, ReadText, read_label
from mfn_server.naming import figures
from mfn_server.naming.figures import Figure
from mfn_server.naming.held_out import HeldOut
from mfn_server.naming.questions import Questions, span
from mfn_server.naming.scorers import NOT_EXECUTABLE, Scorer
from mfn_server.naming.suggesting import spelled_out

_KEPT = 64  # labels whose expected positions are kept: each is asked by several scorers, and as a baseline of others


@dataclass(frozen=True)
class Wording:
    """What is judged. `explanation` is what a program wrote beside its words: its patterns, if it has some."""

    text: str
    explanation: Mapping[str, Any] = field(default_factory=dict, hash=False)


class Judge(Protocol):
    """Somebody who reads labels.

    Attributes:
        name: what is kept with every figure; empty for a program that takes labels at their word.
        scorers: what they can be asked for.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def scorers(self) -> Sequence[Scorer]:
        """See above."""
        ...

    def judge(self, scorer: Scorer, label: Wording, asked: Questions) -> Figure:
        """The figure of a label. Raises BudgetSpentError, ReaderError."""
        ...


class Carrier:
    """Carries labels out: looks in the text for whatever of them a program can look for."""

    name = ""
    scorers: Sequence[Scorer] = ("tokens", "detection", "fuzzing", "intruder", "simulation")

    def __init__(self, held_out: HeldOut, text: ReadText, seed: int) -> None:
        """`text` is the held-out text as labels are looked for in; `seed` that of intervals."""
        self._held_out, self._text, self._seed = held_out, text, seed
        self._expected = lru_cache(_KEPT)(self._look_for)

    def judge(self, scorer: Scorer, label: Wording, asked: Questions) -> Figure:
        """See `Judge`."""
        expected = self._expected(self._executable(label))
        if expected is None:
            return Figure(None, why=NOT_EXECUTABLE)
        held_out = self._held_out
        if scorer == "tokens":
            return figures.tokens(held_out, asked.place, expected, self._seed)
        if scorer == "fuzzing":
            right = [2 * int(np.isin(mark.positions, expected).sum()) >= len(mark.positions) for mark in asked.marks]
            return figures.fuzzing(asked, right)
        ends = [span(held_out, window) for window, _ in asked.snippets]
        counts = [int(np.subtract(*np.searchsorted(expected, end)[::-1])) for end in ends]
        if scorer == "detection":
            return figures.detection(asked, [count > 0 for count in counts])
        if scorer == "intruder":
            return figures.intruder(asked, [least_is([counts[n] for n in of], at) for of, at in asked.groups])
        if scorer == "simulation":
            told = [np.isin(np.arange(*end), expected).astype(np.float64) for end in ends]
            return figures.simulation(held_out, asked, told, "carried out: 1 where it is expected", self._seed)
        raise ValueError(f"a label that is carried out has no score by {scorer}")

    def _executable(self, label: Wording) -> Executable:
        """A suggestion's own patterns where it has some, else what its words say."""
        lexicon = self._text.tokens.lexicon
        patterns = spelled_out(label.explanation.get("patterns") or [], lexicon)
        return Executable(tuple(patterns)) if patterns else read_label(label.text, lexicon)

    def _look_for(self, label: Executable) -> NDArray[np.int64] | None:
        if not label:
            return None
        try:
            found = self._text.expected(label)
        except TimeoutError:
            return None
        # first tokens of documents count in nothing
        kept: NDArray[np.int64] = np.setdiff1d(found, self._held_out.offsets, assume_unique=True)
        return kept


def least_is(values: Sequence[float], at: int) -> float:
    """What whoever takes the least for the intruder is credited with: 1 over how many are that low, 0 if it is not."""
    least = min(values)
    return 1 / list(values).count(least) if values[at] == least else 0.0
