"""A made-up index of any number of features, with the distributions of a real one.

Deterministic by seed and size. What matters for speed is kept: word frequencies follow Zipf's law (so some words stand
in a ten-thousandth of the features, some in a tenth, some in nearly all), firing rates are log-normal with a share of
dead and of very rare features, each feature has a token that it mostly fires on and contexts that hold it, and a share
of the features has labels. The texts mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from mfn_core.indexing.arrays import rank_in_run
from mfn_core.indexing.types import ContextKind, Contexts, CorpusIndex, IndexSettings, LayerIndex

WINDOW = 64
DOCUMENT = 256
MOST_WORDS = 50_000
ZIPF = 1.05
TAGS = ("story", "essay", "code", "letter", "list", "news", "poem", "table")
DEAD, DEAD_RATE = 0.05, -3.3
_EXTRA_FIRINGS = 3


@dataclass(frozen=True)
class Vocabulary:
    """Words to write with.

    Attributes:
        ids: of each word, the token ids that spell it, most frequent word first.
        texts: of each word.
        bos: id of the token that documents begin with.
        size: ids of the tokenizer.
    """

    ids: list[tuple[int, ...]]
    texts: list[str]
    bos: int
    size: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator, n: int = MOST_WORDS) -> Vocabulary:
        """Whole-word tokens of a byte-level vocabulary, then words of two pieces."""
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        plain = [(i, p) for i, p in enumerate(pieces) if p and p.lstrip("Ġ").isascii() and p.lstrip("Ġ").isalpha()]
        begins = [(i, p[1:].lower()) for i, p in plain if p.startswith("Ġ") and len(p) > 2]
        ends = [(i, p.lower()) for i, p in plain if not p.startswith("Ġ") and len(p) > 1]
        ids: list[tuple[int, ...]] = [(i,) for i, _ in begins]
        texts = [text for _, text in begins]
        seen = set(texts)
        while len(ids) < n:
            (i, first), (j, second) = begins[rng.integers(len(begins))], ends[rng.integers(len(ends))]
            if first + second not in seen:
                seen.add(first + second)
                ids.append((i, j))
                texts.append(first + second)
        return cls(ids[:n], texts[:n], tokenizer.bos_token_id or 0, len(tokenizer))


def synthetic_index(
    tokenizer: PreTrainedTokenizerBase,
    layers: list[int],
    n_features: int,
    n_tokens: int,
    fingerprint: str,
    seed: int = 0,
) -> CorpusIndex:
    """An index of the given layers with `n_features` each.

    Args:
        tokenizer: whose tokens the documents are made of; byte-level.
        layers: numbers of the equipped blocks.
        n_features: of each.
        n_tokens: of the corpus, about.
        fingerprint: of the model that it shall belong to.
        seed: of everything that is drawn.
    """
    rng = np.random.default_rng([seed, n_features, len(layers)])
    vocabulary = Vocabulary.of(tokenizer, np.random.default_rng(seed))
    documents = _documents(np.random.default_rng([seed, n_tokens]), vocabulary, n_tokens)
    places = _Places.of(documents)
    settings = IndexSettings(n_top=16, window=WINDOW)
    counted = sum(len(ids) - 1 for ids in documents)
    return CorpusIndex(
        layers=[_layer(rng, layer, n_features, places, vocabulary, counted, settings) for layer in layers],
        documents=documents,
        meta=[{"title": f"text {i}", "tags": [TAGS[i % len(TAGS)], f"shelf {i % 97}"]} for i in range(len(documents))],
        n_tokens=counted,
        settings=settings,
        model_fingerprint=fingerprint,
    )


def _documents(rng: np.random.Generator, vocabulary: Vocabulary, n_tokens: int) -> list[NDArray[np.uint32]]:
    """Texts of words drawn by Zipf's law, cut to documents of 256 tokens."""
    n = len(vocabulary.ids)
    share = 1 / np.arange(1, n + 1) ** ZIPF
    words = rng.choice(n, size=n_tokens, p=share / share.sum())
    first = np.array([ids[0] for ids in vocabulary.ids], np.uint32)
    second = np.array([ids[1] if len(ids) > 1 else 0 for ids in vocabulary.ids], np.uint32)
    lengths = np.array([len(ids) for ids in vocabulary.ids])[words]
    ends = np.cumsum(lengths)
    stream = np.zeros(int(ends[-1]), np.uint32)
    stream[ends - lengths] = first[words]
    stream[ends[lengths == 2] - 1] = second[words[lengths == 2]]
    body = DOCUMENT - 1
    whole = stream[: len(stream) // body * body].reshape(-1, body)
    return list(np.concatenate([np.full((len(whole), 1), vocabulary.bos, np.uint32), whole], axis=1))


@dataclass(frozen=True)
class _Places:
    """Where each token occurs, one place a window: CSR by token."""

    offsets: NDArray[np.int64]
    window: NDArray[np.int32]
    position: NDArray[np.uint8]

    @classmethod
    def of(cls, documents: list[NDArray[np.uint32]]) -> _Places:
        tokens = np.stack(documents)
        tokens[:, 0] = 0  # the first position counts in nothing
        windows = tokens.reshape(-1, WINDOW).astype(np.int64)
        key = (windows * len(windows) + np.arange(len(windows))[:, None]).ravel()
        found, place = np.unique(key, return_index=True)
        token, window = found // len(windows), found % len(windows)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(token))])
        return cls(offsets, window.astype(np.int32), (place % WINDOW).astype(np.uint8))


def _layer(
    rng: np.random.Generator,
    layer: int,
    f: int,
    places: _Places,
    vocabulary: Vocabulary,
    n_tokens: int,
    settings: IndexSettings,
) -> LayerIndex:
    known = np.array(vocabulary.ids[: sum(len(ids) == 1 for ids in vocabulary.ids)], np.int64)[:, 0]
    known = known[np.diff(places.offsets, append=places.offsets[-1])[known] > 0]
    alive = rng.random(f) >= DEAD
    rate = 10 ** np.clip(rng.normal(DEAD_RATE, 0.8, f), -7, -0.3)
    count = np.where(alive, np.maximum(rng.poisson(rate * n_tokens), 1), 0).astype(np.int64)
    maximum = np.where(alive, rng.lognormal(1.5, 0.5, f), 0).astype(np.float32)
    mean = (maximum * rng.beta(2, 5, f)).astype(np.float32)
    t = settings.n_tokens
    steps = rng.integers(1, len(known) // t, size=(f, t))  # different ones: they do not come round
    tokens = known[np.cumsum(steps, axis=1) % len(known)].astype(np.int32)
    tokens = np.take_along_axis(tokens, rng.integers(t, size=(f, 1)) ^ np.arange(t), 1)
    share = np.sort(rng.dirichlet([0.4] * t, f).astype(np.float32), axis=1)[:, ::-1].copy()
    share[~alive] = 0
    tokens[~alive] = -1
    contexts = _contexts(rng, np.where(alive, tokens[:, 0], -1), maximum, places, settings)
    stored = np.bincount(contexts.feature, minlength=f)
    bins = np.clip(rng.normal(30, 3, (f, 1)) - np.abs(rng.normal(0, 8, (f, 24))), 0, settings.hist_bins - 1)
    histogram = np.zeros((f, settings.hist_bins), np.int64)
    np.add.at(histogram, (np.arange(f)[:, None], bins.astype(np.int64)), (count // 24)[:, None])
    histogram[:, 20] += count - histogram.sum(1)

    def ids(n: int) -> NDArray[np.int32]:
        return rng.integers(vocabulary.size, size=(f, n), dtype=np.int32)

    def descending(n: int) -> NDArray[np.float32]:
        return -np.sort(-rng.random((f, n), np.float32), axis=1)

    others = rng.integers(f, size=(f, settings.n_cofiring), dtype=np.int32)
    dead = ~alive[:, None]
    return LayerIndex(
        layer=layer,
        n_features=f,
        firing_count=count,
        mean=mean,
        maximum=maximum,
        histogram=histogram,
        bin_edges=np.geomspace(settings.low, settings.high, settings.hist_bins + 1).astype(np.float32),
        band_edges=(maximum[:, None] * np.linspace(0.1, 1, settings.bands + 1)).astype(np.float32),
        band_count=np.repeat(stored[:, None], settings.bands, axis=1),
        contexts=contexts,
        promoted_ids=ids(settings.n_logits),
        promoted_logits=descending(settings.n_logits),
        suppressed_ids=ids(settings.n_logits),
        suppressed_logits=-descending(settings.n_logits),
        neighbour_ids=rng.integers(f, size=(f, settings.n_neighbours), dtype=np.int32),
        neighbour_cos=descending(settings.n_neighbours),
        top_token_ids=tokens,
        top_token_share=share,
        token_r2=np.where(alive, 1 - rng.gamma(1.5, 0.25, f), np.nan).astype(np.float32),
        half_firings=count // 2,
        cofiring_ids=np.where(dead, -1, others),
        cofiring_lift=descending(settings.n_cofiring) * 30 + 1,
        cofiring_joint=rng.integers(3, 50, size=(f, settings.n_cofiring)),
        next_token_ids=np.where(dead, -1, ids(t)),
        next_token_share=(descending(t) / t).astype(np.float32),
        sampled_firings=count // 8,
        sampled_tokens=n_tokens // 8,
    )


def _contexts(
    rng: np.random.Generator, token: NDArray[Any], maximum: NDArray[Any], places: _Places, settings: IndexSettings
) -> Contexts:
    """For each feature as many different windows that hold its token as it keeps contexts, if there are so many."""
    f, per_band = len(token), settings.per_band
    most = settings.n_top + settings.bands * per_band
    begin = places.offsets[np.maximum(token, 0)]
    there = np.where(token >= 0, places.offsets[np.maximum(token, 0) + 1] - begin, 0)
    n = np.minimum(there, most)
    start = (rng.random(f) * there).astype(np.int64)
    feature = np.repeat(np.arange(f), n)
    k = rank_in_run(feature)
    # steps of at least one through the token's windows, which cannot come round to where they began
    step = np.maximum(there // most, 1)
    place = begin[feature] + (start[feature] + k * step[feature]) % there[feature]
    kind = np.where(k < settings.n_top, ContextKind.TOP, ContextKind.BAND).astype(np.uint8)
    band = np.where(kind == ContextKind.TOP, 0, (k - settings.n_top) // per_band)
    rank = np.where(kind == ContextKind.TOP, k, (k - settings.n_top) % per_band)
    strength = np.where(kind == ContextKind.TOP, 1 - 0.02 * k, (band + 1) / (settings.bands + 1))
    peak_value = (maximum[feature] * strength).astype(np.float32)
    window, peak = places.window[place].astype(np.int64), places.position[place].astype(np.int16)
    per_document = DOCUMENT // WINDOW
    # beside the peak up to three more firings, at different distances from it
    steps = np.cumsum(rng.integers(1, WINDOW // (_EXTRA_FIRINGS + 1), size=(len(k), _EXTRA_FIRINGS), dtype=np.int16), 1)
    more = np.arange(_EXTRA_FIRINGS) < rng.integers(0, _EXTRA_FIRINGS + 1, size=len(k))[:, None]
    position = np.concatenate([peak[:, None], (peak[:, None] + steps) % WINDOW], axis=1)
    fires = np.concatenate([np.ones((len(k), 1), np.bool_), more], axis=1)
    fires[:, 1:] &= (position[:, 1:] > 0) | (window % per_document > 0)[:, None]
    value = np.concatenate([np.ones((len(k), 1)), rng.random((len(k), _EXTRA_FIRINGS)) * 0.9 + 0.01], axis=1)
    order = np.argsort(np.where(fires, position, WINDOW), axis=1)
    position, value = np.take_along_axis(position, order, 1), np.take_along_axis(value, order, 1)
    sizes = fires.sum(1)
    listed = np.arange(_EXTRA_FIRINGS + 1) < sizes[:, None]
    return Contexts(
        feature=feature.astype(np.int32),
        kind=kind,
        band=band.astype(np.uint8),
        rank=rank.astype(np.int32),
        document=(window // per_document).astype(np.int32),
        start=(window % per_document * WINDOW).astype(np.int32),
        length=np.full(len(k), WINDOW, np.uint16),
        peak=peak,
        peak_value=peak_value,
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        positions=position[listed].astype(np.uint8),
        values=(peak_value[:, None] * value)[listed].astype(np.float16),
    )
