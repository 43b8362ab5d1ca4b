"""Whether a short text has a concept, told from which tokens are in it: a judge that no feature has a part in.

A logistic probe on the bag of a window's tokens, whether each of them is in it or not, fitted on the half of the
labelled text in which detectors are chosen. How often a token occurs is left out, so that a text that says one word
again and again is judged by that one word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from mfn_core.evaluation.labelled import LabelledTokens
from mfn_core.evaluation.probes import auc

STRENGTH = 0.1  # C, the inverse of regularisation
FALSE_SHARE = 0.05  # of the windows that lack a concept, on the half not fitted on, at most so many are said to have it
FEWEST = 15  # windows with a concept, and without it, in either half


class Windows(NamedTuple):
    """Pieces of labelled texts, each of the length of what is to be judged.

    Attributes:
        bags: sparse float32 [n, V], 1 where a token is in a window.
        labels: int8 [n, C]: 1 where any token of a window is an instance of a concept, 0 where none is, −1 where that
            is unknown.
        scored: bool [n], whether its text is of the half on which nothing is fitted.
    """

    bags: Any
    labels: NDArray[np.int8]
    scored: NDArray[np.bool_]


@dataclass(frozen=True)
class TextProbe:
    """A probe of one concept.

    Attributes:
        weights: float64 [V], of each token; its intercept is part of the threshold.
        threshold: a text whose tokens' weights sum to more has the concept.
        auc: on windows of the half on which nothing was fitted.
    """

    weights: NDArray[np.float64]
    threshold: float
    auc: float

    def holds(self, text: Sequence[int]) -> bool:
        """Whether a text of token ids has the concept."""
        return float(self.weights[sorted(set(text))].sum()) > self.threshold


class TextProbes:
    """The probes of all concepts of some labelled texts, each fitted when it is first asked for."""

    def __init__(self, texts: Sequence[LabelledTokens], length: int, vocab_size: int) -> None:
        """Args: texts: of both halves. length: of what is to be judged, in tokens. vocab_size: V."""
        self._texts, self._length, self._vocab_size = texts, length, vocab_size
        self._found: dict[int, TextProbe | None] = {}

    def of(self, column: int) -> TextProbe | None:
        """That of the concept in a column of the labels; None where too few windows have it, or lack it."""
        if column not in self._found:
            self._found[column] = fit_text_probe(self._windows, column)
        return self._found[column]

    @cached_property
    def _windows(self) -> Windows:
        return windows(self._texts, self._length, self._vocab_size)


def windows(texts: Sequence[LabelledTokens], length: int, vocab_size: int) -> Windows:
    """Texts, at least one, cut into windows of so many tokens; a text's first token, and an end shorter than half of
    that, are left out."""
    columns: list[NDArray[np.int64]] = []
    labels, scored = [], []
    for text in texts:
        for at in range(1, len(text.ids) - length // 2 + 1, length):
            columns.append(np.unique(text.ids[at : at + length]))
            labels.append(text.labels[at : at + length].max(axis=0))
            scored.append(text.scored)
    starts = np.cumsum([0, *map(len, columns)], dtype=np.int32)  # scikit-learn refuses wider ones
    ids = np.concatenate(columns).astype(np.int32) if columns else np.zeros(0, np.int32)
    bags = sparse.csr_array((np.ones(len(ids), np.float32), ids, starts), shape=(len(columns), vocab_size))
    told = np.array(labels, np.int8).reshape(len(labels), texts[0].labels.shape[1])
    return Windows(bags, told, np.array(scored, np.bool_))


def fit_text_probe(found: Windows, column: int) -> TextProbe | None:
    """The probe of the concept in a column of the labels; None where too few windows have it, or lack it.

    A text has the concept where the probe takes that for the likelier, windows with and without it being as many, and
    takes it for likelier than in all but `FALSE_SHARE` of the windows that lack it.
    """
    own = found.labels[:, column]
    fit, score = ((own >= 0) & (found.scored == half) for half in (False, True))
    counts = [int((own[half] == label).sum()) for half in (fit, score) for label in (0, 1)]
    if min(counts) < FEWEST:
        return None
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", solver="liblinear", random_state=0)
    model.fit(found.bags[fit], own[fit] == 1)
    weights = np.asarray(model.coef_[0], dtype=np.float64)
    sums, has = found.bags[score] @ weights, own[score] == 1
    threshold = max(-float(model.intercept_[0]), float(np.quantile(sums[~has], 1 - FALSE_SHARE, method="higher")))
    return TextProbe(weights, threshold, auc(sums, has))
