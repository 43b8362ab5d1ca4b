"""What a code leaves out: known answers, any division into batches, and what has no answer."""

from __future__ import annotations

import math

import pytest
import torch

from mfn_core.metrics.reconstruction import ReconstructionSums, reconstruction

X = torch.randn(200, 6, generator=torch.Generator().manual_seed(0)) + 3.0


def test_the_stream_itself_leaves_nothing_out() -> None:
    found = reconstruction(X, X)
    assert found.fvu == 0.0
    assert found.shrinkage == pytest.approx(0.0, abs=1e-12)
    assert (found.cosine, found.norm_ratio) == pytest.approx((1.0, 1.0))


def test_the_mean_explains_nothing() -> None:
    found = reconstruction(X, X.double().mean(0).expand_as(X))
    assert found.fvu == pytest.approx(1.0)
    assert found.explained == pytest.approx(0.0)


def test_zeros_explain_less_than_nothing_where_the_mean_is_not_zero() -> None:
    assert reconstruction(X, torch.zeros_like(X)).explained < -1.0


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25])
def test_a_common_factor_is_shrinkage(factor: float) -> None:
    found = reconstruction(X, factor * X)
    assert found.shrinkage == pytest.approx(1 - factor)
    assert found.norm_ratio == pytest.approx(factor)
    assert found.cosine == pytest.approx(1.0)


def test_shrinkage_is_the_best_factor() -> None:
    x_hat = 0.7 * X + torch.randn(X.shape, generator=torch.Generator().manual_seed(1))
    gamma = 1 - reconstruction(X, x_hat).shrinkage

    def error(by: float) -> float:
        return float((x_hat.double() / by - X.double()).square().sum())

    assert error(gamma) < min(error(gamma * 0.99), error(gamma * 1.01))


def test_batches_add_up() -> None:
    x_hat = X + 0.3 * torch.randn(X.shape, generator=torch.Generator().manual_seed(2))
    sums = ReconstructionSums(6)
    for part in (slice(0, 7), slice(7, 150), slice(150, 200)):
        sums.add(X[part], x_hat[part])
    assert sums.result() == pytest.approx(reconstruction(X, x_hat))


def test_processes_add_up() -> None:
    found = ReconstructionSums(6)
    found.add(X, 0.9 * X)
    assert found.result(lambda sums: 2 * sums) == pytest.approx(reconstruction(X, 0.9 * X))


def test_what_never_varies_has_no_fraction() -> None:
    assert math.isnan(reconstruction(torch.ones(4, 2), torch.zeros(4, 2)).fvu)
    with pytest.raises(ValueError, match="no tokens"):
        ReconstructionSums(2).result()
