"""The rate loss: its value, its soft gradient, and what it pushes where."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mfn_core.codes import top_k
from mfn_core.losses import Rate
from mfn_core.losses.rate import CHUNK, SMALLEST_THRESHOLD, soft_rate
from mfn_core.run import AuxBranch, LayerTrace

TAU, N_FEATURES, K = 0.2, 24, 3
EVERYWHERE = slice(None)


def traced(pre: Tensor) -> LayerTrace:
    codes = top_k(pre.detach(), K)
    return LayerTrace(codes, codes, pre[..., :1], pre[..., :2], None, AuxBranch(pre, top_k(pre, K)))


def random_pre(n_features: int = N_FEATURES) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 8, n_features, dtype=torch.float64, generator=generator).requires_grad_()


def plainly(pre: Tensor, keep: Tensor) -> Tensor:
    """q in the plainest way."""
    kth = pre.detach().sort(-1, descending=True).values[..., K - 1].clamp(min=0.0)
    theta = kth.clamp(min=max(float(0.5 * kth[keep].mean()), SMALLEST_THRESHOLD))[..., None]
    soft = torch.sigmoid((pre - theta) / (TAU * theta)) * keep[..., None]
    return soft.sum((0, 1)) / keep.sum()


def test_the_soft_rate_is_autograds_in_chunks_and_on_a_subset() -> None:
    pre = random_pre(2 * CHUNK + 5)
    threshold = torch.rand(2, 3, dtype=torch.float64) + 0.5
    where = slice(1, None, 3)
    weight = torch.randn(pre.shape[-1], dtype=torch.float64)
    got = soft_rate(pre, threshold, where, TAU)
    (got_grad,) = torch.autograd.grad(got @ weight, pre)
    expected = torch.sigmoid((pre[:, where] - threshold[..., None]) / (TAU * threshold[..., None])).sum((0, 1))
    (expected_grad,) = torch.autograd.grad(expected @ weight, pre)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(got_grad, expected_grad)


def test_the_soft_rate_passes_finite_differences() -> None:
    pre, threshold = random_pre(), torch.rand(2, 8, dtype=torch.float64) + 0.5
    assert torch.autograd.gradcheck(lambda p: soft_rate(p, threshold, EVERYWHERE, TAU), (pre,))


def test_value_is_the_hard_rates_and_gradient_the_soft_ones() -> None:
    pre, keep = random_pre(), torch.ones(2, 8, dtype=torch.bool)
    keep[:, 0] = False
    rate, target = torch.rand(N_FEATURES, dtype=torch.float64) * 0.4, K / N_FEATURES
    loss = Rate(TAU)(traced(pre), keep, EVERYWHERE, rate, target)
    by_hand = [math.log((float(r) + 0.1 * target) / (1.1 * target)) ** 2 for r in rate]
    torch.testing.assert_close(float(loss.detach()), sum(by_hand) / N_FEATURES)
    (got,) = torch.autograd.grad(loss, pre)
    q = plainly(pre, keep)
    r = rate + q - q.detach()
    (expected,) = torch.autograd.grad(((r + 0.1 * target) / (1.1 * target)).log().square().mean(), pre)
    torch.testing.assert_close(got, expected)
    assert not got[:, 0].any()


def test_at_the_target_nothing_is_pushed_and_beside_it_both_ways() -> None:
    pre, keep = random_pre(), torch.ones(2, 8, dtype=torch.bool)
    target = K / N_FEATURES
    rate = torch.full((N_FEATURES,), target, dtype=torch.float64)
    rate[0], rate[1] = 0.0, 1.0
    loss = Rate(TAU)(traced(pre), keep, EVERYWHERE, rate, target)
    (gradient,) = torch.autograd.grad(loss, pre)
    assert (gradient[..., 0] <= 0).all()  # descent raises the pre-activations of a dead feature
    assert gradient[..., 0].any()
    assert (gradient[..., 1] >= 0).all()  # and lowers those of a greedy one
    assert gradient[..., 1].any()
    assert not gradient[..., 2:].any()


def test_tokens_that_too_few_features_fire_on_do_not_drown_the_others() -> None:
    pre, keep = random_pre().detach(), torch.ones(2, 8, dtype=torch.bool)
    pre[0, 0] = -1.0
    pre[0, 0, 0] = 1e-4  # one feature fires here, barely
    pre.requires_grad_()
    rate = torch.full((N_FEATURES,), 0.5, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(Rate(TAU)(traced(pre), keep, EVERYWHERE, rate, K / N_FEATURES), pre)
    assert gradient[0, 0].abs().max() < 10 * gradient[1].abs().max()


def test_where_no_token_has_enough_positive_features_the_threshold_is_small_and_finite() -> None:
    pre, keep = (-random_pre().detach().abs()).requires_grad_(), torch.ones(2, 8, dtype=torch.bool)
    rate = torch.zeros(N_FEATURES, dtype=torch.float64)
    loss = Rate(TAU)(traced(pre), keep, EVERYWHERE, rate, K / N_FEATURES)
    (gradient,) = torch.autograd.grad(loss, pre)
    assert gradient.isfinite().all()
