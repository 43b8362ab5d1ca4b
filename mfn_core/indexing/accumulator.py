"""What is known of one layer's features after some part of a corpus: a state that grows and merges.

A state is a function of the set of windows it has seen. Neither their order, nor how they were cut into batches or
shards, changes a bit of it: counts and maxima are exact, means are sums of fixed-point numbers, and what is kept of
contexts is the smallest few under a total order.

Method: a batch's firings, which come token by token, are sorted stably by feature, so that they lie by feature, window
and position. One run is then a context; its firings are a slice; all else is arithmetic on runs. Nothing has the size
tokens × F.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.errors import MFNError
from mfn_core.indexing.arrays import mix, ragged, run_lengths, run_starts, small, stable_argsort
from mfn_core.indexing.exact import SquareSums, fixed
from mfn_core.indexing.grid import LogGrid
from mfn_core.indexing.ladder import TokenLadder
from mfn_core.indexing.pairs import HALVES
from mfn_core.indexing.rows import BestRows, Rows, place_of
from mfn_core.indexing.token_r2 import half_of
from mfn_core.indexing.token_sample import SampledTokens, TokenSample
from mfn_core.indexing.types import IndexSettings

COUNTS = ("firing_count", "total", "maximum", "histogram", "band_histogram")
"""What is counted of each feature, by attribute of `LayerAccumulator`."""

MOST_NARROW = 2**32 - 1
"""What a histogram can hold in 32 bits."""

UNSOUND = "the model's codes hold negative or non-finite values, which cannot be indexed"


@dataclass(frozen=True)
class WindowBatch:
    """Where a batch of windows lies in the corpus. W windows of L tokens.

    Attributes:
        document: int64 [W], ordinals.
        start: int64 [W], each window's first token in its document.
        tokens: int64 [W, L], token ids; anything where not counted.
        following: int64 [W, L], the token id after each one in its document, `NO_TOKEN` after the last; anything where
            not counted.
        counted: bool [W, L], False for padding and for the first position of a document.
    """

    document: NDArray[np.int64]
    start: NDArray[np.int64]
    tokens: NDArray[np.int64]
    following: NDArray[np.int64]
    counted: NDArray[np.bool_]

    def places(self) -> NDArray[np.uint64]:
        """uint64 [W · L]: the place of each token."""
        return place_of(self.document[:, None], self.start[:, None] + np.arange(self.counted.shape[1])).reshape(-1)


class LayerAccumulator:
    """The state of one layer.

    Attributes:
        firing_count, total, maximum: int64, int64 (in 1 / SUM_SCALE) and float32 [F].
        histogram: uint32 [F, H], firings by strength; int64 once a feature has fired 2³² times.
        band_histogram: [F, band_bins], contexts by peak; of the same type.
        top: the strongest contexts of each feature (group = feature).
        sample: of each feature and fine bin the contexts with the smallest hash (group = feature × band_bins + bin).
        tokens: how often, and how strongly, it fires on which token, in each half of the corpus.
        squares: Σ z² of each feature in each half (group = (level × halves + half) × F + feature).
        drawn: a sample of tokens with what fires on them.
        feature_hash: uint64 [F], a hash of each feature's number.
    """

    def __init__(self, n_features: int, vocab_size: int, settings: IndexSettings) -> None:
        self.n_features = n_features
        self.vocab_size = vocab_size
        self.settings = settings
        self.grid = LogGrid(settings.hist_bins, settings.low, settings.high)
        self.band_grid = LogGrid(settings.band_bins, settings.low, settings.high)
        self.firing_count = np.zeros(n_features, np.int64)
        self.total = np.zeros(n_features, np.int64)
        self.maximum = np.zeros(n_features, np.float32)
        self.histogram: NDArray[Any] = np.zeros((n_features, settings.hist_bins), np.uint32)
        self.band_histogram: NDArray[Any] = np.zeros((n_features, settings.band_bins), np.uint32)
        self.top = BestRows(settings.n_top, n_features)
        self.sample = BestRows(settings.per_band, n_features, settings.band_bins, coarse=True)
        self.tokens = TokenLadder(n_features, vocab_size, settings.max_token_pairs)
        self.squares = SquareSums(self.tokens.n_rungs * HALVES * n_features)
        self.drawn = TokenSample(settings.max_sample_firings)
        self.feature_hash = mix(np.arange(n_features, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15))

    def add(self, batch: WindowBatch, indices: NDArray[np.int64], values: NDArray[np.floating[Any]]) -> None:
        """Takes in the codes of a batch of windows, none of which it has seen before.

        Args:
            batch: where they lie.
            indices: [W, L, K] feature ids, each at most once a token; meaningless where the value is 0.
            values: [W, L, K], 0 or above; taken as float32.

        Raises:
            MFNError: a value is negative or not finite.
        """
        length, width = values.shape[1:]
        strength = np.ascontiguousarray(values, dtype=np.float32)
        lowest = strength.min(initial=0.0)
        if not (lowest >= 0.0 and np.isfinite(strength.max(initial=0.0))):
            raise MFNError(UNSOUND)
        fires = (strength > 0) & batch.counted[..., None]
        features = small(indices, self.n_features)
        np.putmask(features, ~fires, self.n_features)  # what is silent sorts behind all that fires
        self._draw(batch, features)
        slots = _by_feature(features.reshape(-1), self.n_features, int(np.count_nonzero(fires)))
        if not len(slots):
            return
        half = half_of(batch.document)
        level = self.tokens.levels(batch.places())
        self._tally(batch, half, level, features, strength)

        feature = features.reshape(-1).take(slots).astype(np.int64)
        strength = strength.reshape(-1).take(slots)
        token = slots // width
        window = token // length
        self._count(feature, strength)
        group = half.take(window) if level is None else half.take(window) + level.take(token) * HALVES
        self.squares.add(group * self.n_features + feature, strength)
        contexts = _ContextRuns.of(feature, window, strength)
        _count_in(self.band_histogram, self._cell(contexts))
        self._keep(batch, contexts, token - window * length, strength)

    def offer(
        self, batch: WindowBatch, feature: NDArray[np.int64], token: NDArray[np.int64], strength: NDArray[np.float32]
    ) -> None:
        """Keeps of contexts those that belong, and counts nothing: a part of `add`, for who counts elsewhere.

        Args:
            batch: where they lie.
            feature, token, strength: [n], all firings of each context, by feature and token; `token` says which of the
                batch's W · L.
        """
        if len(feature):
            window, position = np.divmod(token, batch.counted.shape[1])
            self._keep(batch, _ContextRuns.of(feature, window, strength), position, strength)

    def add_counts(
        self,
        firing_count: NDArray[np.int64],
        total: NDArray[np.int64],
        maximum: NDArray[np.float32],
        histogram: NDArray[np.integer[Any]],
        band_histogram: NDArray[np.integer[Any]],
    ) -> None:
        """Adds what was counted elsewhere: a part of `add`. Shapes as of the attributes."""
        self.firing_count += firing_count
        self.total += total
        np.maximum(self.maximum, maximum, out=self.maximum)
        self._make_room(self.firing_count)
        np.add(self.histogram, histogram, out=self.histogram, casting="unsafe")
        np.add(self.band_histogram, band_histogram, out=self.band_histogram, casting="unsafe")

    def merge(self, other: LayerAccumulator) -> LayerAccumulator:
        """The state after both parts of the corpus. Associative and commutative, exactly.

        Raises:
            ValueError: the two are not of the same layer and settings.
        """
        mine, theirs = ((x.settings, x.n_features, x.vocab_size) for x in (self, other))
        if mine != theirs:
            raise ValueError("states of different layers or settings cannot be merged")
        both = LayerAccumulator(self.n_features, self.vocab_size, self.settings)
        for part in (self, other):
            both.add_counts(**{name: getattr(part, name) for name in COUNTS})
            both.top.add(part.top.rows())
            both.sample.add(part.sample.rows())
            both.tokens.add_ladder(part.tokens)
        both.squares = self.squares.merge(other.squares)
        both.drawn = self.drawn.merge(other.drawn)
        return both

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The whole state in canonical form: equal states give equal arrays."""
        state: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in COUNTS}
        state |= {f"token_{name}": array for name, array in self.tokens.arrays().items()}
        state |= {f"square_{name}": array for name, array in vars(self.squares).items()}
        state |= {f"drawn_{column}": array for column, array in vars(self.drawn.tokens()).items()}
        state["drawn_bound"] = np.asarray(self.drawn.bound)
        for name, best in (("top", self.top), ("sample", self.sample)):
            state |= {f"{name}_{column}": array for column, array in vars(best.rows()).items()}
        return state

    @classmethod
    def from_arrays(
        cls, n_features: int, vocab_size: int, settings: IndexSettings, arrays: Mapping[str, NDArray[Any]]
    ) -> LayerAccumulator:
        """The state whose `arrays` these are. It takes in more, and merges, as the one that was saved.

        Raises:
            ValueError: an array is missing, or of another length than this layer and these settings ask for.
        """
        state = cls(n_features, vocab_size, settings)
        try:
            for name in COUNTS:
                _check_shape(getattr(state, name), arrays[name])
            state.add_counts(**{name: arrays[name] for name in COUNTS})
            for name, array in vars(state.squares).items():
                _check_shape(array, arrays[f"square_{name}"])
                array[...] = arrays[f"square_{name}"]
            for name, best in (("top", state.top), ("sample", state.sample)):
                best.add(Rows(*(arrays[f"{name}_{column}"] for column in Rows.__annotations__)))
                best.rows()  # settles them, so that the threshold is in force again
            state.tokens.add_arrays({name: arrays[f"token_{name}"] for name in state.tokens.names()})
            state.drawn.bound = np.uint64(arrays["drawn_bound"])
            drawn = SampledTokens(*(arrays[f"drawn_{column}"] for column in SampledTokens.__annotations__))
            state.drawn.add_tokens(drawn)
        except (KeyError, IndexError) as error:
            raise ValueError(f"these arrays are no state of such a layer: {error}") from error
        return state

    def _count(self, feature: NDArray[np.int64], strength: NDArray[np.float32]) -> None:
        starts = run_starts(feature)
        present = feature.take(starts)
        self.firing_count[present] += run_lengths(starts, len(feature))
        self.total[present] += np.add.reduceat(fixed(strength), starts)
        self.maximum[present] = np.maximum(self.maximum[present], np.maximum.reduceat(strength, starts))
        self._make_room(self.firing_count[present])
        _count_in(self.histogram, feature * self.grid.n + self.grid.bin_of(strength))

    def _make_room(self, firing_count: NDArray[np.int64]) -> None:
        """Before counts are added to histograms: widens these once a count might not fit."""
        if self.histogram.dtype == np.uint32 and firing_count.max(initial=0) > MOST_NARROW:
            self.histogram, self.band_histogram = self.histogram.astype(np.int64), self.band_histogram.astype(np.int64)

    def _tally(
        self,
        batch: WindowBatch,
        half: NDArray[np.int64],
        level: NDArray[np.int64] | None,
        features: NDArray[Any],
        strength: NDArray[np.float32],
    ) -> None:
        counted = np.flatnonzero(batch.counted)
        by_token = (-1, features.shape[-1])
        self.tokens.add(
            None if level is None else level.take(counted),
            half.take(counted // batch.counted.shape[1]),
            batch.tokens.reshape(-1).take(counted),
            features.reshape(by_token).take(counted, axis=0),
            strength.reshape(by_token).take(counted, axis=0),
        )

    def _draw(self, batch: WindowBatch, features: NDArray[Any]) -> None:
        counted, rows = batch.counted.reshape(-1), features.reshape(-1, features.shape[-1])
        self.drawn.add(batch.places(), batch.following.reshape(-1), counted, rows, self.n_features)

    def _keep(
        self, batch: WindowBatch, runs: _ContextRuns, position: NDArray[np.int64], strength: NDArray[np.float32]
    ) -> None:
        places = place_of(batch.document, batch.start)
        place = places.take(runs.window)
        cell = self._cell(runs)
        hashed = mix(mix(places).take(runs.window) ^ self.feature_hash.take(runs.feature))
        by_strength = ~runs.peak.view(np.uint32)  # positive floats sort as their bits do
        by_hash = (hashed >> np.uint64(32)).astype(np.uint32)
        for best, group, order in ((self.top, runs.feature, by_strength), (self.sample, cell, by_hash)):
            which = best.may_enter(group, order, place)
            lengths = runs.lengths[which]
            firings = ragged(runs.starts[which], lengths)
            positions, values = position[firings].astype(np.uint8), strength[firings]
            best.add(Rows(group[which], order[which], place[which], lengths, positions, values))

    def _cell(self, runs: _ContextRuns) -> NDArray[np.int64]:
        return runs.feature * self.band_grid.n + self.band_grid.bin_of(runs.peak)


def _check_shape(array: NDArray[Any], saved: NDArray[Any]) -> None:
    if saved.shape != array.shape:
        raise ValueError(f"these arrays are no state of such a layer: {saved.shape} instead of {array.shape}")


@dataclass(frozen=True)
class _ContextRuns:
    """Contexts within one batch's sorted firings."""

    feature: NDArray[np.int64]
    window: NDArray[np.int64]
    peak: NDArray[np.float32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, feature: NDArray[np.int64], window: NDArray[np.int64], strength: NDArray[np.float32]) -> _ContextRuns:
        """The contexts of firings that are sorted by feature and window."""
        starts = run_starts(feature, window)
        return cls(
            feature.take(starts),
            window.take(starts),
            np.maximum.reduceat(strength, starts),
            starts,
            run_lengths(starts, len(feature)),
        )


def _count_in(table: NDArray[np.integer[Any]], cells: NDArray[np.int64]) -> None:
    """Counts each cell in a table, in place."""
    np.add.at(table.reshape(-1), cells, table.dtype.type(1))  # a one of another type takes a way 20 times as slow


def _by_feature(features: NDArray[Any], n_features: int, n: int) -> NDArray[np.int64]:
    """Which slots fire, by feature and slot: int64 [n]. A silent slot's feature is `n_features`."""
    if 2 * n > len(features):
        return stable_argsort(features, n_features + 1)[:n]
    slots = np.flatnonzero(features != n_features)
    return slots.take(stable_argsort(features.take(slots), n_features))
