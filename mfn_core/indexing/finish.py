"""A finished state becomes a `LayerIndex`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.accumulator import LayerAccumulator
from mfn_core.indexing.arrays import rank_in_run, slices
from mfn_core.indexing.cofiring import cofiring, firings_of, next_tokens
from mfn_core.indexing.exact import SUM_SCALE
from mfn_core.indexing.from_weights import WeightFacts
from mfn_core.indexing.grid import LogGrid
from mfn_core.indexing.rows import Rows, window_of
from mfn_core.indexing.types import ContextKind, Contexts, LayerIndex

_BLOCK = 1 << 13  # features at a time, so that what is computed of each fine bin stays small
_FLOAT16_MAX = np.float32(np.finfo(np.float16).max)


def finish_layer(
    layer: int,
    state: LayerAccumulator,
    facts: WeightFacts,
    document_lengths: NDArray[np.int64],
    token_counts: NDArray[np.int64],
) -> LayerIndex:
    """Puts together what is known of a layer.

    Args:
        layer: block number.
        state: what the corpus says.
        facts: what the weights say.
        document_lengths: int64 [documents], in tokens.
        token_counts: int64 [levels, halves, V], how often each token counted, as `IndexState` has them.
    """
    settings = state.settings
    band_of_bin = bands_of_bins(state.band_histogram, settings.bands)
    band_edges, band_count = band_table(
        state.band_histogram, band_of_bin, settings.bands, state.band_grid, state.maximum
    )
    tokens = state.tokens.facts(settings.n_tokens, state.squares, token_counts)
    firings = np.maximum(state.firing_count, 1)
    drawn = state.drawn.tokens()
    sampled_firings = firings_of(drawn, state.n_features)
    together = cofiring(drawn, state.n_features, settings.n_cofiring)
    next_ids, next_counts = next_tokens(drawn, state.n_features, state.vocab_size, settings.n_tokens)
    return LayerIndex(
        layer=layer,
        n_features=state.n_features,
        firing_count=state.firing_count,
        mean=(state.total / SUM_SCALE / firings).astype(np.float32),
        maximum=state.maximum,
        histogram=state.histogram.astype(np.int64, copy=False),
        bin_edges=state.grid.edges,
        band_edges=band_edges,
        band_count=band_count,
        contexts=_contexts(state, band_of_bin, document_lengths),
        promoted_ids=facts.promoted_ids,
        promoted_logits=facts.promoted_logits,
        suppressed_ids=facts.suppressed_ids,
        suppressed_logits=facts.suppressed_logits,
        neighbour_ids=facts.neighbour_ids,
        neighbour_cos=facts.neighbour_cos,
        top_token_ids=tokens.ids,
        top_token_share=tokens.share,
        token_r2=tokens.r2,
        half_firings=tokens.half_firings,
        counted_share=None if (tokens.counted_share == 1).all() else tokens.counted_share,
        token_pairs=tokens.n_pairs,
        cofiring_ids=together.ids,
        cofiring_lift=together.lift,
        cofiring_joint=together.joint,
        next_token_ids=next_ids,
        next_token_share=(next_counts / np.maximum(sampled_firings, 1)[:, None]).astype(np.float32),
        sampled_firings=sampled_firings,
        sampled_tokens=len(drawn),
    )


def bands_of_bins(histogram: NDArray[np.integer[Any]], bands: int) -> NDArray[np.uint8]:
    """Which band each fine bin belongs to, so that bands hold as equal counts as whole bins permit.

    A bin goes to the band in which its middle context lies when all are put in order of strength.

    Args:
        histogram: [F, bins], contexts by strength.
        bands: how many bands, at most 256.

    Returns:
        uint8 [F, bins], ascending along a row; what is said of empty bins means nothing.
    """
    band = np.empty(histogram.shape, np.uint8)
    for part in slices(len(histogram), _BLOCK):
        counts = histogram[part].astype(np.int64)
        total = np.maximum(counts.sum(1, keepdims=True), 1)
        twice_middle = 2 * np.cumsum(counts, axis=1) - counts
        band[part] = np.minimum(bands * twice_middle // (2 * total), bands - 1)
    return band


def band_table(
    histogram: NDArray[np.integer[Any]],
    band_of_bin: NDArray[np.uint8],
    bands: int,
    grid: LogGrid,
    maximum: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Edges and counts of bands: float32 [F, bands + 1] and int64 [F, bands], as `LayerIndex` describes them."""
    n_features = len(histogram)
    count = np.zeros((n_features, bands), np.int64)
    lower = grid.edges[:-1].copy()
    lower[0] = 0.0  # the lowest bin takes in everything weaker
    edges = np.empty((n_features, bands + 1), np.float32)
    edges[:, bands] = maximum
    for part in slices(n_features, _BLOCK):
        counts, band_of = histogram[part].astype(np.int64), band_of_bin[part]
        np.add.at(count[part], (np.arange(len(counts))[:, None], band_of), counts)
        for band in range(bands):
            here = (counts > 0) & (band_of >= band)
            edges[part, band] = np.where(here.any(1), lower[here.argmax(1)], maximum[part])
    return edges, count


def _contexts(state: LayerAccumulator, band_of_bin: NDArray[np.uint8], document_lengths: NDArray[np.int64]) -> Contexts:
    parts = [
        _contexts_of(top, _of_bands(sample, state, band_of_bin), state, band_of_bin, document_lengths)
        for top, sample in zip(state.top.parts(), state.sample.parts(), strict=True)
    ]
    names = [name for name in Contexts.__annotations__ if name != "offsets"]
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    return Contexts(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
        offsets=np.append(np.int64(0), np.cumsum(lengths)),
    )


def _contexts_of(
    top: Rows,
    sample: Rows,
    state: LayerAccumulator,
    band_of_bin: NDArray[np.uint8],
    document_lengths: NDArray[np.int64],
) -> Contexts:
    """Puts together what is kept of some features."""
    rows = Rows.join([top, sample])
    feature, fine = np.divmod(sample.group.astype(np.int64), state.band_grid.n)
    band = np.concatenate([np.zeros(len(top), np.int64), band_of_bin[feature, fine].astype(np.int64)])
    feature = np.concatenate([top.group.astype(np.int64), feature])
    kind = np.repeat(np.array([ContextKind.TOP, ContextKind.BAND]), [len(top), len(sample)])
    # Within a kind rows are already in order of feature, band and rank; a stable sort brings the kinds together.
    by_feature = np.lexsort((kind, feature))
    rows, feature, kind, band = rows.take(by_feature), feature[by_feature], kind[by_feature], band[by_feature]

    document, start = window_of(rows.place)
    peak_value, peak = _peaks(rows)
    return Contexts(
        feature=feature.astype(np.int32),
        kind=kind.astype(np.uint8),
        band=band.astype(np.uint8),
        rank=rank_in_run((feature * 2 + kind) * state.settings.bands + band).astype(np.int32),
        document=document,
        start=start,
        length=np.minimum(document_lengths[document] - start, state.settings.window).astype(np.uint16),
        peak=peak,
        peak_value=peak_value,
        offsets=np.append(rows.starts(), len(rows.values)).astype(np.int64),
        positions=rows.positions,
        values=np.minimum(rows.values, _FLOAT16_MAX).astype(np.float16),
    )


def _of_bands(sample: Rows, state: LayerAccumulator, band_of_bin: NDArray[np.uint8]) -> Rows:
    """Of the contexts sampled of fine bins, those that are the sample of their band; by feature, band and hash."""
    feature, fine = np.divmod(sample.group.astype(np.int64), state.band_grid.n)
    band = band_of_bin[feature, fine].astype(np.int64)
    order = np.lexsort((sample.place, sample.order, band, feature))
    group = (feature * state.settings.bands + band)[order]
    return sample.take(order[rank_in_run(group) < state.settings.per_band])


def _peaks(rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Each row's largest value and the first position that has it."""
    if not len(rows):
        return np.zeros(0, np.float32), np.zeros(0, np.int16)
    starts = rows.starts()
    largest = np.maximum.reduceat(rows.values, starts)
    at_peak = np.flatnonzero(rows.values == np.repeat(largest, rows.lengths))
    first = at_peak[np.searchsorted(at_peak, starts)]
    return largest, rows.positions[first].astype(np.int16)
