"""Linear maps of a model on a CPU, with weights laid out for oneDNN once instead of at every call.

A step of generation multiplies a few rows by every weight of the model. The library that torch calls otherwise copies a
weight into its own layout each time that there is more than one row, which costs as much as reading it, and takes other
sums for one row than for several. Packed, two rows cost what one did, sixteen half of what they did, and a row's result
is the same among any number of others from two on (decision 0016). Of weights packed there is a second copy in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mfn_core.layer import MFNLayer

PACKED_FOR_ROWS = 16  # a hint for the layout; any number of rows can be multiplied


def can_pack(model: nn.Module) -> bool:
    """Whether there is anything to gain: on a CPU with oneDNN, in single precision."""
    parameter = next(model.parameters(), None)
    return (
        parameter is not None
        and parameter.device.type == "cpu"
        and parameter.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


class PackedLinears:
    """The linear maps of a model, packed. They take part only within `use`; outside the model is what it was."""

    def __init__(self, model: nn.Module) -> None:
        """Packs every `nn.Linear` and every encoder of a layer of features. Weights that change later are not seen."""
        self._forwards: list[tuple[dict[str, Any], str, Callable[[Tensor], Tensor]]] = []
        self._weights: dict[int, Tensor] = {}  # by identity: tied weights are packed once
        for module in model.modules():
            if type(module) is nn.Linear:
                forward = partial(_linear, self._pack(module.weight), module.bias)
                self._forwards.append((module.__dict__, "forward", forward))
            elif isinstance(module, MFNLayer):
                encoder = partial(_encode, self._pack(module.W_enc), module.b_enc, module)
                self._forwards.append((module.__dict__, "pre_activations", encoder))

    @property
    def nbytes(self) -> int:
        """Memory of the copies."""
        return sum(weight.element_size() * weight.numel() for weight in self._weights.values())

    @contextmanager
    def use(self) -> Iterator[None]:
        """Has the model's forward passes take the packed weights."""
        for namespace, name, forward in self._forwards:
            namespace[name] = forward
        try:
            yield
        finally:
            for namespace, name, _ in self._forwards:
                namespace.pop(name, None)

    def _pack(self, weight: Tensor) -> Tensor:
        if id(weight) not in self._weights:
            plain = weight.detach()
            self._weights[id(weight)] = torch.ops.mkldnn._reorder_linear_weight(plain, PACKED_FOR_ROWS)
        return self._weights[id(weight)]


def _linear(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """`F.linear` with a packed weight: [..., d] → [..., n]."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


def _encode(weight: Tensor, bias: Tensor, layer: MFNLayer, x: Tensor) -> Tensor:
    """`MFNLayer.pre_activations` with a packed encoder."""
    return _linear(weight, bias, (x - layer.offset()).to(torch.float32))
