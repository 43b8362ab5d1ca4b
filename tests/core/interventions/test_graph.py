"""One compiled step for every request: nothing that is written makes it another graph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from mfn_core import Condition, EditBuffers, Intervention, Ramp, Scope, SparseCodes

N_FEATURES = 12
REQUESTS: list[tuple[Intervention, ...]] = [
    (),
    (Intervention(0, 3, "set", 2.0),),
    (Intervention(0, 3, "scale", 2.0, condition=5), Intervention(0, 7, "add", -1.0, Scope("generation"))),
    tuple(Intervention(0, n, "set", 1.0 + n, Scope("range", n, n + 2)) for n in range(4)),
    tuple(Intervention(0, 2, "add", 1.0, Scope("prompt"), n) for n in range(3)),
    (Intervention(1, 4, "set", 3.0, condition=Condition(2, 0.3, layer=0), ramp=Ramp(0.5, 4)),),
]


def step(edits: EditBuffers, indices: Tensor, values: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Two layers with the same code: the second's conditions may ask the first."""
    codes = SparseCodes(indices, values, N_FEATURES)
    first, second = (edits.layers[layer].apply(codes, positions) for layer in (0, 1))
    return torch.cat([first.indices, second.indices], -1), torch.cat([first.values, second.values], -1)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inductor's own import
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_compiled_step_serves_every_request(backend: str) -> None:
    torch.compiler.reset()
    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(step, backend=counter, fullgraph=True)
    fixed = EditBuffers.allocate({0: N_FEATURES, 1: N_FEATURES}, rows=2, slots=4, rounds=3)
    luck = torch.Generator().manual_seed(1)
    for number, request in enumerate(REQUESTS):
        indices = torch.stack([torch.randperm(N_FEATURES, generator=luck)[:5] for _ in range(6)]).view(2, 3, 5)
        values = torch.rand(2, 3, 5, generator=luck)
        positions = torch.arange(number, number + 3)[None]
        fixed.write(number % 2, request, 2)
        expected = step(fixed, indices, values, positions)
        got = compiled(fixed, indices, values, positions)
        assert torch.equal(got[0], expected[0])
        torch.testing.assert_close(got[1], expected[1])
    assert counter.frame_count == 1
