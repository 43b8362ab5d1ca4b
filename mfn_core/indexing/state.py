"""What is known of all layers after some part of a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.errors import MFNError
from mfn_core.indexing.accumulator import LayerAccumulator, WindowBatch
from mfn_core.indexing.ladder import RUNGS, level_of
from mfn_core.indexing.pairs import HALVES
from mfn_core.indexing.token_r2 import half_of
from mfn_core.indexing.types import IndexSettings
from mfn_core.model import MFNModel


class IndexState:
    """All layers' states after some part of a corpus. Merges exactly, in any order.

    Its settings must fit the model: see `IndexSettings.fit`.

    Raises:
        MFNError: a layer's code may be below 0, which no strength of a firing is.

    Attributes:
        layers: by block number.
        token_counts: int64 [levels, halves, V], how often each token counted in each half of the corpus, each on its
            level alone: see `ladder`.
    """

    def __init__(self, model: MFNModel, settings: IndexSettings) -> None:
        if model.signed:
            raise MFNError(
                f"layer {', '.join(map(str, sorted(model.signed)))}: values of signed neurons may be below 0, which "
                "cannot be indexed; with signed=False each neuron is two features, one a sign (NeuronConfig)"
            )
        self.settings = settings
        self.layers = {n: LayerAccumulator(f, model.vocab_size, settings) for n, f in model.n_features.items()}
        self.token_counts = np.zeros((RUNGS, HALVES, model.vocab_size), np.int64)

    @classmethod
    def from_arrays(cls, model: MFNModel, settings: IndexSettings, arrays: Mapping[str, NDArray[Any]]) -> IndexState:
        """The state whose `arrays` these are. It takes in more, and merges, as the one that was saved.

        Raises:
            ValueError: they are of another model or of other settings.
        """
        state = object.__new__(cls)
        state.settings = settings
        by_layer: dict[int, dict[str, NDArray[Any]]] = {number: {} for number in model.n_features}
        for key, array in arrays.items():
            number, _, name = key.partition("/")
            if name and int(number) in by_layer:
                by_layer[int(number)][name] = array
        state.layers = {
            number: LayerAccumulator.from_arrays(n_features, model.vocab_size, settings, by_layer[number])
            for number, n_features in model.n_features.items()
        }
        state.token_counts = arrays["token_counts"].copy()
        if state.token_counts.shape != (RUNGS, HALVES, model.vocab_size):
            raise ValueError(f"this state is of a vocabulary of {state.token_counts.shape[-1]} tokens")
        return state

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The whole state in canonical form, LAYER/NAME: equal states give equal arrays."""
        found = {
            f"{number}/{name}": array for number, layer in self.layers.items() for name, array in layer.arrays().items()
        }
        return {"token_counts": self.token_counts, **found}

    @property
    def n_tokens(self) -> int:
        """Tokens that counted."""
        return int(self.token_counts.sum())

    def count(self, windows: WindowBatch) -> None:
        """Counts the tokens of a batch."""
        level = level_of(windows.places()).reshape(windows.tokens.shape)
        group = level * HALVES + half_of(windows.document)[:, None]
        key = group * self.token_counts.shape[-1] + windows.tokens
        np.add.at(self.token_counts.reshape(-1), key[windows.counted], 1)

    def merge(self, other: IndexState) -> IndexState:
        """The state after both parts."""
        both = object.__new__(IndexState)
        both.settings = self.settings
        both.layers = {number: state.merge(other.layers[number]) for number, state in self.layers.items()}
        both.token_counts = self.token_counts + other.token_counts
        return both
