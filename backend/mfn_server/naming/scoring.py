"""How well a label, taken at its word, tells where its feature fires in text that nobody saw who wrote it.

Three figures. *Tokens*: precision, and recall by activation, over all tokens. *Detection*: of snippets in some of which
the feature fires, which ones does the label tell right? *Fuzzing*: of snippets in which it fires, with those tokens
marked or as many others, which ones does it? Half is chance for the last two (balanced accuracy).

Source: Paulo, Mallen, Juang, Belrose 2024, *Automatically Interpreting Millions of Features in Large Language Models*
(arXiv 2410.13928), where a language model reads the label; here the label is carried out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.naming.patterns import Fit
from mfn_server.naming.held_out import HeldOut, Place, Window, draw_snippets


@dataclass(frozen=True)
class Questions:
    """What labels of one feature are asked: the same of all of them.

    Attributes:
        snippets: windows, each with whether the feature fires in it.
        marks: windows with marked positions (of the whole text, ascending) and whether it fires on these; there are
            both, or none at all.
    """

    snippets: Sequence[tuple[Window, bool]]
    marks: Sequence[tuple[Window, NDArray[np.int64], bool]]


@dataclass(frozen=True)
class Score:
    """What a label scores.

    Attributes:
        fit: over all tokens; None where a language model has read the label, which sees snippets alone.
        detection: balanced accuracy on snippets.
        fuzzing: balanced accuracy on marks; None where too few snippets with a firing have silent tokens to mark.
        snippets: how many both rest on.
    """

    fit: Fit | None
    detection: float
    fuzzing: float | None
    snippets: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "precision": None if self.fit is None else round(self.fit.precision, 4),
            "recall": None if self.fit is None else round(self.fit.recall, 4),
            "f1": None if self.fit is None else round(self.fit.f1, 4),
            "detection": round(self.detection, 4),
            "fuzzing": None if self.fuzzing is None else round(self.fuzzing, 4),
            "snippets": self.snippets,
        }


def questions_of(held_out: HeldOut, place: Place, seed: int) -> Questions | str:
    """What is asked about a feature; or why nothing is. It depends on text, feature and seed alone."""
    if place not in held_out.firings:
        return "never fires in this text"
    snippets = draw_snippets(held_out, place, seed)
    if isinstance(snippets, str):
        return snippets
    return Questions(snippets, _marks(held_out, place, [window for window, firing in snippets if firing], seed))


def score(held_out: HeldOut, place: Place, expected: NDArray[np.int64], seed: int) -> Score | str:
    """The score of a label that was carried out; or why there is none.

    Args:
        held_out: text that was read by the model.
        place: the feature.
        expected: positions at which its label expects it, ascending.
        seed: of the questions.
    """
    asked = questions_of(held_out, place, seed)
    if isinstance(asked, str):
        return asked
    expected = np.setdiff1d(expected, held_out.offsets, assume_unique=True)  # first tokens count in nothing
    told = [_holds(expected, *_span(held_out, window)) for window, _ in asked.snippets]
    right = [2 * int(np.isin(marked, expected).sum()) >= len(marked) for _, marked, _ in asked.marks]
    return score_of(asked, told, right, fit(held_out, place, expected))


def score_of(asked: Questions, told: Sequence[bool], right: Sequence[bool], found: Fit | None) -> Score:
    """The score for answers: in which snippets it fires, and which marks are right."""
    detection = balanced_accuracy([fires for _, fires in asked.snippets], told)
    fuzzing = balanced_accuracy([true for *_, true in asked.marks], right) if asked.marks else None
    return Score(found, detection, fuzzing, len(asked.snippets))


def fit(held_out: HeldOut, place: Place, expected: NDArray[np.int64]) -> Fit:
    """Precision, and recall by activation, over all tokens."""
    firings, strengths = held_out.firings[place], held_out.strengths[place]
    met = np.isin(firings, expected, assume_unique=True)
    precision = float(met.sum()) / len(expected) if len(expected) else 0.0
    return Fit(precision, float(strengths[met].sum() / strengths.sum()))


def balanced_accuracy(true: Sequence[bool], said: Sequence[bool]) -> float:
    """The mean of two shares: of what is so, and of what is not, that was told right. Both must occur."""
    so = [answer for fact, answer in zip(true, said, strict=True) if fact]
    not_so = [not answer for fact, answer in zip(true, said, strict=True) if not fact]
    return (sum(so) / len(so) + sum(not_so) / len(not_so)) / 2


def _span(held_out: HeldOut, window: Window) -> tuple[int, int]:
    begin = int(held_out.offsets[window.document])
    return begin + window.start, begin + window.stop


def _holds(positions: NDArray[np.int64], begin: int, end: int) -> bool:
    return bool(np.searchsorted(positions, begin) < np.searchsorted(positions, end))


def _marks(
    held_out: HeldOut, place: Place, windows: Sequence[Window], seed: int
) -> list[tuple[Window, NDArray[np.int64], bool]]:
    """See `Questions`. In every other window as many silent positions as the feature fires on are marked instead."""
    generator = np.random.default_rng([seed, *place, 1])
    firings = held_out.firings[place]
    found = []
    for turn, number in enumerate(generator.permutation(len(windows)).tolist()):
        begin, end = _span(held_out, windows[number])
        true = firings[(firings >= begin) & (firings < end)]
        if turn % 2 == 0:
            found.append((windows[number], true, True))
            continue
        silent = np.setdiff1d(np.arange(begin, end), true)
        if len(silent):
            marked = np.sort(generator.choice(silent, min(len(true), len(silent)), replace=False))
            found.append((windows[number], marked, False))
    return found if {true for *_, true in found} == {True, False} else []
