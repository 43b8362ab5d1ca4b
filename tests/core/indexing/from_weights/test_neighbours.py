"""Neighbours within a layer and across layers, against all cosines in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfn_core.directions import written
from mfn_core.indexing.from_weights.neighbours import neighbours
from mfn_core.indexing.from_weights.types import Links, WeightSettings

from .models import mixed


def as_tuples(links: Links, feature: int) -> list[tuple[int, int]]:
    return list(zip(links.layers[feature].tolist(), links.features[feature].tolist(), strict=True))


@pytest.mark.parametrize("chunk", [3, 130, 1 << 24])
@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_neighbours_are_the_highest_and_lowest_cosines(layer: int, chunk: int) -> None:
    model = mixed()
    with torch.no_grad():  # ties: the same direction within a layer, in two others, and once reversed
        model.coders[2].W_dec[4] = model.coders[0].W_dec[7] = model.coders[0].W_dec[1] = model.coders[3].W_dec[0]
        model.coders[0].W_dec[2] = -model.coders[0].W_dec[1]
    directions = {number: written(model, number) for number in model.coders}
    told: list[int] = []
    found = neighbours(
        directions, layer, WeightSettings(n_neighbours=5, n_opposite=5, n_elsewhere=7), chunk, told.append
    )
    assert told == sorted(told)
    assert told[-1] == len(directions[layer])
    names = [(number, j) for number, rows in directions.items() for j in range(len(rows))]
    every = torch.nn.functional.normalize(torch.cat(list(directions.values())).double(), dim=-1)
    for feature in range(len(directions[layer])):
        own = every[names.index((layer, feature))]
        cosines = dict(zip(names, (own * every).sum(-1).tolist(), strict=True))
        inside = {name: c for name, c in cosines.items() if name[0] == layer and name != (layer, feature)}
        outside = {name: c for name, c in cosines.items() if name[0] != layer}
        for links, candidates, n, sign in (
            (found.nearest, inside, 5, -1),
            (found.opposite, inside, 5, 1),
            (found.nearest_elsewhere, outside, 7, -1),
            (found.opposite_elsewhere, outside, 7, 1),
        ):
            best = sorted(candidates, key=lambda name: (sign * candidates[name], name))[:n]
            assert as_tuples(links, feature) == best
            np.testing.assert_allclose(links.values[feature], [candidates[name] for name in best], atol=1e-7)
    assert (found.nearest.layers.dtype, found.nearest.features.dtype) == (np.int16, np.int32)


def test_one_layer_alone_has_nobody_elsewhere() -> None:
    told: list[int] = []
    found = neighbours({3: torch.eye(2)}, 3, WeightSettings(), tell=told.append)
    assert told[-1] == 2
    assert as_tuples(found.nearest, 0) == as_tuples(found.opposite, 0) == [(3, 1)]
    assert found.nearest_elsewhere.features.shape == found.opposite_elsewhere.values.shape == (2, 0)


def test_a_direction_of_length_0_is_like_nothing() -> None:
    found = neighbours({0: torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.1]])}, 0, WeightSettings())
    assert found.nearest.values[0].tolist() == [0, 0]
    assert as_tuples(found.nearest, 0) == [(0, 1), (0, 2)]
    assert as_tuples(found.nearest, 1) == [(0, 0), (0, 2)]
