"""Which table and column each array of an index becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.types import CorpusIndex, LayerIndex

TABLES: Mapping[str, str] = {
    "layers": "One row a layer of features, in order.",
    "features": "One row a feature. (layer, feature) is its key here and in every table of features.",
    "histograms": "How often each feature fires how strongly. The edges of the bins, common to a layer, are in layers.",
    "bands": "Each feature's contexts by strength, in bands of about equal count.",
    "tokens": "The tokens that each feature fires on most.",
    "logits": "The tokens whose logits each feature's direction raises and lowers most.",
    "neighbours": "The features of the same layer with the most similar directions.",
    "cofiring": "The features of the same layer that a feature fires together with, on a sample of tokens.",
    "weights": "What else the weights alone say of each feature: the shape of its logits, other features, its place.",
    "contexts": "Windows of documents in which a feature fires, with its firings as lists.",
    "documents": "The corpus: token ids, each document once.",
    "vocabulary": "The text of each token id.",
}

OF_FEATURES = ("features", "histograms", "bands", "tokens", "logits", "neighbours", "cofiring")
"""Tables with a row a feature, all in the same order."""

_TABLE_OF = {
    "bin_edges": "layers",
    "histogram": "histograms",
    "band_edges": "bands",
    "band_count": "bands",
    "top_token_ids": "tokens",
    "top_token_share": "tokens",
    "promoted_ids": "logits",
    "promoted_logits": "logits",
    "suppressed_ids": "logits",
    "suppressed_logits": "logits",
    "neighbour_ids": "neighbours",
    "neighbour_cos": "neighbours",
    "cofiring_ids": "cofiring",
    "cofiring_lift": "cofiring",
    "cofiring_joint": "cofiring",
    "next_token_ids": "tokens",
    "next_token_share": "tokens",
}
"""Arrays that are not named here go into `features` where their first axis is the features', else into `layers`."""

FIRINGS = ("positions", "values")
"""Arrays of `Contexts` that have one entry a firing, cut by its `offsets`; all others have one a context."""


class Column(NamedTuple):
    """An array's place: its table, and its type and number of axes, which are the same in every layer."""

    table: str
    dtype: np.dtype[Any]
    ndim: int


def arrays_of(layer: LayerIndex) -> dict[str, NDArray[Any]]:
    """All arrays of a layer by name, its contexts' apart."""
    named = ((field.name, getattr(layer, field.name)) for field in fields(layer))
    return {name: value for name, value in named if isinstance(value, np.ndarray)}


def table_of(name: str, of_features: bool) -> str:
    """The table of an array; `of_features`: whether its first axis is theirs."""
    return _TABLE_OF.get(name) or ("features" if of_features else "layers")


def columns_of(index: CorpusIndex) -> dict[str, Column]:
    """Where each array of the index's layers goes."""
    found: dict[str, Column] = {}
    for layer in index.layers:
        for name, array in arrays_of(layer).items():
            of_features = array.ndim > 0 and len(array) == layer.n_features
            column = Column(table_of(name, of_features), array.dtype, array.ndim)
            before = found.setdefault(name, column)
            assert before[1:] == column[1:], f"{name} is not of one type in all layers"
            if before.table == "features" and column.table == "layers":
                found[name] = column  # the lengths agreed by chance
    return found
