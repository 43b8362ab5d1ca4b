"""Whether what comes from elsewhere about the weights fits the model, and itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.errors import ConfigError
from mfn_core.indexing.from_weights.types import LayerWeights, WeightSettings
from mfn_server.index_file import IndexFileError
from mfn_server.weights.record import SIDES, WeightRecord, arrays_of, shared_of

_MAY_BE_UNKNOWN = ("skewness", "kurtosis", "agreement")
_ONE_EACH = ("std", *_MAY_BE_UNKNOWN)


def check_weights(record: WeightRecord, n_features: Mapping[int, int]) -> None:
    """Check a record before it is written into a database.

    Args:
        record: to check.
        n_features: the model's layers, and how many features each has.

    Raises:
        IndexFileError: the first thing that is wrong.
    """
    if {layer: facts.n_features for layer, facts in record.layers.items()} != dict(n_features):
        raise IndexFileError("what it says of the weights is of other layers, or other numbers of features")
    try:
        WeightSettings(**record.settings)
    except (TypeError, ConfigError) as error:
        raise _damaged(f"settings: {error}") from error
    for facts in record.layers.values():
        _check_layer(facts, n_features)


def _check_layer(facts: LayerWeights, n_features: Mapping[int, int]) -> None:
    arrays, shared = arrays_of(facts), shared_of(facts)
    for name, array in arrays.items():
        if array.ndim != (1 if name in _ONE_EACH else 2) or len(array) != facts.n_features:
            raise _damaged(f"{name} of layer {facts.layer} is not of {facts.n_features} features")
        if array.dtype.kind == "f" and (np.isinf(array) if name in _MAY_BE_UNKNOWN else ~np.isfinite(array)).any():
            raise _damaged(f"{name} of layer {facts.layer} is not finite")
    if shared.bin_edges.shape != (arrays["histogram"].shape[1] + 1,) or (np.diff(shared.bin_edges) <= 0).any():
        raise _damaged(f"layer {facts.layer} has bins without edges")
    if (arrays["histogram"] < 0).any():
        raise _damaged(f"layer {facts.layer} has fewer than no tokens in a bin")
    if shared.explained is not None and (shared.explained.shape != (2,) or not np.isfinite(shared.explained).all()):
        raise _damaged(f"explained of layer {facts.layer} is not of two axes")
    if any(arrays[name].shape[1] != 2 for name in ("pca", "umap") if name in arrays):
        raise _damaged(f"places of layer {facts.layer} are not in a plane")
    for side in SIDES:
        other: int | None = getattr(shared, side)
        if other is not None and other not in n_features:
            raise _damaged(f"{side} of layer {facts.layer} is no layer")
    for name in (name.removesuffix("_features") for name in arrays if name.endswith("_features")):
        _check_list(facts.layer, name, arrays, n_features, getattr(shared, name.partition("_")[0], facts.layer))


def _check_list(
    layer: int, name: str, arrays: Mapping[str, NDArray[Any]], n_features: Mapping[int, int], other: int
) -> None:
    features, values = arrays[f"{name}_features"], arrays[f"{name}_values"]
    layers = arrays.get(f"{name}_layers", np.full(features.shape, other))
    if not features.shape == values.shape == layers.shape:
        raise _damaged(f"{name} of layer {layer} has features without figures")
    known = np.isin(layers, list(n_features))
    ends = np.array([n_features.get(number, 0) for number in range(max(n_features, default=0) + 1)])
    if not known.all() or (features < 0).any() or (features >= ends[np.where(known, layers, 0)]).any():
        raise _damaged(f"{name} of layer {layer} has features that are not there")


def _damaged(what: str) -> IndexFileError:
    return IndexFileError(f"the index is damaged: {what}")
