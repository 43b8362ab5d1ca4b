"""What models hold of labelled units: the codes and the streams of all layers, as matrices that probes read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from mfn_core.codes import SparseCodes
from mfn_core.evaluation.labelled import LabelledTokens, padded
from mfn_core.model import MFNModel

MOST_OF_CLASS = 1000  # units of a concept, and as many others, in either half; what is more is left out by lot

Progress = Callable[[int, int], None]


class Sample(NamedTuple):
    """The units that are read, in order.

    Attributes:
        text: int64 [n], number of the text a unit is of, or is.
        position: int64 [n], of a token in its text; −1 for the text as a whole.
        labels: int8 [n, C], 1, 0 or −1 as in `LabelledTokens`.
        scored: bool [n], in which half.
    """

    text: NDArray[np.int64]
    position: NDArray[np.int64]
    labels: NDArray[np.int8]
    scored: NDArray[np.bool_]

    def lot(self, column: int, most: int = MOST_OF_CLASS, rng: np.random.Generator | int = 0) -> NDArray[np.bool_]:
        """bool [n]: of either half up to `most` instances of a concept, and as many others, drawn by lot."""
        rng = np.random.default_rng(rng)
        taken = np.zeros(len(self.text), dtype=np.bool_)
        for half in (False, True):
            for label in (1, 0):
                own = np.flatnonzero((self.labels[:, column] == label) & (self.scored == half))
                taken[rng.permutation(own)[:most]] = True
        return taken


class Representation(NamedTuple):
    """One layer's account of a sample.

    Attributes:
        codes: [n, F], strengths; of a text, their mean over its tokens.
        stream: float32 [n, d], in normalised units, as the code reads it; of a text, its mean.
    """

    codes: sparse.csr_array
    stream: NDArray[np.float32]


def draw(
    texts: Sequence[LabelledTokens], of_texts: Sequence[bool], most: int = MOST_OF_CLASS, seed: int = 0
) -> dict[bool, Sample]:
    """Which units are read: for each concept and half, up to `most` instances and as many others of which it is known.

    Args:
        texts: of both halves.
        of_texts: for each concept, a column of the labels, whether whole texts are its units; else tokens are.
        most: of instances, and of others.
        seed: of the lot.

    Returns:
        By unit, True for texts. The labels of concepts that are counted in the other unit are −1.
    """
    rng = np.random.default_rng(seed)
    found: dict[bool, Sample] = {}
    for whole in sorted(set(of_texts)):
        columns = [c for c, own in enumerate(of_texts) if own == whole]
        everything = _units(texts, whole, columns)
        taken = np.zeros(len(everything.text), dtype=np.bool_)
        for column in columns:
            taken |= everything.lot(column, most, rng)
        text, position, labels, scored = everything
        found[whole] = Sample(text[taken], position[taken], labels[taken], scored[taken])
    return found


def _units(texts: Sequence[LabelledTokens], whole: bool, columns: Sequence[int]) -> Sample:
    numbers, positions, labels, scored = [], [], [], []
    for number, text in enumerate(texts):
        told = np.full_like(text.labels[1:], -1)
        told[:, list(columns)] = text.labels[1:, list(columns)]
        if whole:
            told = told.max(axis=0, keepdims=True, initial=-1)
        numbers.append(np.full(len(told), number, dtype=np.int64))
        positions.append(np.full(1, -1) if whole else np.arange(1, len(text.ids)))
        labels.append(told)
        scored.append(np.full(len(told), text.scored))
    join = np.concatenate
    return Sample(join(numbers), join(positions), join(labels), join(scored))


@torch.no_grad()
def represent(
    model: MFNModel,
    texts: Sequence[LabelledTokens],
    samples: Mapping[bool, Sample],
    batch: int = 16,
    progress: Progress = lambda done, total: None,
) -> dict[bool, dict[int, Representation]]:
    """Reads the units of samples, all layers at once.

    Args:
        model: with layers of features of any kind.
        texts: those that the samples were drawn from.
        samples: by unit, True for texts, as `draw` gives them.
        batch: texts in a forward pass.
        progress: told how many texts have been read, and of how many.

    Returns:
        By unit and layer; rows in the order of the sample.
    """
    wanted = sorted({int(n) for sample in samples.values() for n in sample.text}, key=lambda n: len(texts[n].ids))
    rows = {
        whole: {(int(t), int(p)): row for row, (t, p) in enumerate(zip(sample.text, sample.position, strict=True))}
        for whole, sample in samples.items()
    }
    places: dict[int, list[tuple[int, int]]] = {}
    for text, position in rows.get(False, {}):
        places.setdefault(text, []).append((position, rows[False][text, position]))
    parts = {whole: {n: _Parts(len(sample.text)) for n in model.coders} for whole, sample in samples.items()}
    for at in range(0, len(wanted), batch):
        numbers = wanted[at : at + batch]
        (part,) = padded([texts[n] for n in numbers], batch, model.device)  # of one length each: the order stays
        traces = model(part.ids, record=True, logits_to_keep=1).traces
        for layer, trace in traces.items():
            assert trace.x is not None
            for i, number in enumerate(numbers):
                codes = trace.codes[i]
                if True in rows and (number, -1) in rows[True]:
                    keep = part.keep[i]
                    parts[True][layer].add_mean(rows[True][number, -1], codes, trace.x[i], keep)
                if own := places.get(number):
                    at_positions, at_rows = (list(each) for each in zip(*own, strict=True))
                    parts[False][layer].add(at_rows, codes, trace.x[i], at_positions)
        progress(min(at + batch, len(wanted)), len(wanted))
    features = {n: coder.n_features for n, coder in model.coders.items()}
    return {whole: {n: own.result(features[n]) for n, own in layers.items()} for whole, layers in parts.items()}


class _Parts:
    """What one layer holds of a sample, as it comes in."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.rows: list[NDArray[np.int64]] = []
        self.columns: list[NDArray[np.int64]] = []
        self.values: list[NDArray[np.float32]] = []
        self.stream: NDArray[np.float32] | None = None

    def add(self, rows: list[int], codes: SparseCodes, x: Tensor, positions: list[int]) -> None:
        indices, values = codes.indices[positions], codes.values[positions].float()
        row, entry = (values != 0).nonzero(as_tuple=True)
        self._put(np.asarray(rows)[row.cpu().numpy()], indices[row, entry], values[row, entry])
        self._stream(rows, x[positions].float())

    def add_mean(self, row: int, codes: SparseCodes, x: Tensor, keep: Tensor) -> None:
        fired = codes.fires & keep[:, None]
        features, which = torch.unique(codes.indices[fired], return_inverse=True)
        total = torch.zeros(len(features), device=x.device).index_add_(0, which, codes.values[fired].float())
        self._put(np.full(len(features), row), features, total / keep.sum())
        self._stream([row], x[keep].float().mean(0, keepdim=True))

    def _put(self, rows: NDArray[np.int64], columns: Tensor, values: Tensor) -> None:
        self.rows.append(rows)
        self.columns.append(columns.cpu().numpy())
        self.values.append(values.cpu().numpy())

    def _stream(self, rows: list[int], x: Tensor) -> None:
        if self.stream is None:
            self.stream = np.zeros((self.n, x.shape[1]), dtype=np.float32)
        self.stream[rows] = x.cpu().numpy()

    def result(self, n_features: int) -> Representation:
        assert self.stream is not None
        # scikit-learn takes 32-bit places alone
        place = np.concatenate(self.rows).astype(np.int32), np.concatenate(self.columns).astype(np.int32)
        codes = sparse.csr_array((np.concatenate(self.values), place), shape=(self.n, n_features))
        return Representation(codes, self.stream)
