"""A map of the features of all layers at one site: features that write alike lie together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfn_core.indexing.from_weights.extremes import CHUNK, Rows, extremes
from mfn_core.indexing.from_weights.neighbours import unit
from mfn_core.indexing.from_weights.pca import principal_plane
from mfn_core.indexing.from_weights.types import MapPlaces, WeightSettings
from mfn_core.indexing.from_weights.umap import umap_wanted


def lay_out(
    written: Mapping[int, Tensor],
    settings: WeightSettings,
    chunk: int = CHUNK,
    tell: Callable[[int], None] | None = None,
) -> dict[int, MapPlaces]:
    """Places for all features of these layers on one map, by the cosine of what they write: by PCA, and by UMAP where
    the settings ask for it.

    PCA is of the directions at length 1, for which a distance squared is 2 − 2 cos; it is linear and quick (N·d²
    multiply-adds). UMAP (McInnes et al. 2018, arXiv 1802.03426, by umap-learn) keeps neighbourhoods and nothing else:
    neither distances between groups nor their sizes mean anything. Its neighbours are exact (N²·d multiply-adds, see
    `extremes`), it begins from the PCA, and its seed is fixed, for which it runs on one core: 22 s for
    6,144 features of width 256, its compilation included. Its own time and memory grow about as N, the neighbours'
    time as N². With the same versions on the same kind of machine it draws the same map again; elsewhere it may differ.

    Args:
        written: [F, d] by layer.
        settings: `map`, `map_neighbours`, `seed`.
        chunk: entries of one block of cosines.
        tell: called with the number of features that are done: as neighbours are found, and when all is drawn.

    Raises:
        ConfigError: UMAP is asked for and not installed.
    """
    rows = Rows(list(written.values()), unit)
    plane = principal_plane(rows, chunk)
    umap = _umap(rows, plane.xy, settings, chunk, tell) if umap_wanted(settings, len(rows)) else None
    if tell:
        tell(len(rows))
    places, first = {}, 0
    for layer, part in written.items():
        mine = slice(first, first + len(part))
        places[layer] = MapPlaces(plane.xy[mine], plane.explained, None if umap is None else umap[mine])
        first += len(part)
    return places


def _umap(
    rows: Rows, start: NDArray[np.float32], settings: WeightSettings, chunk: int, tell: Callable[[int], None] | None
) -> NDArray[np.float32]:
    n = min(settings.map_neighbours, len(rows))
    nearest, _ = extremes(rows, rows, n - 1, 0, without=torch.arange(len(rows)), chunk=chunk, tell=tell)
    own = np.arange(len(rows))[:, None]  # UMAP counts a point among its own neighbours
    numbers = np.concatenate([own, nearest.numbers], axis=1)
    distances = np.concatenate([np.zeros_like(own, np.float32), 1 - nearest.products], axis=1).clip(min=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # that TensorFlow, which is not needed, is not there
        import umap
    with warnings.catch_warnings():
        # That later points could not be placed on this map: there are none.
        warnings.filterwarnings("ignore", message=r"precomputed_knn\[2\]", category=UserWarning)
        drawing: Any = umap.UMAP(
            n_neighbors=n,
            metric="cosine",
            min_dist=0.0,  # near may be as near as it will: by a third more of the nearest stay so than with 0.1
            init=start,
            random_state=settings.seed,
            n_jobs=1,
            precomputed_knn=(numbers, distances),
            force_approximation_algorithm=True,  # without it few points have their neighbours computed again
        )
        # With neighbours and a start given, UMAP does not look at the points themselves: the start stands for them.
        found: NDArray[np.float32] = drawing.fit_transform(start)
    return found
