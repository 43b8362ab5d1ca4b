"""What an index is: plain arrays, one set a layer of features.

Lengths: F features of a layer, R stored contexts, nnz firings inside stored contexts, H histogram bins.
A *window* is an aligned stretch of a document; a *context* is a window in which one feature fires, and its strength is
the feature's strongest firing there (its peak). The first position of every document counts in nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.errors import ConfigError

MAX_WINDOW = 256  # tokens: positions within one are kept as single bytes


class ContextKind(IntEnum):
    """Why a context is stored."""

    TOP = 0
    BAND = 1


@dataclass(frozen=True)
class IndexSettings:
    """What an index keeps, and how the corpus goes through the model.

    Attributes:
        n_top: N, how many of its strongest contexts each feature keeps.
        bands: into how many bands of as nearly equal count as possible a feature's contexts are divided by strength.
        per_band: how many contexts each band keeps as a fair sample.
        window: tokens in a window, at most 256; cut to half of what the model can hold.
        n_logits: how many promoted and how many suppressed tokens each feature keeps.
        n_neighbours: how many decoder neighbours each feature keeps.
        n_tokens: how many of the tokens it fires on most, and of those it fires before most, each feature keeps.
        n_cofiring: how many of the features that it fires together with each feature keeps.
        hist_bins: H, bins of the activation histogram.
        band_bins: fine bins out of which bands are put together; more make the bands more equal and take more memory.
        low, high: range of both sets of bins in units of z. What lies outside is counted in the outermost bins.
        seq_len: tokens a row of a forward batch at most, cut to what the model can hold.
        batch_rows: rows of a forward batch at full length; shorter rows make batches of as many tokens.
        max_token_pairs: how many (half of the corpus, feature, token) a layer keeps, at 24 bytes each, to count what a
            feature fires on, and for token R². Where more occur, the features that fire on most different tokens are
            counted on samples of the tokens, which take another 3/4 of that: see `ladder`. Never where 2·F·V is no more
            than this. 0: neither is computed.
        max_sample_firings: up to how many firings the sample of tokens of a layer holds, on which is counted what fires
            together and what comes next: 4 bytes each. A token takes one more. Where the firings of the whole corpus
            are no more than this, all tokens are in the sample.
        shard_tokens: after how many tokens the corpus is cut, at the end of a document. No forward batch reaches over a
            cut, so that codes do not depend on where a run stopped, or which machine took which shard. Smaller shards
            lose less when a run is killed, and pad more: the last batch of each is not full.
        bf16: run the forward pass under bf16 autocast. Faster, but codes then differ where pre-activations nearly tie.
    """

    n_top: int = 16
    bands: int = 10
    per_band: int = 2
    window: int = 64
    n_logits: int = 10
    n_neighbours: int = 8
    n_tokens: int = 8
    n_cofiring: int = 8
    hist_bins: int = 64
    band_bins: int = 192
    low: float = 2.0**-8
    high: float = 2.0**8
    seq_len: int = 256
    batch_rows: int = 16
    max_token_pairs: int = 1 << 25
    max_sample_firings: int = 1 << 21
    shard_tokens: int = 1 << 18
    bf16: bool = False

    def __post_init__(self) -> None:
        positive = ("n_top", "bands", "per_band", "window", "hist_bins", "band_bins", "seq_len", "batch_rows")
        for name in (*positive, "shard_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("n_logits", "n_neighbours", "n_tokens", "n_cofiring", "max_token_pairs", "max_sample_firings"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, not {getattr(self, name)}")
        if self.window > MAX_WINDOW:
            raise ConfigError(f"window must be at most {MAX_WINDOW} tokens, not {self.window}")
        if max(self.bands, self.hist_bins) > 256:
            raise ConfigError("bands and hist_bins must be at most 256")
        if not 0 < self.low < self.high < float("inf"):
            raise ConfigError(f"low and high must be positive and in order, not {self.low} and {self.high}")

    def fit(self, max_context: int) -> IndexSettings:
        """The same settings, cut down to a model that holds `max_context` tokens.

        A row is a whole number of windows, at least two: see `batching`.
        """
        most = min(self.seq_len, max_context)
        if most < 2:
            raise ConfigError(f"seq_len must be at least 2, not {most}")
        window = min(self.window, most // 2)
        return replace(self, window=window, seq_len=most // window * window)


@dataclass(frozen=True)
class Contexts:
    """Stored contexts of one layer: columns of length R, and the firings of each row in CSR form.

    Rows are ordered by feature, kind, band and rank.

    Attributes:
        feature: int32 [R].
        kind: uint8 [R], a `ContextKind`.
        band: uint8 [R], 0 for the weakest band, `bands - 1` for the strongest; 0 for top contexts.
        rank: int32 [R], place within its feature, kind and band, from 0. Top contexts: strongest first, ties by
            document and start. Band samples: by hash, that is in no particular order.
        document: int32 [R], ordinal of the document in the corpus.
        start: int32 [R], the window's first token in the document.
        length: uint16 [R], the window's tokens.
        peak: int16 [R], where in the window the feature fires most strongly (the first such token).
        peak_value: float32 [R], that strength, exact.
        offsets: int64 [R + 1], where each row's firings begin.
        positions: uint8 [nnz], where in the window, ascending within a row.
        values: float16 [nnz], how strongly: rounded to 11 binary digits, at most 65504.
    """

    feature: NDArray[np.int32]
    kind: NDArray[np.uint8]
    band: NDArray[np.uint8]
    rank: NDArray[np.int32]
    document: NDArray[np.int32]
    start: NDArray[np.int32]
    length: NDArray[np.uint16]
    peak: NDArray[np.int16]
    peak_value: NDArray[np.float32]
    offsets: NDArray[np.int64]
    positions: NDArray[np.uint8]
    values: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.feature)

    def rows_of(self, begin: int, end: int) -> slice:
        """The rows of the features from `begin` to `end` - 1."""
        kind = self.feature.dtype  # a number of another type would have numpy copy the whole column
        bounds = (
            len(self) if number > np.iinfo(kind).max else int(np.searchsorted(self.feature, kind.type(number)))
            for number in (begin, end)
        )
        return slice(*bounds)


@dataclass(frozen=True)
class LayerIndex:
    """Everything an index knows of one layer's features.

    Attributes:
        layer: block number.
        n_features: F.
        firing_count: int64 [F], tokens on which the feature fires. 0: dead on this corpus.
        mean: float32 [F], over firings; 0 where there are none. Of values rounded to multiples of 2⁻²⁴.
        maximum: float32 [F], exact; 0 where there are no firings.
        histogram: int64 [F, H], firings by strength.
        bin_edges: float32 [H + 1], log-spaced, shared by all features. A bin includes its lower edge. Firings below
            the first and above the last edge are counted in the first and last bin.
        band_edges: float32 [F, bands + 1], what strengths (of peaks) each band spans, lower edge included; the last is
            the maximum. An empty band has equal edges. All 0 for a dead feature.
        band_count: int64 [F, bands], how many contexts fall into each band. Bands are made of whole fine bins, so
            counts differ, and a band is empty where one bin alone holds more than its share.
        contexts: the stored contexts.
        promoted_ids, promoted_logits: int32 and float32 [F, n], tokens whose logit the feature's direction raises
            most, largest first, per unit of z·s over the final norm's scale, relative to the mean over the vocabulary.
        suppressed_ids, suppressed_logits: the same for those it lowers most, lowest first.
        neighbour_ids, neighbour_cos: int32 and float32 [F, m], the most similar decoder directions of the same layer.
        top_token_ids: int32 [F, t], the tokens it fires on most often, most frequent first; -1 where there are no more.
        top_token_share: float32 [F, t], which share of the feature's firings falls on each. See `counted_share`.
        token_r2: float32 [F], the share of the variance of z that a look-up by the current token explains, means from
            one half of the documents scored on the other: see the module of that name. At most 1; negative where the
            look-up does worse than one mean; NaN where unknown. None in an index from before there was such a figure.
        half_firings: int64 [F], firings in the half in which it fires less, of those it was computed from. Below some
            hundreds token R² is mostly chance. None as above.
        counted_share: float32 [F], which share of all tokens was looked at for `top_token_ids`, token R² and
            `half_firings`: 1, but less where a feature fires on very many different tokens, and 0 where there was no
            room for those of a sample either: see the module `ladder`. None: 1 for all of them.
        token_pairs: distinct (half, feature, token) that were counted on all tokens.
        cofiring_ids: int32 [F, c], the features of the same layer that it fires together with most remarkably, best
            first by G²: see the module `cofiring`. -1 where there are no more. Counted on a sample of tokens, and None
            in an index from before there was one; so are the six below.
        cofiring_lift: float32 [F, c], how many times as often as by chance they fire on the same token.
        cofiring_joint: int64 [F, c], on how many tokens of the sample they do.
        next_token_ids: int32 [F, t], the tokens that most often follow one it fires on, most frequent first; -1 where
            there are no more. The last token of a document is followed by none.
        next_token_share: float32 [F, t], which share of its firings in the sample each follows.
        sampled_firings: int64 [F], its firings in the sample.
        sampled_tokens: how many tokens the sample holds, of all that count; each with the same chance.
    """

    layer: int
    n_features: int
    firing_count: NDArray[np.int64]
    mean: NDArray[np.float32]
    maximum: NDArray[np.float32]
    histogram: NDArray[np.int64]
    bin_edges: NDArray[np.float32]
    band_edges: NDArray[np.float32]
    band_count: NDArray[np.int64]
    contexts: Contexts
    promoted_ids: NDArray[np.int32]
    promoted_logits: NDArray[np.float32]
    suppressed_ids: NDArray[np.int32]
    suppressed_logits: NDArray[np.float32]
    neighbour_ids: NDArray[np.int32]
    neighbour_cos: NDArray[np.float32]
    top_token_ids: NDArray[np.int32]
    top_token_share: NDArray[np.float32]
    token_r2: NDArray[np.float32] | None = None
    half_firings: NDArray[np.int64] | None = None
    counted_share: NDArray[np.float32] | None = None
    token_pairs: int = 0
    cofiring_ids: NDArray[np.int32] | None = None
    cofiring_lift: NDArray[np.float32] | None = None
    cofiring_joint: NDArray[np.int64] | None = None
    next_token_ids: NDArray[np.int32] | None = None
    next_token_share: NDArray[np.float32] | None = None
    sampled_firings: NDArray[np.int64] | None = None
    sampled_tokens: int | None = None


@dataclass(frozen=True)
class CorpusIndex:
    """An index of one corpus under one model.

    Attributes:
        layers: one for each equipped block, in order.
        documents: token ids of each document, first position (the beginning-of-text token) included. They may lie in a
            file and be read one by one; so may `meta`.
        meta: what came with each document.
        n_tokens: tokens that count: all but the first position of each document. Rates are shares of these.
        settings: how it was made.
        model_fingerprint: of which model.
    """

    layers: list[LayerIndex]
    documents: Sequence[NDArray[np.uint32]]
    meta: Sequence[dict[str, Any]]
    n_tokens: int
    settings: IndexSettings
    model_fingerprint: str = field(repr=False)
