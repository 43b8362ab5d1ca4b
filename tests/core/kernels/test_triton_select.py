"""The Triton kernel against `torch.topk`.

Needs a GPU; or, for the same code in Triton's interpreter, the package `triton` and the environment variable
TRITON_INTERPRET=1.
"""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed"),
    pytest.mark.skipif(not (torch.cuda.is_available() or INTERPRETED), reason="no GPU, and no TRITON_INTERPRET=1"),
]

DEVICE = "cpu" if INTERPRETED else "cuda"


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def agrees(pre: Tensor, k: int) -> None:
    from mfn_core.kernels.triton_select import largest_rows

    pre = pre.to(DEVICE)
    indices = largest_rows(pre, k)
    got = pre.gather(-1, indices).sort(-1, descending=True).values
    torch.testing.assert_close(got, torch.topk(pre, k, dim=-1).values, rtol=0, atol=0, equal_nan=True)
    assert (indices.sort(-1).values.diff(dim=-1) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("n_features", "k"), [(1024, 1), (1024, 32), (5000, 16), (8192, 64)])
def test_random_rows(n_features: int, k: int, dtype: torch.dtype) -> None:
    agrees(random(4, n_features).to(dtype), k)
    agrees(-random(4, n_features).abs().to(dtype), k)


def test_ties_infinities_and_nan() -> None:
    pre = random(5, 2048)
    pre[0] = 0.0
    pre[1, 7], pre[1, 9] = torch.nan, torch.inf
    pre[2, 100:] = -torch.inf
    pre[3] = pre[3].round()
    pre[4, ::2], pre[4, 1::2] = 0.0, -0.0
    agrees(pre, 16)


def test_all_of_the_largest_in_one_part() -> None:
    pre = random(4, 8192)
    pre[:, 5::1024] += 100.0
    agrees(pre, 12)


@pytest.mark.skipif(INTERPRETED, reason="no GPU")
def test_stands_in_for_topk_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from mfn_core.kernels import largest

    monkeypatch.setenv("MFN_TRITON", "1")
    pre = random(3, 5, 4096).cuda().requires_grad_()
    values, indices = largest(pre, 32)
    torch.testing.assert_close(values.sort(-1, descending=True).values, pre.topk(32).values, rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(values.sum(), pre)
    assert torch.equal(gradient, torch.zeros_like(pre).scatter(-1, indices, 1.0))
