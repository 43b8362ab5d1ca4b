"""What features do on ordinary text: how strongly each fires, and how well it tells text that passes a test from other.

Text is read in pieces as short as what the model is to write, and every piece is put to every test. So no labels are
needed: a piece is on a concept where the concept's own test says so.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mfn_core.model import MFNModel
from mfn_core.text_tests import TextTest

PIECE = 48  # tokens
ENOUGH = 60  # pieces of each concept that are kept, whatever else is left out
FEWEST = 5  # pieces on a concept, from which on features are ranked by it; firings, from which on a feature is live
QUANTILE = 0.95
BINS, MIDDLE, STEP = 400, 200, math.log(1.05)  # strengths are counted in steps of 5 %
BATCH = 64


@dataclass(frozen=True)
class Pieces:
    """Pieces of text, and which tests they pass.

    Attributes:
        ids: of each piece, at most `PIECE` tokens, none that begins a text.
        on: bool [pieces, tests].
    """

    ids: list[list[int]]
    on: Tensor


@dataclass(frozen=True)
class Habits:
    """What the F features of one layer do on text.

    Attributes:
        high: float [F], the strength below which 95 % of its firings lie; 0 for one that hardly fires.
        rate: float [F], share of tokens on which each fires.
        score: float [C, F], how much a feature stands for each concept; 0 where it does not, or nobody can say.
    """

    high: Tensor
    rate: Tensor
    score: Tensor

    @property
    def live(self) -> list[int]:
        """The features that fire often enough to be judged."""
        return [int(feature) for feature in (self.high > 0).nonzero().flatten()]

    def alike(self, feature: int, n: int) -> list[int]:
        """The n other live features that fire most nearly as often."""
        live = torch.tensor([other for other in self.live if other != feature], dtype=torch.int64)
        apart = (self.rate[live].log() - self.rate[feature].clamp(min=1e-12).log()).abs()
        return [int(other) for other in live[apart.argsort(stable=True)[:n]]]


def cut(model: MFNModel, texts: Iterable[str], tests: Sequence[TextTest], most: int, seed: int = 0) -> Pieces:
    """Texts in pieces: up to `most` at random, but of each concept `ENOUGH` where there are so many."""
    tokenizer, skip = model.required_tokenizer, int(model.bos_token_id is not None)
    whole = (model.encode_text(text)[skip:] for text in texts)
    pieces = [ids[at : at + PIECE] for ids in whole for at in range(0, max(1, len(ids) - PIECE // 2), PIECE)]
    random.Random(seed).shuffle(pieces)
    counts = torch.zeros(len(tests), dtype=torch.int64)
    kept: list[list[int]] = []
    rows: list[Tensor] = []
    for number, ids in enumerate(pieces):
        if not ids:
            continue
        text = str(tokenizer.decode(ids, skip_special_tokens=True))
        on = torch.tensor([test.holds(text) for test in tests], dtype=torch.bool)
        if number < most or bool((on & (counts < ENOUGH)).any()):
            counts += on
            kept.append(ids)
            rows.append(on)
    return Pieces(kept, torch.stack(rows) if rows else torch.zeros(0, len(tests), dtype=torch.bool))


def batches(model: MFNModel, ids: Sequence[Sequence[int]]) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Which pieces; int64 [B, T], each after the token that begins a text; bool [B, T], what is of the piece."""
    begin = [] if model.bos_token_id is None else [model.bos_token_id]
    for at in range(0, len(ids), BATCH):
        rows = ids[at : at + BATCH]
        longest = max(map(len, rows)) + len(begin)
        tokens = torch.zeros(len(rows), longest, dtype=torch.int64)
        keep = torch.zeros(len(rows), longest, dtype=torch.bool)
        for row, piece in enumerate(rows):
            tokens[row, : len(begin) + len(piece)] = torch.tensor([*begin, *piece])
            keep[row, len(begin) : len(begin) + len(piece)] = True
        yield slice(at, at + len(rows)), tokens.to(model.device), keep.to(model.device)


class _Sums:
    """What is added up over the pieces, of one layer. A feature's mean strength in a piece is its weight there."""

    def __init__(self, n_features: int, n_tests: int) -> None:
        self.on = torch.zeros(n_tests, n_features)
        self.all = torch.zeros(n_features)
        self.squares = torch.zeros(n_features)
        self.strengths = torch.zeros(n_features * BINS)

    def add(self, indices: Tensor, values: Tensor, keep: Tensor, on: Tensor) -> None:
        """Indices and values [B, T, K], keep [B, T], on [B, C]."""
        n_features = self.all.numel()
        values = torch.where(keep[..., None], values.float().clamp(min=0), 0.0)
        weight = values.new_zeros(len(on), n_features)
        weight.scatter_add_(1, indices.flatten(1), values.flatten(1)).div_(keep.sum(1, keepdim=True))
        self.on += on.float().T @ weight
        self.all += weight.sum(0)
        self.squares += weight.square().sum(0)
        fires = values > 0
        bins = (values[fires].log() / STEP).floor().long().add_(MIDDLE).clamp_(0, BINS - 1)
        self.strengths += torch.bincount(indices[fires] * BINS + bins, minlength=n_features * BINS)

    def habits(self, n_on: Tensor, n: int, tokens: int) -> Habits:
        """Of n pieces, n_on [C] of them on each concept."""
        counts = self.strengths.view(-1, BINS)
        fired = counts.sum(1)
        place = (counts.cumsum(1) >= QUANTILE * fired[:, None]).float().argmax(1)
        high = torch.where(fired >= FEWEST, torch.exp((place - MIDDLE + 0.5) * STEP), 0.0)
        inside = self.on / n_on[:, None].clamp(min=1)
        outside = (self.all - self.on) / (n - n_on)[:, None].clamp(min=1)
        spread = (self.squares / n - (self.all / n).square()).clamp(min=1e-12).sqrt()
        more = (inside - outside).clamp(min=0)
        # what it adds to the stream inside beyond outside, times how many spreads apart the two are (ours)
        score = torch.where(n_on[:, None] >= FEWEST, more * more / spread, 0.0)
        return Habits(high, fired / max(tokens, 1), score * (high > 0))


@torch.no_grad()
def read(model: MFNModel, pieces: Pieces, progress: Callable[[float], None] = lambda share: None) -> dict[int, Habits]:
    """The habits of every layer's features. `progress` is told which share of the pieces has been read."""
    sums = {layer: _Sums(coder.n_features, pieces.on.shape[1]) for layer, coder in model.coders.items()}
    for where, ids, keep in batches(model, pieces.ids):
        for layer, trace in model(ids, record=True, logits_to_keep=1).traces.items():
            codes = trace.codes
            sums[layer].add(codes.indices.cpu(), codes.values.cpu(), keep.cpu(), pieces.on[where])
        progress(where.stop / len(pieces.ids))
    n, tokens = len(pieces.ids), sum(map(len, pieces.ids))
    return {layer: each.habits(pieces.on.sum(0), n, tokens) for layer, each in sums.items()}
