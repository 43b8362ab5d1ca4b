"""Our Muon does what torch's does, in the precision of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mfn_core.training.muon import Muon, orthogonal

COEFFICIENTS = (3.4445, -4.775, 2.0315)


def matrices() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(3)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((24, 24), (8, 24), (40, 16))]


@pytest.mark.parametrize("nesterov", [True, False])
def test_steps_are_those_of_torch_up_to_its_half_precision(nesterov: bool) -> None:
    ours, theirs = matrices(), matrices()
    settings = {"lr": 0.1, "weight_decay": 0.1, "nesterov": nesterov}
    mine = Muon(ours, **settings)  # type: ignore[arg-type]
    reference = torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **settings)  # type: ignore[arg-type]
    before = [p.detach().clone() for p in theirs]
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    for a, b, start in zip(ours, theirs, before, strict=True):
        assert (a - b).norm() < 0.02 * (b - start).norm()
        torch.testing.assert_close(mine.state[a]["momentum_buffer"], reference.state[b]["momentum_buffer"])


@pytest.mark.parametrize("shape", [(12, 12), (6, 30), (30, 6)])
def test_singular_values_come_near_1_and_directions_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    expected = values / values.norm()
    for _ in range(5):
        a, b, c = COEFFICIENTS
        expected = a * expected + b * expected**3 + c * expected**5
    found = orthogonal(matrix, COEFFICIENTS, 5, 1e-7)
    torch.testing.assert_close(found, left @ torch.diag(expected) @ right)
    assert 0.6 < float(expected.min()) <= float(expected.max()) < 1.3


def test_a_weight_without_gradient_stays() -> None:
    first, second, _ = matrices()
    first.grad = torch.ones_like(first)
    before: Tensor = second.detach().clone()
    optimizer = Muon([first, second], lr=0.1)
    optimizer.step()
    assert torch.equal(second, before)
    assert second not in optimizer.state
