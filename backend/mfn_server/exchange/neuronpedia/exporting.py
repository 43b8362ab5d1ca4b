"""An index becomes batches of dashboards, one folder a source."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.types import ContextKind, CorpusIndex, LayerIndex
from mfn_server.exchange.neuronpedia.dashboards import (
    DashboardActivation,
    DashboardBatch,
    DashboardFeature,
    write_batch,
)
from mfn_server.exchange.neuronpedia.naming import SourceName, name_of
from mfn_server.model_facts import ModelFacts

BATCH = 128  # features of a file
_TOP = -1.0  # what stands for bin_min and bin_contains of one of the strongest pieces


@dataclass(frozen=True)
class Corpus:
    """What dashboards say of the text. `name` is what the corpus is called."""

    index: CorpusIndex
    name: str
    token_texts: Sequence[str]


def write_dashboards(corpus: Corpus, facts: ModelFacts, folder: Path) -> int:
    """Write batch-N.json and skipped_indexes.json of every source into `folder`/SOURCE. Returns the count of files.

    Features that never fire have no dashboard; they are the skipped ones.
    """
    sources = {source.layer: name_of(source) for source in facts.sources}
    written = 0
    for layer in corpus.index.layers:
        source = sources[layer.layer]
        place = folder / source.id
        place.mkdir(parents=True)
        for number, features in enumerate(_batches(corpus, layer)):
            write_batch(place / f"batch-{number}.json", _batch(facts.name, source, features))
            written += 1
        skipped = {
            "model_id": facts.name,
            "layer": str(source.layer),
            "sae_set": source.set,
            "skipped_indexes": np.flatnonzero(layer.firing_count == 0).tolist(),
        }
        (place / "skipped_indexes.json").write_text(json.dumps(skipped), encoding="utf-8")
    return written


def _batch(model: str, source: SourceName, features: list[DashboardFeature]) -> DashboardBatch:
    return DashboardBatch(
        model_id=model, layer=source.layer, sae_set=source.set, sae_id_suffix=source.suffix, features=features
    )


def _batches(corpus: Corpus, layer: LayerIndex) -> Iterator[list[DashboardFeature]]:
    alive = np.flatnonzero(layer.firing_count).tolist()
    first_context = np.searchsorted(layer.contexts.feature, np.arange(layer.n_features + 1))
    for begin in range(0, len(alive), BATCH):
        yield [
            dashboard(corpus, layer, feature, range(first_context[feature], first_context[feature + 1]))
            for feature in alive[begin : begin + BATCH]
        ]


def dashboard(corpus: Corpus, layer: LayerIndex, feature: int, contexts: range) -> DashboardFeature:
    """One feature, whose contexts are the rows of that range."""
    values, heights = _histogram(layer.histogram[feature], layer.bin_edges)
    return DashboardFeature(
        feature_index=feature,
        neg_str=[corpus.token_texts[token] for token in layer.suppressed_ids[feature].tolist()],
        neg_values=_short(layer.suppressed_logits[feature]),
        pos_str=[corpus.token_texts[token] for token in layer.promoted_ids[feature].tolist()],
        pos_values=_short(layer.promoted_logits[feature]),
        frac_nonzero=int(layer.firing_count[feature]) / max(corpus.index.n_tokens, 1),
        freq_hist_data_bar_values=values,
        freq_hist_data_bar_heights=heights,
        n_prompts_total=len(corpus.index.documents),
        n_tokens_in_prompt=corpus.index.settings.window,
        dataset=corpus.name,
        activations=[_activation(corpus, layer, row) for row in contexts],
    )


def _activation(corpus: Corpus, layer: LayerIndex, row: int) -> DashboardActivation:
    contexts = layer.contexts
    feature, band, peak = (int(column[row]) for column in (contexts.feature, contexts.band, contexts.peak))
    start, length = int(contexts.start[row]), int(contexts.length[row])
    ids = corpus.index.documents[contexts.document[row]][start : start + length].tolist()
    firings = slice(contexts.offsets[row], contexts.offsets[row + 1])
    values = np.zeros(length, np.float32)
    values[contexts.positions[firings]] = contexts.values[firings]
    values[peak] = contexts.peak_value[row]  # exact, where the others are rounded to half precision
    low, share = _TOP, _TOP
    high = _short(layer.maximum[feature : feature + 1])[0]
    if contexts.kind[row] == ContextKind.BAND:
        low, high = _short(layer.band_edges[feature, band : band + 2])
        share = int(layer.band_count[feature, band]) / int(layer.band_count[feature].sum())
    return DashboardActivation(
        bin_min=low,
        bin_max=high,
        bin_contains=share,
        tokens=[corpus.token_texts[token] for token in ids],
        values=_short(values),
        qualifying_token_index=peak,
    )


def _histogram(counts: NDArray[np.int64], edges: NDArray[np.float32]) -> tuple[list[float], list[float]]:
    """Middles of bins and firings in them, from the first bin with any to the last: the rest of the axis is empty."""
    filled = np.flatnonzero(counts)
    if not len(filled):
        return [], []
    part = slice(filled[0], filled[-1] + 1)
    middles = (edges[:-1].astype(np.float64) + edges[1:]) / 2
    return _short(middles[part]), [float(count) for count in counts[part].tolist()]


def _short(values: NDArray[np.floating]) -> list[float]:
    """Numbers with as few digits as tell half-precision values apart, and a few more."""
    return [float(f"{value:.6g}") for value in values.tolist()]
