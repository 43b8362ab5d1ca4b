"""The index by brute force: Python loops over dense float64 codes, written from the definitions alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.token_r2 import half_of
from mfn_core.indexing.types import Contexts, IndexSettings

Window = tuple[int, int]
"""Document and start."""


@dataclass(frozen=True)
class Corpus:
    """Codes of all windows. Shapes: document, start [W]; tokens, counted [W, L]; indices, values [W, L, K]."""

    document: NDArray[np.int64]
    start: NDArray[np.int64]
    tokens: NDArray[np.int64]
    counted: NDArray[np.bool_]
    indices: NDArray[np.int64]
    values: NDArray[np.float32]

    def firings(self, feature: int) -> dict[Window, list[tuple[int, float, int]]]:
        """Position, strength and token of each firing of a feature, by window."""
        found: dict[Window, list[tuple[int, float, int]]] = {}
        for w, (document, start) in enumerate(zip(self.document.tolist(), self.start.tolist(), strict=True)):
            for t in range(self.tokens.shape[1]):
                if not self.counted[w, t]:
                    continue
                for j, v in zip(self.indices[w, t].tolist(), self.values[w, t].tolist(), strict=True):
                    if j == feature and v > 0:
                        found.setdefault((document, start), []).append((t, v, int(self.tokens[w, t])))
        return found

    def token_counts(self, vocab_size: int) -> NDArray[np.int64]:
        """How often each token counts in each half."""
        found = np.zeros((2, vocab_size), np.int64)
        for half, tokens, counted in zip(half_of(self.document), self.tokens, self.counted, strict=True):
            for token in tokens[counted]:
                found[half, token] += 1
        return found

    def activations(self, feature: int) -> list[list[tuple[int, float]]]:
        """Token and strength, 0 where silent, at every counted place of each half."""
        by_window = self.firings(feature)
        halves: list[list[tuple[int, float]]] = [[], []]
        for w, number in enumerate(half_of(self.document).tolist()):
            strength = {t: v for t, v, _ in by_window.get((int(self.document[w]), int(self.start[w])), [])}
            for t in np.flatnonzero(self.counted[w]).tolist():
                halves[number].append((int(self.tokens[w, t]), strength.get(t, 0.0)))
        return halves


def expected_token_r2(corpus: Corpus, feature: int) -> float:
    """By looking every token up; NaN where the activation does not vary, or a half is empty."""
    halves = corpus.activations(feature)
    if not all(halves):
        return float("nan")
    residual = total = squares = 0.0
    for fit, test in (halves, halves[::-1]):
        by_token: dict[int, list[float]] = {}
        for token, z in fit:
            by_token.setdefault(token, []).append(z)
        means = {token: sum(z) / len(z) for token, z in by_token.items()}
        overall = sum(z for _, z in fit) / len(fit)
        own = sum(z for _, z in test) / len(test)
        residual += sum((z - means.get(token, overall)) ** 2 for token, z in test)
        total += sum((z - own) ** 2 for _, z in test)
        squares += sum(z**2 for _, z in test)
    return 1 - residual / total if total > 1e-6 * squares else float("nan")


@dataclass(frozen=True)
class Expected:
    """What the index must say of one feature."""

    count: int
    mean: float
    maximum: float
    histogram: list[int]
    top: list[tuple[int, int, int, float, list[int], list[float]]]  # document, start, peak, peak value, firings
    peaks: dict[Window, float]
    top_tokens: list[tuple[int, float]]


def expect(corpus: Corpus, feature: int, settings: IndexSettings, edges: NDArray[np.float32]) -> Expected:
    by_window = corpus.firings(feature)
    every = [firing for firings in by_window.values() for firing in firings]
    strengths = np.array([v for _, v, _ in every], np.float64)
    histogram = [0] * settings.hist_bins
    for v in strengths:
        inside = [i for i in range(settings.hist_bins) if edges[i] <= v < edges[i + 1]]
        histogram[inside[0] if inside else (0 if v < edges[0] else settings.hist_bins - 1)] += 1
    contexts = []
    for (document, start), firings in by_window.items():
        value, position = max((v, -t) for t, v, _ in firings)
        contexts.append((document, start, -position, value, [t for t, _, _ in firings], [v for _, v, _ in firings]))
    contexts.sort(key=lambda c: (-c[3], c[0], c[1]))
    tokens = Counter(token for _, _, token in every)
    frequent = sorted(tokens.items(), key=lambda item: (-item[1], item[0]))[: settings.n_tokens]
    return Expected(
        count=len(every),
        mean=float(strengths.mean()) if len(every) else 0.0,
        maximum=float(strengths.max()) if len(every) else 0.0,
        histogram=histogram,
        top=contexts[: settings.n_top],
        peaks={(c[0], c[1]): c[3] for c in contexts},
        top_tokens=[(token, n / len(every)) for token, n in frequent],
    )


def stored(
    contexts: Contexts, feature: int, kind: int
) -> list[tuple[int, int, int, float, list[int], list[float], int]]:
    """The stored contexts of one feature and kind, as `Expected.top` writes them, and the band."""
    found = []
    for row in np.flatnonzero((contexts.feature == feature) & (contexts.kind == kind)):
        firings = slice(contexts.offsets[row], contexts.offsets[row + 1])
        found.append(
            (
                int(contexts.document[row]),
                int(contexts.start[row]),
                int(contexts.peak[row]),
                float(contexts.peak_value[row]),
                contexts.positions[firings].tolist(),
                contexts.values[firings].tolist(),
                int(contexts.band[row]),
            )
        )
    return found
