"""Where features fire in a text, and snippets of it in which one fires or does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mfn_core.indexing.batching import Batcher
from mfn_core.indexing.types import IndexSettings
from mfn_core.model import MFNModel

Place = tuple[int, int]
"""Layer and feature."""

SNIPPETS = 10
FEWEST_FIRING, MOST_FIRING = 3, 7
"""In how many of ten snippets a feature fires: drawn, so that the number gives no answer away."""

BEFORE, AFTER = 32, 4
"""Tokens of a snippet around a position: most of them before it, since that is what a causal model has read there."""

_CANDIDATES = 10_000  # positions, drawn at random, among which snippets are looked for


class Window(NamedTuple):
    """Tokens [start, stop) of a document."""

    document: int
    start: int
    stop: int

    def overlaps(self, other: Window) -> bool:
        """Whether both hold a token."""
        return self.document == other.document and self.start < other.stop and other.start < self.stop


@dataclass(frozen=True)
class HeldOut:
    """Documents, one behind the other: P positions, the first of each document included, which counts in nothing.

    Attributes:
        documents: token ids of each.
        offsets: int64 [documents], where each begins.
        firings: by feature, int64 [n], the positions where it fires, ascending. Features that never fire are not there.
        strengths: by feature, float32 [n], how strongly it fires there.
    """

    documents: Sequence[NDArray[np.uint32]]
    offsets: NDArray[np.int64]
    firings: dict[Place, NDArray[np.int64]]
    strengths: dict[Place, NDArray[np.float32]]

    @classmethod
    def read(cls, model: MFNModel, documents: Sequence[NDArray[np.uint32]], features: Collection[Place]) -> HeldOut:
        """Runs documents through the model as an index does, and keeps where these features fire.

        Args:
            model: with layers.
            documents: token ids, the beginning-of-text token first.
            features: layers and features that it has.
        """
        lengths = np.array([len(ids) for ids in documents], np.int64)
        offsets = np.cumsum(lengths) - lengths
        found = list(_firings(model, documents, offsets, features))
        firings = {place: positions for place, positions, _ in found}
        return cls(documents, offsets, firings, {place: strengths for place, _, strengths in found})

    @property
    def n_tokens(self) -> int:
        """Positions that count."""
        return sum(max(len(ids) - 1, 0) for ids in self.documents)

    def document_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64, as many as positions. Documents are never empty."""
        found: NDArray[np.int64] = np.searchsorted(self.offsets, positions, "right") - 1
        return found

    def around(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Windows around positions: their first positions, and those after their last.

        Near an end of its document a window is moved inwards, not cut: short ones would hold fewer firings, and so a
        snippet's length would tell something. Those of documents that are shorter than a window are the whole.
        """
        document = self.document_of(positions)
        begin = self.offsets[document] + 1
        end = (np.array([len(ids) for ids in self.documents], np.int64) + self.offsets)[document]
        size = BEFORE + 1 + AFTER
        first = np.maximum(np.minimum(positions - BEFORE, end - size), begin)
        return first, np.minimum(first + size, end)

    def tokens(self, window: Window) -> NDArray[np.uint32]:
        """Its token ids."""
        return self.documents[window.document][window.start : window.stop]

    def with_firing(self, place: Place, n: int, at_least: float, generator: np.random.Generator) -> list[Window]:
        """At most n windows around positions where a feature fires at least so strongly, drawn uniformly from these.

        From different documents as far as possible, and none that overlap or say the same.
        """
        return self._draw(self.firings[place][self.strengths[place] >= at_least], n, [], generator)

    def without(self, place: Place, n: int, apart: list[Window], generator: np.random.Generator) -> list[Window]:
        """At most n windows around any positions, in which a feature fires nowhere; none overlaps those in `apart`."""
        positions = np.arange(sum(len(ids) for ids in self.documents), dtype=np.int64)
        positions = np.delete(positions, self.offsets)
        first, end = self.around(positions)
        fires = self.firings[place]
        silent = np.searchsorted(fires, first) == np.searchsorted(fires, end)
        return self._draw(positions[silent], n, apart, generator)

    def _draw(
        self, positions: NDArray[np.int64], n: int, apart: list[Window], generator: np.random.Generator
    ) -> list[Window]:
        drawn = generator.permutation(positions)[:_CANDIDATES]
        documents = self.document_of(drawn)
        first, end = (edge - self.offsets[documents] for edge in self.around(drawn))
        windows = list(map(Window, documents.tolist(), first.tolist(), end.tolist()))
        chosen: list[Window] = []
        texts = {self.tokens(window).tobytes() for window in apart}
        for window in _one_of_each_first(windows):
            if len(chosen) == n:
                break
            text = self.tokens(window).tobytes()
            if text not in texts and not any(window.overlaps(other) for other in (*apart, *chosen)):
                chosen.append(window)
                texts.add(text)
        return chosen


def draw_snippets(
    held_out: HeldOut, place: Place, seed: int, at_least: float = 0.0, n: int = SNIPPETS
) -> list[tuple[Window, bool]] | str:
    """The snippets of one feature in the order in which they are shown, each with whether it fires there.

    They depend on text, feature, seed, `at_least` and n alone, so that two atlases of a model can be compared on the
    same ones. `at_least` is how strong a firing has to be to be drawn.

    Returns:
        n of them; or why there are none.
    """
    generator = np.random.default_rng([seed, *place])
    fewest, most = (round(each * n / SNIPPETS) for each in (FEWEST_FIRING, MOST_FIRING))
    firing = held_out.with_firing(place, int(generator.integers(fewest, most, endpoint=True)), at_least, generator)
    if len(firing) < FEWEST_FIRING:
        return f"fires{' strongly' if at_least else ''} in fewer than {FEWEST_FIRING} snippets that lie apart"
    silent = held_out.without(place, n - len(firing), firing, generator)
    if len(firing) + len(silent) < n:
        return "fires in nearly every snippet"
    snippets = [*((window, True) for window in firing), *((window, False) for window in silent)]
    return [snippets[at] for at in generator.permutation(n)]


def _one_of_each_first(windows: Sequence[Window]) -> list[Window]:
    """The first of each document in the order given, then the second of each, and so on."""
    met: Counter[int] = Counter()
    turns = []
    for window in windows:
        turns.append(met[window.document])
        met[window.document] += 1
    return [windows[n] for n in sorted(range(len(windows)), key=turns.__getitem__)]


@torch.inference_mode()
def _firings(
    model: MFNModel, documents: Sequence[NDArray[np.uint32]], offsets: NDArray[np.int64], features: Collection[Place]
) -> Iterator[tuple[Place, NDArray[np.int64], NDArray[np.float32]]]:
    """Each feature that fires, its positions and strengths."""
    settings = IndexSettings().fit(model.max_context)
    wanted = {layer: np.zeros(n, np.bool_) for layer, n in model.n_features.items()}
    for layer, feature in features:
        wanted[layer][feature] = True
    found: dict[int, list[tuple[NDArray[Any], ...]]] = {n: [] for n, mask in wanted.items() if mask.any()}
    model.eval()
    batcher = Batcher(settings.seq_len, settings.window, settings.batch_rows, model.bos_token_id)
    for batch in batcher.batches(enumerate(documents)):
        traces = model(torch.from_numpy(batch.input_ids).to(model.device), record=True, logits_to_keep=1).traces
        begins = offsets[batch.windows.document] + batch.windows.start
        for layer, parts in found.items():
            codes = traces[layer].codes
            indices, values = (batch.in_windows(x.cpu().numpy()) for x in (codes.indices, codes.values.float()))
            fires = (values > 0) & batch.windows.counted[..., None] & wanted[layer][indices]
            where = np.nonzero(fires)
            parts.append((indices[where].astype(np.int32), begins[where[0]] + where[1], values[where]))
    for layer, parts in found.items():
        numbers = np.concatenate([np.zeros(0, np.int32), *(part[0] for part in parts)])
        positions = np.concatenate([np.zeros(0, np.int64), *(part[1] for part in parts)])
        strengths = np.concatenate([np.zeros(0, np.float32), *(part[2] for part in parts)])
        order = np.lexsort((positions, numbers))
        starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
        split = (np.split(column[order], starts)[1:] for column in (positions, strengths))
        for number, own, how in zip(numbers[order][starts].tolist(), *split, strict=True):
            yield (layer, number), own, how
