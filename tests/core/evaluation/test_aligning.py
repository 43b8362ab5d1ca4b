"""Two models that say the same in another order align at 1; random codes, and other models, less."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mfn_core.evaluation.aligning import align
from mfn_core.evaluation.predictions import p3
from mfn_core.evaluation.random_codes import RandomCodes
from mfn_core.model import MFNModel


@pytest.fixture(scope="module")
def rows(tiny_model: MFNModel) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(1, tiny_model.vocab_size, int(rng.integers(12, 30))) for _ in range(40)]


@torch.no_grad()
def reordered(folder: Path, noise: float = 0.0) -> tuple[MFNModel, dict[int, torch.Tensor]]:
    """The model with its features in another order: what was feature j is now the one whose order is j."""
    model = MFNModel.from_pretrained(folder)
    rng = torch.Generator().manual_seed(3)
    orders = {}
    for number, layer in model.mfn_layers.items():
        order = orders[number] = torch.randperm(layer.n_features, generator=rng)
        for weights in (layer.W_enc, layer.b_enc, layer.W_dec):
            weights.copy_(weights[order].clone())
        layer.W_enc.add_(noise * torch.randn(layer.W_enc.shape, generator=rng))
    return model, orders


def test_the_same_features_in_another_order(tiny_bundle: Path, tiny_model: MFNModel, rows: list[np.ndarray]) -> None:
    other, orders = reordered(tiny_bundle)
    told: list[tuple[int, int]] = []
    found = align((tiny_model, other), "0–1", rows, random=(0, 1), batch=8, progress=lambda *at: told.append(at))
    assert told[-1] == (40, 40)
    assert [row.layer for row in found.codes] == [row.layer for row in found.random] == sorted(tiny_model.mfn_layers)
    for row, random in zip(found.codes, found.random, strict=True):
        dead = tiny_model.n_features[row.layer] - row.live
        assert row.matched == pytest.approx(1 - dead / tiny_model.n_features[row.layer], abs=1e-4)
        assert row.cka == pytest.approx(1.0, abs=1e-6)
        assert row.strong == pytest.approx(row.matched, abs=1e-4)
        for mine, theirs, similarity in row.best:
            assert (int(orders[row.layer][theirs]), round(similarity, 4)) == (mine, 1.0)
        assert row.held_out is not None
        assert random.matched < row.matched - 0.2
        assert random.cka < 0.95
        assert p3.Aligned.from_json(row.to_json()) == row


def test_other_features_align_less(tiny_bundle: Path, tiny_model: MFNModel, rows: list[np.ndarray]) -> None:
    near, far = (align((tiny_model, reordered(tiny_bundle, noise)[0]), "0–1", rows).codes for noise in (0.05, 1.0))
    for one, other in zip(near, far, strict=True):
        assert one.matched > other.matched + 0.1
        assert one.cka > other.cka
        # matched by chance, and scored where chance has no part
        assert other.held_out is not None
        assert other.held_out < other.matched


def test_random_codes_are_as_wide_and_as_sparse(tiny_model: MFNModel) -> None:
    x = torch.randn(50, tiny_model.d_model)
    first, again, other = (RandomCodes(tiny_model, seed).encode(1, x) for seed in (0, 0, 1))
    assert (first.n_features, first.width) == (tiny_model.n_features[1], tiny_model.mfn_layers[1].k)
    assert torch.equal(first.dense(), again.dense())
    assert not torch.equal(first.dense(), other.dense())
    nothing = RandomCodes(tiny_model)
    nothing.encode(1, x[:0])
    assert torch.isfinite(nothing.encode(1, x).values).all()  # the mean is of tokens that there are
