"""The codes of one text, and one feature's values on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.codes import SparseCodes
from mfn_core.errors import ConfigError
from mfn_core.reading import markup
from mfn_core.reading.table import FeatureRow, FeatureTable
from mfn_core.reading.units import Tokens

_SHOWN = 10  # features of a text that its display lists
_TOLD = 3  # features of a block that a token's tooltip lists


@dataclass(frozen=True, eq=False)
class TokenValues:
    """One feature's value on every token of a text. Shows itself as the text, shaded.

    Attributes:
        layer, feature: which feature.
        tokens: the T tokens.
        values: float32 [T], in units of z; 0 where it is silent.
        skip: how many tokens at the beginning count in nothing: 1 where a beginning-of-text token stands, else 0.
    """

    layer: int
    feature: int
    tokens: Tokens
    values: NDArray[np.float32]
    skip: int

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Pairs of a token and the value on it."""
        return iter(zip(self.tokens, self.values.tolist(), strict=True))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """float32 [T], so that NumPy and plotting libraries take the object as it is."""
        return np.array(self.values, dtype=dtype, copy=copy)

    @property
    def counted(self) -> NDArray[np.float32]:
        """The values on the tokens that count, float32 [T − skip]."""
        return self.values[self.skip :]

    @property
    def position(self) -> int | None:
        """The token on which it is strongest (the first of equals); None where it fires on none that counts."""
        return self.skip + int(np.abs(self.counted).argmax()) if self.counted.any() else None

    @property
    def peak(self) -> float:
        """Its strongest value; 0 where it is silent."""
        return 0.0 if self.position is None else float(self.values[self.position])

    @property
    def share(self) -> float:
        """The share of the tokens that count on which it fires."""
        return float((self.counted != 0).mean()) if len(self.counted) else 0.0

    def __repr__(self) -> str:
        rows = [f"{value:9.2f}  {markup.visible(token)}" for token, value in self]
        return "\n".join([self._summary(), *rows])

    def _repr_html_(self) -> str:
        titles = [_line(self.layer, self.feature, value) if value else "" for value in self.values.tolist()]
        largest = float(np.abs(self.counted).max(initial=0.0))
        shaded = markup.strip(self.tokens.units, self.values.tolist(), titles, largest=largest, peak=self.position)
        return markup.frame(markup.heading(f"Feature {self.feature} of layer {self.layer}", self._told()), shaded)

    def one_line(self) -> str:
        """The shaded text as HTML on one line, cut around the strongest token."""
        titles = [f"{value:.2f}" if value else "" for value in self.values.tolist()]
        largest = float(np.abs(self.counted).max(initial=0.0))
        return markup.strip(
            self.tokens.units, self.values.tolist(), titles, largest=largest, peak=self.position, one_line=True
        )

    def _summary(self) -> str:
        return f"Feature {self.feature} of layer {self.layer} on {len(self)} tokens: {self._told()}"

    def _told(self) -> str:
        if self.position is None:
            return "silent on this text"
        token = markup.visible(self.tokens[self.position])
        return f"strongest {self.peak:.2f} on “{token}”, fires on {self.share:.0%} of the tokens"


class TextCodes(Mapping[int, SparseCodes]):
    """The codes of one text, by block: `codes[layer]` is a `SparseCodes` of [T, K].

    Shows itself as the text, whose tokens tell on hovering what fires on them, and its strongest features.

    Attributes:
        tokens: its T tokens: a sequence of their display texts, which also has their `ids`.
        skip: how many tokens at the beginning count in no peak, share or ranking: the beginning-of-text token, on which
            models have activations like nowhere else.
    """

    def __init__(self, layers: Mapping[int, SparseCodes], tokens: Tokens, skip: int = 0) -> None:
        """Codes of [T, K] for each layer."""
        self._layers = dict(layers)
        self.tokens = tokens
        self.skip = skip

    def __getitem__(self, layer: int) -> SparseCodes:
        return self._layers[layer]

    def __iter__(self) -> Iterator[int]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def feature(self, layer: int, feature: int) -> TokenValues:
        """One feature's value on every token.

        Raises:
            ConfigError: there is no such layer or feature.
        """
        check_feature({number: codes.n_features for number, codes in self.items()}, layer, feature)
        values = self[layer].detach().value_of(feature).float().cpu().numpy()
        return TokenValues(layer, feature, self.tokens, values, self.skip)

    def top(self, n: int = 10, layer: int | None = None) -> FeatureTable:
        """The features with the highest peaks, highest first; of equals, the lower layer and number.

        Values of different layers are on one scale only in so far as the streams were normalised before encoding.

        Args:
            n: how many.
            layer: of this block alone.
        """
        rows = [row for number in self if layer in (None, number) for row in self._rows(number)]
        rows.sort(key=lambda row: (-abs(row.peak), row.layer, row.feature))
        return FeatureTable(rows[:n], self)

    def at(self, token: int, n: int = 10) -> FeatureTable:
        """What fires on one token: the n strongest features there, ranked by their value on it.

        The rows' `peak` and `position` are the value and place of that token; `share` is of the whole text.

        Args:
            token: its position; below 0 it is counted from the end.
            n: how many.

        Raises:
            ConfigError: the text is shorter than that.
        """
        if not -len(self.tokens) <= token < len(self.tokens):
            raise ConfigError(f"there is no token {token}: the text has {len(self.tokens)}")
        place = token % len(self.tokens)
        found = [(number, j, value) for number in self for j, value in self._entries[place][number]]
        found.sort(key=lambda entry: (-abs(entry[2]), entry[0], entry[1]))
        rows = [
            FeatureRow(number, j, value, place, self.tokens[place], self.feature(number, j).share)
            for number, j, value in found[:n]
        ]
        return FeatureTable(rows, self)

    def __repr__(self) -> str:
        return f"{self._summary()}; the strongest features:\n{self.top(_SHOWN)!r}"

    def _repr_html_(self) -> str:
        titles = [self._tooltip(place) for place in range(len(self.tokens))]
        bare = markup.strip(self.tokens.units, [0.0] * len(self.tokens), titles, largest=1.0)
        hint = markup.note("Point at a token to see what fires on it. Below, the strongest features of this text.")
        return markup.frame(markup.heading(self._summary()), bare, hint, self.top(_SHOWN).table_html())

    def _summary(self) -> str:
        return f"Codes of {len(self.tokens)} tokens in {len(self)} block{'' if len(self) == 1 else 's'}"

    def _tooltip(self, place: int) -> str:
        lines = [markup.visible(self.tokens[place])]
        for number in self:
            strongest = sorted(self._entries[place][number], key=lambda entry: -abs(entry[1]))[:_TOLD]
            if strongest:
                lines.append(f"layer {number}: " + ", ".join(f"{j} ({value:.2f})" for j, value in strongest))
        return "\n".join(lines)

    @cached_property
    def _arrays(self) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Indices and values [T, K] by block."""
        return {
            number: (codes.indices.cpu().numpy(), codes.values.detach().float().cpu().numpy())
            for number, codes in self.items()
        }

    @cached_property
    def _entries(self) -> list[dict[int, list[tuple[int, float]]]]:
        """What fires on each token: by block, (feature, value)."""
        return [
            {
                number: [(j, v) for j, v in zip(ids[place].tolist(), values[place].tolist(), strict=True) if v]
                for number, (ids, values) in self._arrays.items()
            }
            for place in range(len(self.tokens))
        ]

    def _rows(self, number: int) -> list[FeatureRow]:
        """A row for every feature of a block that fires on a token that counts."""
        ids, values = (array[self.skip :] for array in self._arrays[number])
        place, column = np.nonzero(values)
        feature, value = ids[place, column], values[place, column]
        order = np.lexsort((place, -np.abs(value), feature))
        feature, value, place = feature[order], value[order], place[order]
        numbers, first, count = np.unique(feature, return_index=True, return_counts=True)
        return [
            FeatureRow(number, j, peak, self.skip + at, self.tokens[self.skip + at], fired / len(ids))
            for j, peak, at, fired in zip(
                numbers.tolist(), value[first].tolist(), place[first].tolist(), count.tolist(), strict=True
            )
        ]


def check_feature(n_features: Mapping[int, int], layer: int, feature: int) -> None:
    """Raises a ConfigError unless the feature exists. `n_features` are by block number."""
    if layer not in n_features:
        raise ConfigError(
            f"block {layer} has no features; equipped blocks: {', '.join(map(str, n_features)) or 'none'}"
        )
    if not 0 <= feature < n_features[layer]:
        raise ConfigError(f"feature {feature} does not exist; layer {layer} has features 0 to {n_features[layer] - 1}")


def _line(layer: int, feature: int, value: float) -> str:
    return f"layer {layer}, feature {feature}: {value:.2f}"
