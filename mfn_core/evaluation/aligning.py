"""How far the layers of two models say the same of the same tokens, and how far random codes in their place do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfn_core.codes import SparseCodes
from mfn_core.evaluation.predictions.p3 import LEVELS, STRONG, Aligned
from mfn_core.evaluation.random_codes import RandomCodes
from mfn_core.evaluation.row_batches import row_batches
from mfn_core.metrics.alignment import Correlation, debiased_cka
from mfn_core.metrics.dictionaries import match
from mfn_core.model import MFNModel

CKA_TOKENS = 1024  # whose memory is its square
BEST = 10  # pairs of features of a layer that are told of

Progress = Callable[[int, int], None]


class Alignment(NamedTuple):
    """Of one pair of models, a layer each.

    Attributes:
        codes: of their own layers of features.
        random: of random codes on their streams; empty where none were asked for.
    """

    codes: list[Aligned]
    random: list[Aligned]


@torch.no_grad()
def align(
    models: tuple[MFNModel, MFNModel],
    pair: str,
    rows: Sequence[NDArray[np.int64]],
    random: tuple[int, int] | None = None,
    batch: int = 16,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> Alignment:
    """Reads the same tokens with two models and compares their codes, layer by layer.

    Args:
        models: with layers of features at the same places, and one vocabulary.
        pair: their names.
        rows: token ids; the first of each is left out.
        random: seeds of random codes on the streams of either, where these are to be compared, too.
        batch: rows in a forward pass.
        seed: of the tokens that CKA is taken on.
        progress: told how many rows have been read, and of how many.
    """
    total = sum(len(row) - 1 for row in rows)
    drawn = np.zeros(total, dtype=np.bool_)
    drawn[np.random.default_rng(seed).permutation(total)[:CKA_TOKENS]] = True
    sampled = torch.from_numpy(drawn)
    stands = None if random is None else [RandomCodes(model, own) for model, own in zip(models, random, strict=True)]
    pairs = {n: _Pair(*(model.coders[n].n_features for model in models)) for n in models[0].coders}
    randoms = {n: _Pair(*(model.coders[n].n_features for model in models)) for n in models[0].mfn_layers}
    at = 0
    for read, parts in _batches(models, rows, batch):
        size = parts[0][next(iter(pairs))].codes.n_tokens
        which = sampled[at : at + size]
        at += size
        for number, own in pairs.items():
            own.add(parts[0][number].codes, parts[1][number].codes, which)
            if stands is not None:
                first, second = (
                    stand.encode(number, part[number].x) for stand, part in zip(stands, parts, strict=True)
                )
                randoms[number].add(first, second, which)
        progress(read, len(rows))
    of_random = [] if stands is None else [own.result(pair, n) for n, own in randoms.items()]
    return Alignment([own.result(pair, n) for n, own in pairs.items()], of_random)


class _Read(NamedTuple):
    codes: SparseCodes
    x: Tensor


def _batches(
    models: Sequence[MFNModel], rows: Sequence[NDArray[np.int64]], batch: int
) -> Iterator[tuple[int, list[dict[int, _Read]]]]:
    """How many rows have been read, and what each model's layers make of those of a batch, token by token."""
    done = 0
    for numbers, ids, keep in row_batches(rows, batch, models[0].device):
        read = []
        for model in models:
            traces = model(ids, record=True, logits_to_keep=1).traces
            read.append({n: _Read(trace.codes[keep], trace.x[keep]) for n, trace in traces.items()})
        done += len(numbers)
        yield done, read


class _Pair:
    """One layer of two models, as its tokens come in: every other batch apart, so that features can be matched on one
    half and the matching scored on the other."""

    def __init__(self, first: int, second: int) -> None:
        self.halves = [Correlation(first, second), Correlation(first, second)]
        self.sample: tuple[list[SparseCodes], list[SparseCodes]] = ([], [])

    def add(self, first: SparseCodes, second: SparseCodes, sampled: Tensor) -> None:
        self.halves[len(self.sample[0]) % 2].add(first, second)
        for side, codes in zip(self.sample, (first, second), strict=True):
            side.append(codes[sampled.to(codes.indices.device)])

    def result(self, pair: str, layer: int) -> Aligned:
        whole = self.halves[0] + self.halves[1]
        found = match(whole.result())
        chosen = match(self.halves[0].result())
        scored = self.halves[1].result()[chosen.first, chosen.second]
        fires = [squares > 0 for squares in whole.squares]
        live = fires[0][found.first] & fires[1][found.second]
        best = found.similarity.argsort(descending=True)[:BEST].tolist()
        dense = [torch.cat([part.dense() for part in side]) for side in self.sample]
        return Aligned(
            pair,
            layer,
            found.mean,
            debiased_cka(*dense),
            float(scored.mean()) if self.halves[1].n else None,
            int(live.sum()),
            float((found.similarity >= STRONG).double().mean()),
            tuple(np.quantile(found.similarity.numpy(), LEVELS).tolist()),
            tuple((int(found.first[n]), int(found.second[n]), float(found.similarity[n])) for n in best),
        )
