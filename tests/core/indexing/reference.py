"""The index by brute force: Python loops over dense float64 codes, written from the definitions alone."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing import ladder
from mfn_core.indexing.accumulator import WindowBatch
from mfn_core.indexing.arrays import mix
from mfn_core.indexing.token_r2 import half_of
from mfn_core.indexing.token_sample import _SALT
from mfn_core.indexing.types import Contexts, IndexSettings

Window = tuple[int, int]
"""Document and start."""


@dataclass(frozen=True)
class Corpus:
    """Codes of all windows: document, start [W]; tokens, following, counted [W, L]; indices, values [W, L, K]."""

    document: NDArray[np.int64]
    start: NDArray[np.int64]
    tokens: NDArray[np.int64]
    following: NDArray[np.int64]
    counted: NDArray[np.bool_]
    indices: NDArray[np.int64]
    values: NDArray[np.float32]

    def batch(self, part: NDArray[np.int64]) -> WindowBatch:
        """Some of the windows, without their codes."""
        return WindowBatch(
            self.document[part], self.start[part], self.tokens[part], self.following[part], self.counted[part]
        )

    def counted_tokens(self) -> list[tuple[int, set[int], int]]:
        """Of each token that counts: its hash, which features fire on it, and the token after it."""
        found = []
        for w, t in np.argwhere(self.counted).tolist():
            place = np.array([(int(self.document[w]) << 32) | (int(self.start[w]) + t)], np.uint64)
            features = {
                j for j, v in zip(self.indices[w, t].tolist(), self.values[w, t].tolist(), strict=True) if v > 0
            }
            found.append((int(mix(place + _SALT)[0]), features, int(self.following[w, t])))
        return found

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

    def rung(self, w: int, t: int) -> int:
        """The highest rung of the ladder to which the token at one place belongs, from the bits of its hash."""
        place = np.array([(int(self.document[w]) << 32) | (int(self.start[w]) + t)], np.uint64)
        bits = f"{int(mix(place + ladder._SALT)[0]):064b}"
        return min((len(bits) - len(bits.lstrip("0"))) // ladder.BITS, ladder.RUNGS - 1)

    def token_counts(self, vocab_size: int) -> NDArray[np.int64]:
        """How often each token counts in each half, by its rung."""
        found = np.zeros((ladder.RUNGS, 2, vocab_size), np.int64)
        halves = half_of(self.document).tolist()
        for w, t in np.argwhere(self.counted).tolist():
            found[self.rung(w, t), halves[w], self.tokens[w, t]] += 1
        return found

    def on_rung(self, number: int) -> Corpus:
        """The corpus of which only tokens of a rung, and of those above it, count."""
        counted = self.counted.copy()
        for w, t in np.argwhere(counted).tolist():
            counted[w, t] = self.rung(w, t) >= number
        return replace(self, counted=counted)

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


def expected_rungs(corpus: Corpus, n_features: int, room: int) -> list[int]:
    """From which rung each feature's tokens come; one past the last where from none.

    Of each rung: the pairs of feature, token and half that occur on it, and the greatest share such that all fit when
    no feature has more than that.
    """
    found = [ladder.RUNGS] * n_features
    for number in reversed(range(ladder.RUNGS)):
        part = corpus.on_rung(number)
        pairs = [
            sum(len({token for token, z in half if z > 0}) for half in part.activations(j)) for j in range(n_features)
        ]
        most = room // (ladder.SHARE if number else 1)
        share = 0
        while share < max(pairs) and sum(min(p, share + 1) for p in pairs) <= most:
            share += 1
        found = [number if p <= share else other for p, other in zip(pairs, found, strict=True)]
    return found


Token = tuple[int, set[int], int]
"""Of a token: its hash, the features that fire on it, and the token after it, -1 for none."""


def expected_sample(corpus: Corpus, most: int) -> list[Token]:
    """Tokens in order of their hash, until one does not fit."""
    found: list[Token] = []
    for token in sorted(corpus.counted_tokens(), key=lambda token: token[0]):
        most -= 1 + len(token[1])
        if most < 0:
            break
        found.append(token)
    return found


def expected_partners(sample: list[Token], feature: int, n_features: int) -> list[tuple[int, float, int]]:
    """All partners with lift and joint firings, best first, by a log-likelihood of each table written out."""
    found = []
    n = len(sample)
    for other in range(n_features):
        table = Counter((feature in fires, other in fires) for _, fires, _ in sample)
        one, two = (sum(k for cell, k in table.items() if cell[side]) for side in (0, 1))
        joint = table[True, True]
        if other == feature or joint < 3 or joint * n <= one * two:
            continue
        chance = {(a, b): (one if a else n - one) * (two if b else n - two) / n for a in (0, 1) for b in (0, 1)}
        g2 = 2 * sum(k * math.log(k / chance[cell]) for cell, k in table.items() if k)
        if g2 >= 2 * math.log(n_features / 0.01):
            found.append((g2, other, joint * n / (one * two), joint))
    return [(other, lift, joint) for _, other, lift, joint in sorted(found, key=lambda e: (-round(e[0], 9), e[1]))]


def expected_next(sample: list[Token], feature: int) -> list[tuple[int, float]]:
    """All tokens that come after one it fires on, and the share of its firings in the sample that each follows."""
    after = [following for _, fires, following in sample if feature in fires]
    counts = Counter(token for token in after if token >= 0)
    return [(token, k / len(after)) for token, k in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


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
