"""What of size tokens × F a layer makes: the encoder's product, once, and nothing else.

Counted where memory is asked for, so that what happens inside of an operation is seen too.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mfn_core import MFNLayer, MFNLayerConfig, Run
from mfn_core.losses import Rate
from mfn_core.run import Revive

TOKENS, D, N_FEATURES, K = 512, 16, 8192, 8
FULL = TOKENS * N_FEATURES * 4  # bytes


def allocations(work: Callable[[], object]) -> list[int]:
    """Bytes of every allocation (positive) and release (negative), in their order."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    assert profile.profiler is not None
    events = profile.profiler.kineto_results.events()
    found = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    return [size for _, size in sorted(found, key=lambda pair: pair[0])]


def large(sizes: list[int]) -> int:
    """How many allocations are at least half as large as tokens × F numbers, so that half precision counts too."""
    return sum(size >= FULL // 2 for size in sizes)


def peak(sizes: list[int]) -> int:
    held = highest = 0
    for size in sizes:
        held += size
        highest = max(highest, held)
    return highest


@pytest.fixture
def layer() -> MFNLayer:
    torch.manual_seed(0)
    return MFNLayer(D, MFNLayerConfig(N_FEATURES, K))


def stream() -> Tensor:
    return torch.randn(2, TOKENS // 2, D, generator=torch.Generator().manual_seed(1))


def train(layer: MFNLayer, h: Tensor, revive: dict[int, Revive], loss: Callable[[Run], Tensor]) -> None:
    with layer.stage.use(Run(branch="train", revive=revive)) as run:
        layer.stage.place(torch.arange(h.shape[1])[None])
        out = layer(h)
        (out.square().sum() + loss(run)).backward()  # type: ignore[no-untyped-call]


def own_losses(run: Run) -> Tensor:
    trace = run.traces[0]
    assert trace.aux is not None
    assert trace.aux.x_hat is not None
    total = (trace.x - trace.aux.x_hat).square().sum()
    return total if trace.aux.revived is None else total + trace.aux.revived.square().sum()


def test_forward(layer: MFNLayer) -> None:
    h = stream()
    with torch.no_grad():
        layer(h)
        sizes = allocations(lambda: layer(h))
    assert large(sizes) == 1
    assert peak(sizes) < 1.5 * FULL


def test_forward_and_backward(layer: MFNLayer) -> None:
    h = stream().requires_grad_()
    sizes = allocations(lambda: layer(h).sum().backward())
    assert large(sizes) == 1
    assert peak(sizes) < 1.5 * FULL


def test_training_branch_with_reconstruction_and_revival(layer: MFNLayer) -> None:
    h = stream().requires_grad_()
    dead = torch.arange(N_FEATURES) % 64 == 0
    sizes = allocations(lambda: train(layer, h, {0: Revive(dead, 4)}, own_losses))
    assert large(sizes) == 1
    assert peak(sizes) < 1.5 * FULL


def test_a_loss_that_reads_all_pre_activations_costs_one_gradient_more(layer: MFNLayer) -> None:
    h = stream().requires_grad_()
    keep, rates = torch.ones(h.shape[:2], dtype=torch.bool), torch.full((N_FEATURES,), 1e-3)

    def rate(run: Run) -> Tensor:
        return Rate()(run.traces[0], keep, slice(0, 32), rates, K / N_FEATURES)

    assert large(allocations(lambda: train(layer, h, {}, rate))) == 2


def test_what_is_counted_is_seen() -> None:
    """A dense decoder and a dense gradient would be noticed."""
    pre = torch.randn(TOKENS, N_FEATURES, requires_grad=True)
    values, indices = pre.topk(K)
    assert large(allocations(lambda: torch.zeros_like(pre).scatter_(-1, indices, values.detach()))) == 1
    assert large(allocations(lambda: values.sum().backward())) == 1
