"""Encoding and choosing in one step, its gradients against plain autograd's in float64."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.kernels.encode import encode

D, N_FEATURES, K = 7, 30, 4
DEAD = torch.tensor([2, 3, 11, 17, 29])


def material(offset: str = "one") -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    shapes = [(3, 5, D), (D,) if offset == "one" else (3, 5, D), (N_FEATURES, D), (N_FEATURES,)]
    return [torch.randn(s, generator=random, dtype=torch.float64).requires_grad_() for s in shapes]


def plain(inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """p twice: for the input and the parameters, for the parameters alone."""
    x, offset, weight, b_enc = inputs
    return F.linear(x - offset, weight, b_enc), F.linear(x.detach() - offset, weight, b_enc)


def gradients(outputs: list[Tensor], inputs: Sequence[Tensor], cotangents: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(outputs, inputs, cotangents, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(i) if g is None else g for i, g in zip(inputs, found, strict=True)]


@pytest.mark.parametrize("offset", ["one", "per token"])
@pytest.mark.parametrize("outputs", ["values", "own", "pre", "dead", "values own", "own dead", "values own pre dead"])
def test_gradients_are_autograds(outputs: str, offset: str) -> None:
    inputs = material(offset)
    got = encode(*inputs, K, DEAD, 3)
    assert got.dead_indices is not None
    assert got.dead_values is not None
    p, own = plain(inputs)
    x, b, weight, b_enc = inputs
    everywhere = own if offset == "one" else F.linear(x.detach() - b.detach(), weight, b_enc)
    pairs = {
        "values": (got.values, p.gather(-1, got.indices)),
        "own": (got.own_values, own.gather(-1, got.indices)),
        "pre": (got.pre, everywhere),
        "dead": (got.dead_values, own.gather(-1, got.dead_indices)),
    }
    mine = [pairs[name][0] for name in outputs.split()]
    theirs = [pairs[name][1] for name in outputs.split()]
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)
    random = torch.Generator().manual_seed(1)
    cotangents = [torch.randn(a.shape, generator=random, dtype=a.dtype) for a in mine]
    if "pre" in outputs:
        of_pre = cotangents[outputs.split().index("pre")]
        of_pre[:, 1:4] = 0.0  # a loss that looks at some of the tokens
        of_pre[:, 3, :4] = -1.0  # and wants less of all features of one
        of_pre[:, 2, 5:] = torch.rand(25)
    for a, b in zip(gradients(mine, inputs, cotangents), gradients(theirs, inputs, cotangents), strict=True):
        torch.testing.assert_close(a, b)
    if "values" not in outputs:
        assert not gradients(mine, inputs, cotangents)[0].any()


def test_chooses_the_largest_and_the_largest_dead() -> None:
    inputs = material()
    got = encode(*inputs, K, DEAD, 3)
    p = plain(inputs)[0]
    assert got.dead_indices is not None
    assert torch.equal(got.indices.sort(-1).values, p.topk(K).indices.sort(-1).values)
    assert torch.equal(got.dead_indices.sort(-1).values, DEAD[p[..., DEAD].topk(3).indices].sort(-1).values)


def test_fewer_dead_features_than_asked_for() -> None:
    inputs = material()
    some = encode(*inputs, K, DEAD, 64)
    assert some.dead_indices is not None
    assert some.dead_indices.shape[-1] == len(DEAD)
    assert encode(*inputs, K, DEAD[:0], 64).dead_indices is None


def test_a_frozen_input_and_frozen_parameters() -> None:
    inputs = material()
    cotangent = torch.randn(3, 5, K, dtype=torch.float64)
    p = plain(inputs)[0]
    for learning in range(4):
        given = [t.detach().requires_grad_(i == learning) for i, t in enumerate(inputs)]
        got = encode(*given, K)
        (mine,) = torch.autograd.grad(got.values, given[learning], cotangent)
        (theirs,) = torch.autograd.grad(p.gather(-1, got.indices), inputs[learning], cotangent, retain_graph=True)
        torch.testing.assert_close(mine, theirs)


def test_under_autocast_the_matmul_is_in_half_precision_and_gradients_are_not() -> None:
    inputs = [t.detach().float().requires_grad_() for t in material()]
    x, offset, weight, b_enc = inputs
    with torch.autocast("cpu", torch.bfloat16):
        got = encode(*inputs, K)
    assert got.pre.dtype == torch.bfloat16
    assert got.values.dtype == torch.float32
    expected = F.linear((x - offset).bfloat16(), weight.bfloat16(), b_enc.bfloat16())
    assert torch.equal(got.values, expected.gather(-1, got.indices).float())
    cotangent = torch.randn(3, 5, K)
    exact = F.linear(x - offset, weight, b_enc).gather(-1, got.indices)
    for mine, theirs in zip(
        gradients([got.values], inputs, [cotangent]), gradients([exact], inputs, [cotangent]), strict=True
    ):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, theirs)
