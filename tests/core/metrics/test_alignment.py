"""Codes and representations that say the same, and that have nothing in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfn_core.codes import SparseCodes
from mfn_core.metrics import alignment
from mfn_core.metrics.alignment import Correlation, debiased_cka, linear_cka
from mfn_core.metrics.dictionaries import match

RNG = torch.Generator().manual_seed(0)


def codes_of(dense: torch.Tensor, width: int) -> SparseCodes:
    values, indices = dense.topk(width, dim=-1)
    return SparseCodes(indices, values, dense.shape[-1])


def sparse(tokens: int, features: int) -> torch.Tensor:
    dense = torch.rand(tokens, features, generator=RNG)
    return dense * (torch.rand(tokens, features, generator=RNG) < 0.2)


def test_correlations_are_numpys() -> None:
    first, second = sparse(400, 6), sparse(400, 4)
    second[:, 0] = 2 * first[:, 3]
    found = Correlation(6, 4)
    for part in (slice(0, 150), slice(150, 400)):
        found.add(codes_of(first[part], 6), codes_of(second[part], 4))
    expected = np.corrcoef(first.double().numpy().T, second.double().numpy().T)[:6, 6:]
    assert found.result().numpy() == pytest.approx(expected, abs=1e-9)


def test_products_of_few_entries_and_of_all_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = sparse(300, 40), sparse(300, 30)
    found = []
    for gain in (0, 10**9):  # never dense, always dense
        monkeypatch.setattr(alignment, "DENSE_GAIN", gain)
        monkeypatch.setattr(alignment, "MOST_PAIRS", 5000)
        halves = [Correlation(40, 30), Correlation(40, 30)]
        for half, part in zip(halves, (slice(0, 100), slice(100, 300)), strict=True):
            half.add(codes_of(first[part], 20), codes_of(second[part], 20))
        found.append((halves[0] + halves[1]).result())
    expected = np.corrcoef(first.double().numpy().T, second.double().numpy().T)[:40, 40:]
    assert found[0].numpy() == pytest.approx(found[1].numpy(), abs=1e-12)
    assert found[0].numpy() == pytest.approx(expected, abs=1e-9)


def test_what_never_varies_correlates_with_nothing() -> None:
    first = torch.rand(50, 2, generator=RNG)
    first[:, 1] = 0.1
    found = Correlation(2, 2)
    found.add(codes_of(first, 2), codes_of(first, 2))
    result = found.result()
    assert result[0, 0].item() == pytest.approx(1.0)
    assert result[1].tolist() == [0.0, 0.0]


def test_the_same_code_in_another_order_aligns_at_one() -> None:
    dense = sparse(500, 10)
    order = torch.randperm(10, generator=RNG)
    found = Correlation(10, 10)
    found.add(codes_of(dense, 10), codes_of(dense[:, order], 10))
    assert match(found.result()).mean == pytest.approx(1.0)


@pytest.mark.parametrize("cka", [linear_cka, debiased_cka])
def test_turned_and_scaled_is_the_same(cka) -> None:
    x = torch.randn(100, 5, generator=RNG) + 2.0
    turn = torch.linalg.qr(torch.randn(5, 5, generator=RNG)).Q
    assert cka(x, 3.0 * x @ turn + 1.0) == pytest.approx(1.0, abs=1e-6)


def test_noise_has_nothing_in_common_with_noise() -> None:
    pairs = [(torch.randn(40, 60, generator=RNG), torch.randn(40, 60, generator=RNG)) for _ in range(20)]
    assert np.mean([linear_cka(*pair) for pair in pairs]) > 0.4  # too few tokens for so many dimensions
    assert abs(np.mean([debiased_cka(*pair) for pair in pairs])) < 0.03


def test_both_estimates_agree_on_many_tokens() -> None:
    x = torch.randn(1500, 4, generator=RNG)
    y = x[:, :2] @ torch.randn(2, 6, generator=RNG) + torch.randn(1500, 6, generator=RNG)
    assert debiased_cka(x, y) == pytest.approx(linear_cka(x, y), abs=0.01)
    with pytest.raises(ValueError, match="four tokens"):
        debiased_cka(x[:3], y[:3])
