"""Absorption that was planted is found, and nothing is where nothing was."""

from __future__ import annotations

import pytest
import torch

from mfn_core.codes import SparseCodes
from mfn_core.metrics.absorption import absorption

PROBE = torch.tensor([1.0, 0.0, 0.0, 0.0])
# 0: the concept; 1: a special case that also writes the concept; 2: something else; 3: a little of the concept
DECODER = torch.tensor([[1.0, 0, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1.0, 0], [0.05, 0, 0, 0.9987]])


def codes(*rows: dict[int, float]) -> SparseCodes:
    width = max(map(len, rows))
    indices = torch.tensor([[*row, *([0] * (width - len(row)))] for row in rows])
    values = torch.tensor([[*row.values(), *([0.0] * (width - len(row)))] for row in rows])
    return SparseCodes(indices, values, 4)


def test_planted() -> None:
    found = absorption(codes({0: 2.0, 2: 1.0}, {1: 3.0, 2: 1.0}), DECODER, 5 * PROBE, torch.tensor([0]))
    assert found.full == 0.5
    assert found.fraction == pytest.approx(0.5)


def test_in_part() -> None:
    found = absorption(codes({0: 1.2, 1: 3.0}), DECODER, PROBE, torch.tensor([0]))
    assert (found.full, found.fraction) == (0.0, pytest.approx(1.8 / 3.0))


def test_nothing_where_main_features_fire_alone_or_others_point_elsewhere() -> None:
    for row in ({0: 1.0}, {2: 4.0}, {3: 4.0}):
        assert absorption(codes(row), DECODER, PROBE, torch.tensor([0])) == (0.0, 0.0)
    assert absorption(codes({1: 2.0}), DECODER, PROBE, torch.tensor([0, 1])) == (0.0, 0.0)


def test_there_must_be_something() -> None:
    with pytest.raises(ValueError, match="main features"):
        absorption(codes({0: 1.0}), DECODER, PROBE, torch.tensor([], dtype=torch.int64))
