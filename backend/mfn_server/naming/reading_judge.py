"""A language model that reads labels, and says by them where features fire."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mfn_server.naming import figures
from mfn_server.naming.asking import (
    INTRUDER_SYSTEM,
    LIST_TOKENS,
    MARK_SYSTEM,
    NUMBER_TOKENS,
    SIMULATE_SYSTEM,
    TELL_SYSTEM,
    TOKENS_A_LINE,
    enumerated,
    numbered,
    read_list,
    read_number,
    read_strengths,
)
from mfn_server.naming.figures import Figure
from mfn_server.naming.held_out import HeldOut, Window
from mfn_server.naming.judging import Wording
from mfn_server.naming.questions import Questions, span
from mfn_server.naming.reader import Purse
from mfn_server.naming.scorers import Scorer

AT_ONCE = 10
"""Snippets in one question: with more of them models lose count."""

LOGPROBS = 20


class ReadingJudge:
    """Asks a language model. What it answered is in the figures; an answer that cannot be read is counted."""

    scorers: Sequence[Scorer] = ("detection", "fuzzing", "intruder", "simulation")

    def __init__(self, held_out: HeldOut, token_texts: Sequence[str], purse: Purse, seed: int) -> None:
        self._held_out, self._texts, self._purse, self._seed = held_out, token_texts, purse, seed

    @property
    def name(self) -> str:
        """The model's."""
        return self._purse.name

    def judge(self, scorer: Scorer, label: Wording, asked: Questions) -> Figure:
        """See `Judge`."""
        if scorer == "detection":
            shown = [self._shown(window) for window, _ in asked.snippets]
            return figures.detection(asked, self._told(TELL_SYSTEM, label.text, shown))
        if scorer == "fuzzing":
            shown = [self._shown(mark.window, set(mark.positions.tolist())) for mark in asked.marks]
            return figures.fuzzing(asked, self._told(MARK_SYSTEM, label.text, shown))
        if scorer == "intruder":
            return figures.intruder(asked, [self._found(label.text, asked, at) for at in range(len(asked.groups))])
        if scorer == "simulation":
            found = [self._simulated(label.text, window) for window, _ in asked.snippets]
            by = "log-probabilities" if any(sure for _, sure in found) else "numbers"
            return figures.simulation(self._held_out, asked, [told for told, _ in found], by, self._seed)
        raise ValueError(f"a language model has no score by {scorer}")

    def _told(self, system: str, label: str, snippets: Sequence[str]) -> list[bool | None]:
        """Of each snippet yes or no, or None where the answer to its question could not be read."""
        told: list[bool | None] = []
        for begin in range(0, len(snippets), AT_ONCE):
            part = snippets[begin : begin + AT_ONCE]
            said = read_list(self._purse.ask(system, numbered(label, part), LIST_TOKENS).text, len(part))
            told += [None if said is None else n in said for n in range(1, len(part) + 1)]
        return told

    def _found(self, label: str, asked: Questions, at: int) -> float | None:
        group = asked.groups[at]
        shown = [self._shown(asked.snippets[n][0]) for n in group.snippets]
        said = read_number(self._purse.ask(INTRUDER_SYSTEM, numbered(label, shown), NUMBER_TOKENS).text, len(shown))
        return None if said is None else float(said - 1 == group.intruder)

    def _simulated(self, label: str, window: Window) -> tuple[NDArray[np.float64] | None, bool]:
        """Of each token a strength from 0 to 10, and whether it is an expectation over what could have been said."""
        pieces = [_visible(self._texts[number]) for number in self._held_out.tokens(window).tolist()]
        most = TOKENS_A_LINE * len(pieces)
        answer = self._purse.ask(SIMULATE_SYSTEM, enumerated(label, pieces), most, logprobs=LOGPROBS)
        return read_strengths(answer, len(pieces))

    def _shown(self, window: Window, marked: set[int] | None = None) -> str:
        begin, _ = span(self._held_out, window)
        pieces = [self._texts[number] for number in self._held_out.tokens(window).tolist()]
        return _visible("".join(f"«{p}»" if begin + n in (marked or ()) else p for n, p in enumerate(pieces)))


def _visible(text: str) -> str:
    return text.replace("\n", "↵").replace("\r", "↵").replace("\t", "⇥")
