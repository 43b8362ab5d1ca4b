"""The screened choice of the K largest against `torch.topk`, on rows made to break it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mfn_core.kernels import largest, select

SHAPES = [(64, 1), (64, 8), (256, 4), (1024, 16), (2048, 3), (8192, 32)]


def agrees(pre: Tensor, k: int, indices: Tensor) -> None:
    """The same values as torch.topk, each from another place."""
    expected = torch.topk(pre, k, dim=-1).values
    got = pre.gather(-1, indices)
    torch.testing.assert_close(got.sort(-1, descending=True).values, expected, rtol=0, atol=0, equal_nan=True)
    assert (indices.sort(-1).values.diff(dim=-1) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("n_features", "k"), SHAPES)
def test_random_rows(n_features: int, k: int, dtype: torch.dtype) -> None:
    pre = torch.randn(50, n_features, generator=torch.Generator().manual_seed(k)).to(dtype)
    agrees(pre, k, select._screened(pre, k))


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    levels=st.integers(1, 40),
    rows=st.integers(1, 9),
    shape=st.sampled_from(SHAPES[:4]),
    poison=st.sampled_from([None, torch.nan, torch.inf, -torch.inf]),
)
def test_ties_infinities_and_nan(
    seed: int, levels: int, rows: int, shape: tuple[int, int], poison: float | None
) -> None:
    random = torch.Generator().manual_seed(seed)
    pre = torch.randint(-levels, levels + 1, (rows, shape[0]), generator=random).float()
    if poison is not None:
        pre[torch.rand(pre.shape, generator=random) < 0.1] = poison
        pre[0] = poison
    agrees(pre, shape[1], select._screened(pre, shape[1]))


def test_few_distinct_features_among_minus_infinity() -> None:
    pre = torch.full((3, 1024), -torch.inf)
    pre[1, :5] = 1.0
    pre[2] = torch.arange(1024.0)
    indices = select._screened(pre, 16)
    agrees(pre, 16, indices)


def test_all_of_the_largest_in_one_block() -> None:
    """A block's members lie F / 8 apart; here they hold the eight largest, and the bound comes from other blocks."""
    pre = torch.randn(20, 1024, generator=torch.Generator().manual_seed(0))
    pre[:, 5::128] += 100.0
    for k in (8, 12):
        agrees(pre, k, select._screened(pre, k))


def test_few_entries_survive_the_bound() -> None:
    pre = torch.randn(200, 8192, generator=torch.Generator().manual_seed(0))
    bound = select._lower_bound(pre.view(200, 8, 1024).amax(1), 32)
    survivors = (pre >= bound).sum(-1)
    assert int(survivors.min()) >= 32
    assert float(survivors.float().mean()) < 45


@pytest.mark.parametrize(
    ("shape", "k", "screened"),
    [
        ((64, 4096), 16, True),
        ((2, 32, 4096), 16, True),
        ((64, 4096), 65, False),  # too much of a row would survive
        ((64, 4100), 16, False),  # not a multiple of the block
        ((8, 4096), 16, False),  # too little to be worth it
    ],
)
def test_screens_where_it_pays(shape: tuple[int, ...], k: int, screened: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    plain = select._screened
    monkeypatch.setattr(select, "_screened", lambda pre, k: seen.append(pre) or plain(pre, k))
    pre = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values, indices = largest(pre, k)
    assert bool(seen) is screened
    assert values.shape == indices.shape == (*shape[:-1], k)
    agrees(pre, k, indices)
    assert torch.equal(pre.gather(-1, indices), values)


def test_rows_may_lie_apart_in_memory() -> None:
    pre = torch.randn(4096, 80, generator=torch.Generator().manual_seed(0)).t()
    values, indices = largest(pre, 16)
    agrees(pre, 16, indices)
    assert torch.equal(pre.gather(-1, indices), values)


def test_gradient_reaches_the_chosen_entries_alone() -> None:
    pre = torch.randn(64, 4096, generator=torch.Generator().manual_seed(0), requires_grad=True)
    values, indices = largest(pre, 16)
    weight = torch.randn(64, 16)
    (got,) = torch.autograd.grad(values, pre, weight)
    assert torch.equal(got, torch.zeros_like(pre).scatter(-1, indices, weight))


def test_compiles_without_a_break() -> None:
    pre = torch.randn(64, 4096, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(largest, backend="eager", fullgraph=True)
    agrees(pre, 16, compiled(pre, 16)[1])
