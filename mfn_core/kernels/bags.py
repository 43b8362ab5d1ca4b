"""Sums over the few entries of a sparse code, forwards and backwards, at a cost of K·d a token.

Both directions are bags of rows to be added up: a token's bag holds the directions of its features; a feature's bag
holds the tokens on which it fires. The second is the gradient with respect to a dictionary, and costs as little as the
first: autograd's own backward of `embedding_bag` takes twice the time, and a dense product F/K times the work.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual
from torch.nn import functional as F


class _WeightedRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, indices: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(indices, weights, rows)
        return bag(indices, weights, rows)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        (grad,) = grads
        indices, weights, rows = ctx.saved_tensors
        of_weights = dot_rows(indices, grad, rows) if ctx.needs_input_grad[1] else None
        of_rows = transposed_rows(indices, weights, grad, len(rows)) if ctx.needs_input_grad[2] else None
        return None, of_weights, of_rows


class _WeightedRowsForwardsToo(_WeightedRows):
    """Apart, since torch.compile takes no function that has a `jvp`."""

    @staticmethod
    def forward(ctx: Any, indices: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_forward(indices, weights, rows)
        return _WeightedRows.forward(ctx, indices, weights, rows)

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor | None:
        _, of_weights, of_rows = tangents
        indices, weights, rows = ctx.saved_tensors
        parts = [] if of_weights is None else [bag(indices, of_weights, rows)]
        if of_rows is not None:
            parts.append(bag(indices, weights, of_rows))
        return sum(parts[1:], parts[0]) if parts else None


def weighted_rows(indices: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
    """`out[n] = Σ_k weights[n, k] · rows[indices[n, k]]`, differentiable in weights and rows, backwards and
    forwards.

    Shapes: indices int64 [N, K], weights [N, K] in the dtype of rows [F, d]; gives [N, d].
    """
    if not torch.is_grad_enabled() and not _carries_tangent(weights):
        return bag(indices, weights, rows)
    function = _WeightedRows if torch.compiler.is_compiling() else _WeightedRowsForwardsToo
    out: Tensor = function.apply(indices, weights, rows)  # type: ignore[no-untyped-call]
    return out


def _carries_tangent(x: Tensor) -> bool:
    """Whether it is differentiated forwards, which goes on where gradients are off."""
    if torch.compiler.is_compiling():
        return False
    return unpack_dual(x).tangent is not None  # type: ignore[no-untyped-call]


def transposed_rows(indices: Tensor, weights: Tensor, tokens: Tensor, n_features: int) -> Tensor:
    """`out[j] = Σ over (n, k) with indices[n, k] = j of weights[n, k] · tokens[n]`.

    Each sum runs over its tokens in their order, so that it comes out the same every time.

    Shapes: indices int64 [N, K], weights [N, K] in the dtype of tokens [N, d]; gives [F, d].
    """
    features, order = indices.reshape(-1).to(torch.int32).sort(stable=True)
    numbers = torch.arange(n_features, dtype=torch.int32, device=indices.device)
    begins = torch.searchsorted(features, numbers)
    return F.embedding_bag(
        order // indices.shape[1],
        tokens,
        begins,
        mode="sum",
        per_sample_weights=weights.reshape(-1).index_select(0, order),
    )


def bag(indices: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
    """`weighted_rows` without a gradient."""
    if indices.shape[1] == 0:
        return rows.new_zeros(len(indices), rows.shape[1])
    return F.embedding_bag(indices, rows, per_sample_weights=weights, mode="sum")


def dot_rows(indices: Tensor, tokens: Tensor, rows: Tensor) -> Tensor:
    """`out[n, k] = tokens[n] · rows[indices[n, k]]`, without gathering the rows.

    Shapes: indices int64 [N, K], tokens [N, d], rows [F, d]; gives [N, K].
    """
    n, k = indices.shape
    begins = torch.arange(0, n * k, k, device=indices.device)
    bags = torch.arange(n, device=indices.device).repeat_interleave(k)
    flat: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        tokens, rows, indices.reshape(-1), begins, bags, 0, -1
    )
    return flat.view(n, k)
