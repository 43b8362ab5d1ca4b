"""Running statistics: exact where they can be, independent of how the tokens were cut into steps."""

from __future__ import annotations

import torch

from mfn_core.codes import SparseCodes, top_k
from mfn_core.losses import FeatureStatistics

N_FEATURES, K = 9, 2


def codes(tokens: int, seed: int = 0) -> SparseCodes:
    return top_k(torch.randn(1, tokens, N_FEATURES, generator=torch.Generator().manual_seed(seed)), K)


def test_the_first_step_gives_its_own_means() -> None:
    statistics, z, keep = FeatureStatistics(N_FEATURES, 100), codes(50), torch.ones(1, 50, dtype=torch.bool)
    keep[0, :7] = False
    statistics.update(z, keep)
    dense = z.dense()[keep]
    torch.testing.assert_close(statistics.rate, (dense > 0).float().mean(0))
    torch.testing.assert_close(statistics.power, dense.square().mean(0))


def test_the_past_fades_with_tokens_not_with_steps() -> None:
    whole, halves = FeatureStatistics(N_FEATURES, 80), FeatureStatistics(N_FEATURES, 80)
    keep, half = torch.ones(1, 40, dtype=torch.bool), torch.ones(1, 20, dtype=torch.bool)
    first, second = codes(40, 1), codes(40, 2)
    for statistics in (whole, halves):
        statistics.update(first, keep)
    whole.update(second, keep)
    for part in (slice(0, 20), slice(20, 40)):
        halves.update(SparseCodes(second.indices[:, part], second.values[:, part], N_FEATURES), half)
    a, b = ((c.dense() > 0).float().mean((0, 1)) for c in (first, second))
    weight = float(torch.exp(torch.tensor(-0.5)))
    torch.testing.assert_close(whole.rate, (weight * a + b) / (weight + 1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(whole.rate, halves.rate, rtol=0, atol=0.03)


def test_silence_is_counted_in_tokens_and_ends_with_a_spike() -> None:
    statistics, keep = FeatureStatistics(3, 100), torch.ones(1, 10, dtype=torch.bool)

    def step(feature: int) -> None:
        statistics.update(SparseCodes(torch.full((1, 10, 1), feature), torch.ones(1, 10, 1), 3), keep)

    step(0)
    step(1)
    assert statistics.tokens_since_fired.tolist() == [10, 0, 20]
    assert statistics.dead(10).tolist() == [False, False, True]
    step(2)
    assert statistics.tokens_since_fired.tolist() == [20, 10, 0]


def test_a_checkpoint_holds_all_of_it() -> None:
    first, second = FeatureStatistics(N_FEATURES, 100), FeatureStatistics(N_FEATURES, 100)
    keep = torch.ones(1, 50, dtype=torch.bool)
    first.update(codes(50), keep)
    second.load_tensors({name: tensor.clone() for name, tensor in first.tensors().items()})
    for statistics in (first, second):
        statistics.update(codes(50, 4), keep)
    assert torch.equal(first.rate, second.rate)
    assert torch.equal(first.power, second.power)
    assert torch.equal(first.tokens_since_fired, second.tokens_since_fired)
