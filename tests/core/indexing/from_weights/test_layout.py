"""The map: PCA against a singular value decomposition; UMAP, where it is installed, against itself and its aim."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from mfn_core.errors import ConfigError
from mfn_core.indexing.from_weights import umap
from mfn_core.indexing.from_weights.extremes import Rows
from mfn_core.indexing.from_weights.layout import lay_out
from mfn_core.indexing.from_weights.pca import principal_plane
from mfn_core.indexing.from_weights.types import WeightSettings

needs_umap = pytest.mark.skipif(not umap.umap_installed(), reason="umap-learn is not installed")


def cloud(*sizes: int) -> dict[int, Tensor]:
    torch.manual_seed(0)
    stretch = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.3])
    return {layer: torch.randn(size, 5) * stretch + 0.4 for layer, size in enumerate(sizes)}


def groups(directions: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """The same layers, each row next to one of three axes by its number."""
    return {
        layer: 0.2 * torch.nn.functional.normalize(rows, dim=-1) + torch.eye(5)[torch.arange(len(rows)) % 3]
        for layer, rows in directions.items()
    }


@pytest.mark.parametrize("chunk", [1, 64, 1 << 24])
def test_pca_is_that_of_directions_at_length_1(chunk: int) -> None:
    written = cloud(40, 1, 29)
    places = lay_out(written, WeightSettings(map="pca"), chunk)
    x = torch.nn.functional.normalize(torch.cat(list(written.values())).double(), dim=-1).numpy()
    x = x - x.mean(0)
    _, singular, axes = np.linalg.svd(x, full_matrices=False)
    for axis in axes[:2]:
        axis *= np.sign(axis[np.abs(axis).argmax()])
    xy = np.concatenate([place.pca for place in places.values()])
    np.testing.assert_allclose(xy, x @ axes[:2].T, atol=1e-6)
    assert [len(place.pca) for place in places.values()] == [40, 1, 29]
    for place in places.values():
        assert (place.umap, place.pca.dtype) == (None, np.float32)
        np.testing.assert_allclose(place.explained, singular[:2] ** 2 / (singular**2).sum(), rtol=1e-5)


def test_pca_of_one_place_alone() -> None:
    plane = principal_plane(Rows([torch.ones(3, 4)]))
    np.testing.assert_allclose(plane.xy, 0, atol=1e-7)
    assert np.isfinite(plane.explained).all()


def test_umap_is_asked_for_and_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(umap, "umap_installed", lambda: False)
    with pytest.raises(ConfigError, match="mfn-studio\\[map\\]"):
        lay_out(cloud(20), WeightSettings(map="umap"))
    assert lay_out(cloud(20), WeightSettings(map="auto"))[0].umap is None


def test_umap_is_not_loaded_for_pca_or_for_too_few_or_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(umap, "umap_installed", lambda: True)
    monkeypatch.setattr(umap, "MOST_FOR_AUTO", 19)
    monkeypatch.setitem(sys.modules, "umap", None)
    assert lay_out(cloud(10), WeightSettings(map="pca"))[0].umap is None
    assert lay_out(cloud(4), WeightSettings(map="umap"))[0].umap is None
    assert lay_out(cloud(10, 10), WeightSettings(map="auto"))[0].umap is None


@pytest.mark.slow
@needs_umap
def test_umap_keeps_groups_together_and_draws_the_same_again() -> None:
    written = groups(cloud(45, 30))
    told: list[int] = []
    first, again = (lay_out(written, WeightSettings(map="auto", map_neighbours=8), 300, told.append) for _ in range(2))
    assert told[-1] == 75
    for layer, place in first.items():
        assert place.umap is not None
        assert (place.umap.dtype, place.umap.shape) == (np.float32, (len(written[layer]), 2))
        np.testing.assert_array_equal(place.umap, again[layer].umap)
    xy = np.concatenate([place.umap for place in first.values() if place.umap is not None])
    group = np.concatenate([np.arange(45) % 3, np.arange(30) % 3])
    distances = np.linalg.norm(xy[:, None] - xy, axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (group[distances.argmin(1)] == group).all()


@pytest.mark.slow
@needs_umap
def test_umap_sees_the_directions_by_their_neighbours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands for the points in the call changes nothing: given the points themselves, it draws the same."""
    import umap

    written = groups(cloud(60))
    ours = lay_out(written, WeightSettings(map="umap"))[0].umap
    points = torch.nn.functional.normalize(written[0], dim=-1).numpy()
    fit = umap.UMAP.fit_transform
    monkeypatch.setattr(umap.UMAP, "fit_transform", lambda self, start: fit(self, points))
    np.testing.assert_array_equal(lay_out(written, WeightSettings(map="umap"))[0].umap, ours)
