"""The competition loss against its definition over F × F, which it never builds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import mfn_core.losses.competition as module
from mfn_core.codes import SparseCodes, top_k
from mfn_core.losses import Competition
from mfn_core.run import AuxBranch, LayerTrace

N_FEATURES, K = 14, 3


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 5)


def traced(values: Tensor, indices: Tensor) -> LayerTrace:
    codes = SparseCodes(indices, values, N_FEATURES)
    return LayerTrace(codes, codes.detach(), values[..., :1], values[..., :1], None, AuxBranch(values, codes))


def random_codes(rows: int = 2, tokens: int = 6) -> tuple[Tensor, Tensor]:
    pre = torch.randn(rows, tokens, N_FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    codes = top_k(pre, K)
    return codes.values.detach().requires_grad_(), codes.indices


def plainly(values: Tensor, indices: Tensor, power: Tensor, keep: Tensor) -> Tensor:
    """Σ over pairs of different features and of different tokens, written out."""
    z = torch.zeros(*values.shape[:-1], N_FEATURES, dtype=values.dtype).scatter_add(-1, indices, values)
    z = (z / power.sqrt())[keep]
    total = torch.zeros((), dtype=values.dtype)
    for t in range(len(z)):
        for u in range(len(z)):
            if t != u:
                both = torch.outer(z[t] * z[u], z[t] * z[u])
                total = total + both.sum() - both.diagonal().sum()
    return total / (N_FEATURES * len(z) * (len(z) - 1))


def test_is_the_definition_with_autograds_gradient() -> None:
    values, indices = random_codes()
    power = torch.rand(N_FEATURES, dtype=torch.float64) + 0.5
    keep = torch.ones(2, 6, dtype=torch.bool)
    keep[0, 0] = keep[1, 3] = False
    got = Competition()(traced(values, indices), keep, power, slice(None))
    expected = plainly(values, indices, power, keep)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad(got, values), torch.autograd.grad(expected, values))


def test_a_subset_of_positions_is_that_subset_alone() -> None:
    values, indices = random_codes()
    power, keep = torch.ones(N_FEATURES, dtype=torch.float64), torch.ones(2, 6, dtype=torch.bool)
    where = slice(1, None, 2)
    got = Competition()(traced(values, indices), keep, power, where)
    torch.testing.assert_close(got, plainly(values[:, where], indices[:, where], power, keep[:, where]))


def test_passes_finite_differences() -> None:
    values, indices = random_codes()
    power, keep = torch.ones(N_FEATURES, dtype=torch.float64), torch.ones(2, 6, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda v: Competition()(traced(v, indices), keep, power, slice(None)), (values,))


def test_independent_features_cost_what_chance_has_and_twins_more() -> None:
    generator = torch.Generator().manual_seed(0)
    fires = (torch.rand(1, 600, N_FEATURES, generator=generator) < 0.2).double()
    keep, power = torch.ones(1, 600, dtype=torch.bool), torch.full((N_FEATURES,), 0.2, dtype=torch.float64)
    codes = top_k(fires, N_FEATURES)
    independent = float(Competition()(traced(codes.values, codes.indices), keep, power, slice(None)))
    # E[ẑ_i ẑ_j]² = 0.2² for every pair
    assert independent == pytest.approx((N_FEATURES - 1) * 0.2**2, rel=0.1)
    fires[..., 1] = fires[..., 0]
    codes = top_k(fires, N_FEATURES)
    assert float(Competition()(traced(codes.values, codes.indices), keep, power, slice(None))) > independent + 0.05
