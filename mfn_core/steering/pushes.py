"""Vectors added to what a layer of features passes on: what a feature's stand-in is, such as a random direction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
import torch.autograd.forward_ad as fwd
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.steering.linear import edits_of


@contextmanager
def pushed(model: MFNModel, layer: int, push: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """For as long as it is open, what the layer passes on, [B, T, d], is replaced by what `push` makes of it."""
    handle = model.coders[layer].register_forward_hook(lambda module, args, output: push(output))
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def written(model: MFNModel, ids: Tensor, layer: int, rows: Sequence[Sequence[Intervention]]) -> Tensor:
    """What interventions on one layer add to what it passes on.

    Args:
        model: in eval mode.
        ids: int64 [T], or [R, T] of each set its own text.
        layer: whose features are turned.
        rows: R sets of interventions.

    Returns:
        [R, T, d] in the space of the layer's site.
    """
    outputs: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        outputs.append(output)
        return output

    inputs = ids.expand(len(rows), -1) if ids.dim() == 1 else ids
    for sets in ([()] * len(rows), rows):
        with pushed(model, layer, keep):
            model(inputs, edits=edits_of(model, sets, inputs.shape[1]), logits_to_keep=1)
    return outputs[1] - outputs[0]


def in_stream(model: MFNModel, layer: int, vectors: Tensor) -> Tensor:
    """Vectors [..., d'] of a layer's site as vectors [..., d] of the residual stream; neurons by what they write."""
    if model.coders[layer].config.site != "mlp_hidden":
        return vectors
    return vectors @ model.family.down_directions(model.base, layer).to(vectors.dtype)


@torch.no_grad()
def random_direction(model: MFNModel, layer: int, seed: int) -> Tensor:
    """[d'] of the space of the layer's site, drawn from all directions alike; of length 1 in the residual stream."""
    width = model.family.width(model.base, model.coders[layer].config.site)
    drawn = torch.randn(width, generator=torch.Generator().manual_seed(seed)).to(model.device, model.dtype)
    unit: Tensor = drawn / in_stream(model, layer, drawn).norm()
    return unit


def slope_along(model: MFNModel, ids: Sequence[int], layer: int, direction: Tensor) -> Tensor:
    """[V]: the derivative of the next token's logits by how much of a direction [d'] is added at the last token."""
    inputs = torch.tensor([list(ids)], device=model.device)

    def dual(output: Tensor) -> Tensor:
        tangent = torch.zeros_like(output)
        tangent[:, -1] = direction
        return cast(Tensor, fwd.make_dual(output, tangent))  # type: ignore[no-untyped-call]

    # fused attention kernels have no forward-mode derivative; the plain formula has
    with torch.no_grad(), fwd.dual_level(), sdpa_kernel(SDPBackend.MATH), pushed(model, layer, dual):
        logits = model(inputs, logits_to_keep=1).logits[0, -1]
        _, tangent = cast("tuple[Tensor, Tensor]", fwd.unpack_dual(logits))  # type: ignore[no-untyped-call]
        return tangent
