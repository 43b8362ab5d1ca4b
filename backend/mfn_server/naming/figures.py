"""From answers to figures: what the answers of a label, whoever read it, are worth.

Sources: Bills et al. 2023, *Language models can explain neurons in language models* (simulation); Paulo, Mallen, Juang,
Belrose 2024, *Automatically Interpreting Millions of Features in Large Language Models* (arXiv 2410.13928: detection,
fuzzing, embedding); Paulo and Belrose 2025, *Evaluating SAE interpretability without explanations* (arXiv 2507.08473:
intruder, there without a label; here the label says what the others have in common).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.naming.measures import Measured, auc, balanced_accuracy, correlation, share_right
from mfn_server.naming.held_out import HeldOut, Place
from mfn_server.naming.questions import Questions, span
from mfn_server.naming.scorers import CHANCE, IN_GROUP, NOT_READ

NO_MARKS = "fires in too few snippets that have silent tokens to mark"
NO_GROUPS = f"fires in fewer than {IN_GROUP - 1} snippets that lie apart"
RESAMPLES = 1_000


@dataclass(frozen=True)
class Figure:
    """What a label scores.

    Attributes:
        value: None where there is no figure; `why` says why.
        low, high: ends of its 95 % interval.
        n: how many answers it rests on.
        unread: how many of them could not be read. Each counts as chance.
        details: what else is known, as plain data. `told` are the answers of detection, one a snippet: 1 for yes, 0
            for no, ? for none; `true` what is so.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    unread: int = 0
    why: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, measured: Measured, n: int, unread: int = 0, **details: Any) -> Figure:
        """With its interval; not at all where no answer could be read."""
        if unread and unread == n:
            return cls(None, n=n, unread=unread, why=NOT_READ)
        low, high = (None if end is None else round(end, 6) for end in (measured.low, measured.high))
        return cls(round(measured.value, 6), low, high, n, unread, details=details)


def detection(asked: Questions, told: Sequence[bool | None]) -> Figure:
    """In which snippets does it fire? Balanced accuracy."""
    fires = asked.fires
    found = balanced_accuracy(fires, _credits(fires.tolist(), told))
    shown = "".join("?" if each is None else str(int(each)) for each in told)
    return Figure.of(found, len(told), told.count(None), told=shown, true="".join(str(int(so)) for so in fires))


def fuzzing(asked: Questions, told: Sequence[bool | None]) -> Figure:
    """Which marks stand where it fires? Balanced accuracy."""
    if not asked.marks:
        return Figure(None, why=NO_MARKS)
    so = [mark.fires for mark in asked.marks]
    return Figure.of(balanced_accuracy(so, _credits(so, told)), len(told), told.count(None))


def intruder(asked: Questions, credits: Sequence[float | None]) -> Figure:
    """Which of five does not belong? The share that was found; a guess among n that look alike is right once in n."""
    if not asked.groups:
        return Figure(None, why=NO_GROUPS)
    known = [CHANCE["intruder"] if credit is None else credit for credit in credits]
    return Figure.of(share_right(known), len(known), credits.count(None))


def embedding(asked: Questions, near: NDArray[np.float64]) -> Figure:
    """Are snippets in which it fires nearer to the label than the others? AUC of nearness [snippets]."""
    return Figure.of(auc(asked.fires, near), len(asked.snippets))


def simulation(
    held_out: HeldOut, asked: Questions, told: Sequence[NDArray[np.float64] | None], how: str, seed: int
) -> Figure:
    """Do the strengths that somebody expects follow the real ones? Correlation over the tokens of all snippets.

    Args:
        held_out: the text.
        asked: the questions.
        told: of each snippet the expected strength of each token, in any unit; None for an answer that could not be
            read, which counts as if nothing was expected.
        how: how they were told, which is kept with the figure.
        seed: of the interval.
    """
    real = [strengths_of(held_out, asked.place, n) for n in (span(held_out, window) for window, _ in asked.snippets)]
    given = [np.zeros(len(one)) if each is None else each for one, each in zip(real, told, strict=True)]
    return Figure.of(correlation(real, given, seed), len(told), sum(each is None for each in told), how=how)


def tokens(held_out: HeldOut, place: Place, expected: NDArray[np.int64], seed: int) -> Figure:
    """F1 of precision, and recall by activation, over all tokens of the text, with a bootstrap over documents."""
    firings, strengths = held_out.firings[place], held_out.strengths[place]
    met = np.isin(firings, expected, assume_unique=True)
    n = len(held_out.documents)

    def by_document(positions: NDArray[np.int64], weights: NDArray[Any] | None = None) -> NDArray[np.float64]:
        return np.bincount(held_out.document_of(positions), weights, n).astype(np.float64)

    sums = np.stack(
        [
            by_document(firings[met]),
            by_document(expected),
            by_document(firings[met], strengths[met]),
            by_document(firings, strengths),
        ],
        axis=1,
    )
    precision, recall, f1 = _fit(sums.sum(axis=0)[None])[0].tolist()
    low = high = None
    some = sums[sums.any(axis=1)]  # documents without a firing or an expected one change nothing
    if len(some) >= 3:
        drawn = np.random.default_rng(seed).integers(0, len(some), (RESAMPLES, len(some)))
        low, high = np.quantile(_fit(some[drawn].sum(axis=1))[:, 2], (0.025, 0.975)).tolist()
    details = {"precision": round(precision, 6), "recall": round(recall, 6), "expected": len(expected)}
    return Figure.of(Measured(f1, low, high), len(firings), **details)


def strengths_of(held_out: HeldOut, place: Place, ends: tuple[int, int]) -> NDArray[np.float64]:
    """How strongly a feature fires on each token of a span."""
    firings = held_out.firings[place]
    begin, end = np.searchsorted(firings, ends)
    found = np.zeros(ends[1] - ends[0])
    found[firings[begin:end] - ends[0]] = held_out.strengths[place][begin:end]
    return found


def _fit(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Precision, recall and F1 [·, 3] from [·, 4] sums: met, expected, activation met, activation."""
    met, expected, met_strength, strength = sums.T
    precision = np.divide(met, expected, out=np.zeros_like(met), where=expected > 0)
    recall = np.divide(met_strength, strength, out=np.zeros_like(met), where=strength > 0)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(met), where=both > 0)
    return np.stack([precision, recall, f1], axis=1)


def _credits(so: Sequence[bool], told: Sequence[bool | None]) -> list[float]:
    return [0.5 if said is None else float(said is fact) for fact, said in zip(so, map(_plain, told), strict=True)]


def _plain(said: bool | None) -> bool | None:
    return None if said is None else bool(said)
