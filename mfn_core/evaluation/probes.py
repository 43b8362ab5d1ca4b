"""Linear probes: how well a concept can be read from a representation, with few of its dimensions and with all.

A probe is fitted on one part of the units and scored on another, by the area under the ROC curve. Dimensions, and how
strongly a probe is regularised, are chosen within the part it is fitted on.

Source: Gurnee et al. 2023, *Finding Neurons in a Haystack* (arXiv 2305.01610), for k-sparse probes; Kantamneni et al.
2025 (arXiv 2502.16681), for probes on SAE codes against strong baselines.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import ThreadpoolController

Matrix: TypeAlias = sparse.csr_array | NDArray[np.float32]
Labels = NDArray[np.bool_]

STRENGTHS = (0.001, 0.03, 1.0)  # C, the inverse of regularisation, that are tried; units are standardised
CANDIDATES = 64  # dimensions among which the best single one, and a k-sparse probe's, are sought
INNER = 0.25  # share of the fitting part on which choices are judged

_threads = ThreadpoolController()


class Split(NamedTuple):
    """A representation of labelled units, in two parts.

    Attributes:
        fit_x, score_x: [n, D], dense or sparse by rows, of the units a probe is fitted and scored on.
        fit_y, score_y: bool [n], whether a unit is an instance of the concept.
        fit_text: int64 [n], which text a unit is of. Units of one text are alike: choices are judged on other texts.
    """

    fit_x: Matrix
    fit_y: Labels
    score_x: Matrix
    score_y: Labels
    fit_text: NDArray[np.int64]


@dataclass(frozen=True)
class ProbeScore:
    """A probe on the part it was not fitted on.

    Attributes:
        auc: area under the ROC curve; 0.5 for a guess.
        dimensions: int64, those it reads; all are meant where there are none.
    """

    auc: float
    dimensions: NDArray[np.int64]


def auc(scores: NDArray[Any], labels: Labels) -> float:
    """Area under the ROC curve: the chance that an instance scores above another unit, ties counting half.

    Raises:
        ValueError: all units have one label.
    """
    if labels.all() or not labels.any():
        raise ValueError("all units have one label: there is nothing to tell apart")
    return float(roc_auc_score(labels, scores))


def _aucs(columns: NDArray[np.float32], labels: Labels) -> NDArray[np.float64]:
    """`auc` of each column, [n, D] to float64 [D]: Mann and Whitney's U from ranks."""
    ranks = stats.rankdata(columns, axis=0)
    first = labels.sum()
    u = ranks[labels].sum(axis=0) - first * (first + 1) / 2
    return np.asarray(u / (first * (len(labels) - first)), dtype=np.float64)


def candidates(x: Matrix, y: Labels, most: int = CANDIDATES) -> NDArray[np.int64]:
    """Dimensions that tell the classes apart best, one by one: by |difference of means| over the pooled deviation."""
    first, second = _moments(x[y]), _moments(x[~y])
    pooled = (y.mean() * first[1] + (~y).mean() * second[1]) ** 0.5
    apart = np.abs(first[0] - second[0]) / np.maximum(pooled, 1e-9)
    apart[pooled == 0] = np.where(first[0] != second[0], np.inf, 0.0)[pooled == 0]
    order = np.argsort(-apart, kind="stable")
    return order[:most].astype(np.int64)


def single(split: Split) -> ProbeScore:
    """The best single dimension, its sign included: chosen by AUC on the fitting part among `candidates`."""
    tried = candidates(split.fit_x, split.fit_y)
    found = _aucs(_dense(split.fit_x[:, tried]), split.fit_y)
    best = int(np.abs(found - 0.5).argmax())
    sign = 1.0 if found[best] >= 0.5 else -1.0
    dimension = tried[best : best + 1]
    return ProbeScore(auc(sign * _dense(split.score_x[:, dimension])[:, 0], split.score_y), dimension)


def k_sparse(split: Split, k: int, seed: int = 0) -> ProbeScore:
    """A logistic probe on k dimensions.

    They are those of the greatest weight, by magnitude in units of a dimension's deviation, in a probe on all
    `candidates`; the probe is then fitted anew on them alone. k = 1 is `single`.
    """
    return k_sparse_each(split, (k,), seed)[k]


def k_sparse_each(split: Split, ks: Sequence[int], seed: int = 0) -> dict[int, ProbeScore]:
    """`k_sparse` for each k, of which all but 1 share one probe on all candidates."""
    found = {k: single(split) for k in ks if k == 1}
    more = [k for k in ks if k > 1]
    if not more:
        return found
    tried = candidates(split.fit_x, split.fit_y, max(CANDIDATES, *more))
    values = _dense(split.fit_x[:, tried])
    first = _fitted(values, split, seed)
    order = np.argsort(-np.abs(first.weights), kind="stable")
    for k in more:
        kept = np.sort(order[:k])
        probe = first if k >= len(tried) else _fitted(values[:, kept], split, seed)
        found[k] = ProbeScore(auc(probe(_dense(split.score_x[:, tried[kept]])), split.score_y), tried[kept])
    return found


def full(split: Split, seed: int = 0) -> ProbeScore:
    """A logistic probe on all dimensions."""
    probe = _fitted(split.fit_x, split, seed)
    return ProbeScore(auc(probe(split.score_x), split.score_y), np.zeros(0, np.int64))


class _Probe(NamedTuple):
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]  # in standard units
    intercept: float

    def __call__(self, x: Matrix) -> NDArray[np.float64]:
        return np.asarray(x @ (self.weights / self.scale) + self.intercept, dtype=np.float64)


def _fitted(x: Matrix, split: Split, seed: int) -> _Probe:
    """A probe on x, columns of `split.fit_x`, of the strength that does best on a held-back share of the texts; then
    fitted on all.

    Columns are divided by their deviation, not centred, so that sparse ones stay sparse.
    """
    y = split.fit_y
    scale = np.maximum(_moments(x)[1] ** 0.5, 1e-6)
    unit: Any = x / scale if isinstance(x, np.ndarray) else (x @ sparse.diags_array(1 / scale)).tocsr()
    held = held_back(split, seed)
    best = STRENGTHS[0]
    if held is not None:
        judged = [auc(_logistic(unit[~held], y[~held], c)(unit[held]), y[held]) for c in STRENGTHS]
        best = STRENGTHS[int(np.argmax(judged))]
    probe = _logistic(unit, y, best)
    return _Probe(scale, probe.weights, probe.intercept)


def held_back(split: Split, seed: int) -> Labels | None:
    """bool [n]: the units of a quarter of the texts that have an instance, and of the others; None where either part
    would lack a class."""
    rng = np.random.default_rng(seed)
    telling = np.unique(split.fit_text[split.fit_y])
    silent = np.setdiff1d(split.fit_text, telling)
    drawn = [rng.permutation(texts)[: max(1, round(INNER * len(texts)))] for texts in (telling, silent)]
    held = np.isin(split.fit_text, np.concatenate(drawn))
    for part in (split.fit_y[held], split.fit_y[~held]):
        if part.all() or not part.any():
            return None
    return held


def _logistic(x: Any, y: Labels, strength: float) -> _Probe:
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=200)
    # one thread: these problems are small, and where cores are busy BLAS' threads wait for one another most of the time
    with warnings.catch_warnings(), _threads.limit(limits=1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the order of scores is settled long before
        model.fit(x, y)
    return _Probe(np.ones(x.shape[1]), model.coef_[0], float(model.intercept_[0]))


def _moments(x: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each column, float64."""
    n = max(1, x.shape[0])
    if isinstance(x, np.ndarray):
        values = x.astype(np.float64)
        return values.mean(0) if len(x) else np.zeros(x.shape[1]), values.var(0) if len(x) else np.zeros(x.shape[1])
    values = x.astype(np.float64)
    mean = np.asarray(values.sum(axis=0)).ravel() / n
    square = np.asarray(values.multiply(values).sum(axis=0)).ravel() / n
    return mean, np.maximum(square - mean**2, 0.0)


def _dense(x: Any) -> NDArray[np.float32]:
    return np.asarray(x.toarray() if sparse.issparse(x) else x, dtype=np.float32)
