"""Sparse sums against the same sums written densely, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mfn_core.kernels import transposed_rows, weighted_rows
from mfn_core.kernels.bags import dot_rows

N, K, N_FEATURES, D = 9, 4, 20, 6


def material(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Indices, among them a feature that never occurs and one that always does; weights, rows and a cotangent."""
    random = torch.Generator().manual_seed(0)
    indices = torch.rand(N, N_FEATURES - 1, generator=random).topk(K).indices
    indices[:, 0] = torch.where((indices == 3).any(-1), indices[:, 0], 3)
    weights, rows, tokens = (
        torch.randn(shape, generator=random, dtype=torch.float64).to(dtype)
        for shape in ((N, K), (N_FEATURES, D), (N, D))
    )
    return indices, weights, rows, tokens


def dense(indices: Tensor, weights: Tensor) -> Tensor:
    return weights.new_zeros(len(indices), N_FEATURES).scatter_add(-1, indices, weights)


def test_forward_and_gradients_are_the_dense_products() -> None:
    indices, weights, rows, tokens = material()
    weights.requires_grad_()
    rows.requires_grad_()
    got = weighted_rows(indices, weights, rows)
    expected = dense(indices, weights) @ rows
    torch.testing.assert_close(got, expected)
    for mine, theirs in zip(
        torch.autograd.grad(got, (weights, rows), tokens),
        torch.autograd.grad(expected, (weights, rows), tokens),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_gradients_are_finite_differences() -> None:
    indices, weights, rows, _ = material()
    weights.requires_grad_()
    rows.requires_grad_()
    sums = lambda w, r: weighted_rows(indices, w, r)  # noqa: E731
    assert torch.autograd.gradcheck(sums, (weights, rows), check_forward_ad=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_transposed_rows_add_up_each_features_tokens(dtype: torch.dtype) -> None:
    indices, weights, _, tokens = material(dtype)
    got = transposed_rows(indices, weights, tokens, N_FEATURES)
    assert got.dtype == dtype
    assert not got[N_FEATURES - 1].any()
    expected = dense(indices, weights.double()).t() @ tokens.double()
    torch.testing.assert_close(got.double(), expected, rtol=3e-2 if dtype == torch.bfloat16 else 1e-5, atol=3e-2)


def test_no_entries_at_all() -> None:
    indices, weights, _, tokens = material()
    assert torch.equal(
        transposed_rows(indices[:, :0], weights[:, :0], tokens, N_FEATURES),
        torch.zeros(N_FEATURES, D, dtype=torch.float64),
    )


def test_dot_rows() -> None:
    indices, _, rows, tokens = material()
    # A cotangent that is expanded, as a sum's is, has strides of 0.
    for given in (tokens, torch.ones(1, 1, dtype=torch.float64).expand(N, D)):
        torch.testing.assert_close(dot_rows(indices, given, rows), (given @ rows.t()).gather(-1, indices))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch, of itself
def test_a_compiled_graph_holds_it_whole() -> None:
    indices, weights, rows, tokens = material()
    weights.requires_grad_()
    rows.requires_grad_()
    compiled = torch.compile(weighted_rows, backend="aot_eager", fullgraph=True)
    for mine, theirs in zip(
        torch.autograd.grad(compiled(indices, weights, rows), (weights, rows), tokens),
        torch.autograd.grad(weighted_rows(indices, weights, rows), (weights, rows), tokens),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)
