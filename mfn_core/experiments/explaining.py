"""How well features can be explained, whatever they are of: a score that does not know the source, and asks no model.

A short description, patterns of tokens (`mfn_core.naming.patterns`), is learned from where a feature fires in one half
of the texts, and taken at its word in the other: F1 of the precision and the recall of what it expects. A feature that
stands for one thing that few tokens tell is near 1, one that fires on unrelated things near 0; so is one whose meaning
lies in more than a few tokens, hence the score compares sources and is none of meaning itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mfn_core.evaluation.row_batches import row_batches
from mfn_core.metrics.bootstrap import mean_of
from mfn_core.model import MFNModel
from mfn_core.naming.lexicon import Lexicon
from mfn_core.naming.patterns import Firings, PatternSettings, fit_of, learn_patterns
from mfn_core.naming.text import NamedText
from mfn_core.naming.wording import words_of
from mfn_core.tokens import vocabulary_strings

FEWEST = 4  # firings in either half, for a feature to be judged
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Explained:
    """One feature's description, judged.

    Attributes:
        layer, feature: which.
        words: the description; empty where no pattern is precise enough.
        precision, recall, f1: of it, on the half of the texts from which nothing was learned.
    """

    layer: int
    feature: int
    words: str
    precision: float
    recall: float
    f1: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Wanted:
    """A feature that is to be explained: where it fires with this sign."""

    layer: int
    feature: int
    sign: float = 1.0


def explain(
    model: MFNModel,
    rows: Sequence[NDArray[np.int64]],
    features: Iterable[Wanted],
    batch: int = 16,
    progress: Progress = lambda done, total: None,
) -> list[Explained]:
    """Judges features; those with too few firings in either half are left out.

    Args:
        model: with a tokenizer, and layers of features of any kind.
        rows: token ids; the first of each is left out. Every other one is of the half that is learned from.
        features: which, each once.
        batch: rows in a forward pass.
        progress: told how many rows have been read, and of how many.
    """
    wanted = list(features)
    lexicon = Lexicon.of(vocabulary_strings(model.required_tokenizer, model.vocab_size))
    halves = [[row[1:].astype(np.uint32) for row in rows[half::2]] for half in (0, 1)]
    texts = [NamedText(lexicon, half) for half in halves]
    settings = PatternSettings()
    fired = _fired(model, rows, wanted, batch, progress)
    found = []
    for feature in wanted:
        firings = [_firings(fired[feature], rows, half, lexicon, settings.reach) for half in (0, 1)]
        if min(len(part.weight) for part in firings) < FEWEST:
            continue
        rates = [len(part.weight) / max(1, len(text)) for part, text in zip(firings, texts, strict=True)]
        patterns = learn_patterns(firings[0], texts[0], rates[0], settings)
        fit = fit_of(patterns, firings[1], texts[1], rates[1])
        words = words_of(patterns, lexicon) if patterns else ""
        found.append(Explained(feature.layer, feature.feature, words, fit.precision, fit.recall, fit.f1))
    return found


@torch.no_grad()
def _fired(
    model: MFNModel, rows: Sequence[NDArray[np.int64]], wanted: Sequence[Wanted], batch: int, progress: Progress
) -> dict[Wanted, NDArray[np.float64]]:
    """Of each feature [n, 3]: row, position and strength of its firings."""
    numbers = {n: [w for w in wanted if w.layer == n] for n in model.coders}
    parts: dict[Wanted, list[NDArray[np.float64]]] = {w: [] for w in wanted}
    read = 0
    for part, ids, keep in row_batches(rows, batch, model.device):
        for number, trace in model(ids, record="codes", logits_to_keep=1).traces.items():
            for w in numbers[number]:
                strength = trace.codes.value_of(w.feature) * w.sign
                row, position = ((strength > 0) & keep).nonzero(as_tuple=True)
                named = [part[i] for i in row.tolist()]
                columns = named, position.tolist(), strength[row, position].double().tolist()
                parts[w].append(np.array(columns, dtype=np.float64).T.reshape(-1, 3))
        read += len(part)
        progress(read, len(rows))
    return {w: np.concatenate(found) for w, found in parts.items()}


def _firings(
    fired: NDArray[np.float64], rows: Sequence[NDArray[np.int64]], half: int, lexicon: Lexicon, reach: int
) -> Firings:
    own = fired[fired[:, 0] % 2 == half]
    before = np.full((len(own), reach + 1), -1, dtype=np.int32)
    for n, (row, position, _) in enumerate(own):
        seen = rows[int(row)][max(1, int(position) - reach) : int(position) + 1][::-1]
        before[n, : len(seen)] = lexicon.first[seen]
    return Firings(before, np.ones(len(own)), own[:, 2], own[:, 0].astype(np.int64))


def summary(found: dict[str, list[Explained]]) -> list[dict[str, Any]]:
    """A row a source: how many features, and their mean F1, precision and recall with intervals over features."""
    rows = []
    for source, judged in found.items():
        if judged:
            row: dict[str, Any] = {"source": source, "features": len(judged)}
            for name in ("f1", "precision", "recall"):
                row[name] = mean_of([getattr(each, name) for each in judged]).to_json()
            rows.append(row)
    return rows
