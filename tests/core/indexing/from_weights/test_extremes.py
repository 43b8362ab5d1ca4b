"""The largest and smallest products in blocks, against all products at once in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mfn_core.indexing.from_weights import extremes as module
from mfn_core.indexing.from_weights.extremes import Rows, extremes, largest


def expected(products: Tensor, n: int, others_only: bool) -> tuple[list[list[int]], list[list[int]]]:
    """Numbers by (product, number), by sorting tuples."""
    up, down = [], []
    for i, row in enumerate(products.tolist()):
        entries = [(value, j) for j, value in enumerate(row) if not (others_only and i == j)]
        up.append([j for _, j in sorted((-value, j) for value, j in entries)[:n]])
        down.append([j for _, j in sorted(entries)[:n]])
    return up, down


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    rows=st.integers(1, 12),
    n=st.integers(0, 40),
    chunk=st.integers(1, 90),
    same=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_what_blocks_find_is_what_sorting_finds_with_any_number_of_ties(
    sizes: list[int], rows: int, n: int, chunk: int, same: bool, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    columns = [torch.randint(-1, 2, (size, 3), generator=draw).float() for size in sizes]  # whole numbers: many ties
    left = columns if same else [torch.randint(-1, 2, (rows, 3), generator=draw).float()]
    products = torch.cat(left).double() @ torch.cat(columns).double().t()
    told: list[int] = []
    found = extremes(
        Rows(left),
        Rows(columns),
        n,
        n,
        without=torch.arange(len(products)) if same else None,
        chunk=chunk,
        tell=told.append,
    )
    up, down = expected(products, n, same)
    assert found.largest.numbers.tolist() == up
    assert found.smallest.numbers.tolist() == down
    for ranked in found:
        np.testing.assert_array_equal(ranked.products, products.gather(1, torch.from_numpy(ranked.numbers)))
        assert ranked.products.dtype == np.float32
    assert told[-1] == len(products)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("chunk", [1, 50, 999, 1 << 24])
def test_any_weights_in_any_blocks(dtype: torch.dtype, chunk: int) -> None:
    torch.manual_seed(0)
    parts = [torch.randn(size, 24).to(dtype) for size in (31, 1, 40)]
    parts[2][5:12] = parts[0][3]  # eight alike, in different blocks: float32 kernels need not agree on them
    every = torch.nn.functional.normalize(torch.cat(parts).double(), dim=-1)
    rows = Rows(parts, lambda x: torch.nn.functional.normalize(x, dim=-1))
    found = extremes(rows, rows, 9, 4, without=torch.arange(len(every)), chunk=chunk)
    products = (every[:, None] * every).sum(-1)  # as every pair is computed: equal vectors, equal products
    up, _ = expected(products, 9, others_only=True)
    _, down = expected(products, 4, others_only=True)
    assert found.largest.numbers.tolist() == up
    assert found.smallest.numbers.tolist() == down
    np.testing.assert_allclose(found.largest.products, products.gather(1, torch.tensor(up)).float(), rtol=1e-7)


def test_rounding_of_the_matmul_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products that differ by less than float32 can tell are still in order."""
    columns = torch.ones(6, 2, dtype=torch.float64)
    columns[:, 1] = torch.tensor([3, 1, 5, 0, 4, 2]) * 1e-9
    found = extremes(Rows([torch.ones(1, 2)]), Rows([columns]), 3, 2)
    assert found.largest.numbers.tolist() == [[2, 4, 0]]
    assert found.smallest.numbers.tolist() == [[3, 1]]
    monkeypatch.setattr(module, "SPARE", 0)
    assert extremes(Rows([torch.ones(1, 2)]), Rows([columns]), 3, 2).largest.numbers.tolist() != [[2, 4, 0]]


def test_only_one_side_may_be_asked_for() -> None:
    rows = Rows([torch.eye(4)])
    found = extremes(rows, rows, 0, 1, chunk=4)
    assert found.largest.numbers.shape == (4, 0)
    assert found.smallest.numbers.ravel().tolist() == [1, 0, 0, 0]


@settings(deadline=None)
@given(
    scores=st.lists(st.lists(st.integers(-2, 2), min_size=7, max_size=7), min_size=1, max_size=6),
    n=st.integers(0, 9),
)
def test_equal_scores_come_by_place(scores: list[list[int]], n: int) -> None:
    values, places = largest(torch.tensor(scores, dtype=torch.float32), n)
    for row, value, place in zip(scores, values.tolist(), places.tolist(), strict=True):
        order = sorted(range(7), key=lambda j: (-row[j], j))[:n]
        assert place == order
        assert value == [row[j] for j in order]


@settings(deadline=None)
@given(n=st.integers(1, 6), columns=st.integers(1, 400), values=st.integers(1, 300), seed=st.integers(0, 2**31))
def test_the_largest_of_many_columns(n: int, columns: int, values: int, seed: int) -> None:
    """So many that they are looked at by groups; few different values: the cut often goes through equal ones."""
    scores = torch.randint(0, values, (3, columns), generator=torch.Generator().manual_seed(seed)).float()
    found, places = largest(scores, n)
    for row, value, place in zip(scores.tolist(), found.tolist(), places.tolist(), strict=True):
        order = sorted(range(columns), key=lambda j: (-row[j], j))[:n]
        assert place == order
        assert value == [row[j] for j in order]
