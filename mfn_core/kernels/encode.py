"""Encoding and choosing in one differentiable step, whose backward pass touches only the entries that were chosen.

The gradient of a code with respect to p has K entries a token; as a dense matrix it is tokens × F, and each of the two
products it enters costs as much as the encoder itself. Here both are sparse sums (`bags`), and p is needed no longer
once the entries are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.kernels.bags import bag, transposed_rows
from mfn_core.kernels.select import largest


class Encoded(NamedTuple):
    """What the encoder gives, the same numbers several times over, told apart by where their gradient goes.

    Attributes:
        indices: int64 [..., K], the K largest pre-activations of each token, in no order.
        values: [..., K], these pre-activations, of either sign; gradient to the input and the parameters.
        own_values: [..., K], the same; gradient to the parameters alone.
        pre: [..., F], all pre-activations; gradient to the parameters alone, at the cost of a dense product over those
            tokens whose gradient is not zero. None to an offset that each token has of its own: what is asked of all
            features at once (their rates) is not to be had by moving the tokens (decision 0011).
        dead_indices, dead_values: [..., K'], the largest among the dead features; gradient to the parameters alone.
            None where no dead features were asked for.
    """

    indices: Tensor
    values: Tensor
    own_values: Tensor
    pre: Tensor
    dead_indices: Tensor | None = None
    dead_values: Tensor | None = None


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        offset: Tensor,
        weight: Tensor,
        b_enc: Tensor,
        k: int,
        dead: Tensor | None,
        dead_k: int,
        input_alone: bool,
    ) -> tuple[Tensor, ...]:
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        centred = x - offset
        pre = F.linear(centred.to(dtype), weight.to(dtype), b_enc.to(dtype))
        values, indices = largest(pre, k)
        values = values.to(x.dtype)
        chosen = [indices]
        out = [indices, values, values.clone(), pre]
        if dead is not None and len(dead):
            dead_values, places = largest(pre[..., dead], dead_k)
            dead_indices = dead[places]
            chosen.append(dead_indices)
            out += [dead_indices, dead_values.to(x.dtype)]
        ctx.mark_non_differentiable(*chosen)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(centred, weight, *chosen)
        ctx.dtypes = (offset.dtype, b_enc.dtype)
        ctx.one_offset = offset.ndim == 1
        ctx.input_alone = input_alone
        return tuple(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        centred, weight, indices, *dead_indices = ctx.saved_tensors
        _, of_values, of_own, of_pre, *of_dead = grads
        offset_type, bias_type = ctx.dtypes
        needs_x, needs_offset, needs_weight, needs_bias = ctx.needs_input_grad[:4]
        n_features, width = weight.shape
        tokens = centred.reshape(-1, width)
        where, entries = _together(
            [
                (indices, None if ctx.input_alone else of_values, of_own),
                *((place, of_dead[1], None) for place in dead_indices),
            ],
            tokens.dtype,
        )
        dense = None if of_pre is None else _rows_not_zero(of_pre)
        grad_x = grad_offset = grad_weight = grad_bias = None
        if needs_x and of_values is not None:
            values = of_values.flatten(0, -2).to(weight.dtype)
            grad_x = bag(indices.flatten(0, -2), values, weight).to(centred.dtype).view_as(centred)
        if needs_weight:
            grad_weight = transposed_rows(where, entries, tokens, n_features).to(weight.dtype)
            if dense is not None:
                live, rows = dense
                grad_weight += rows.t() @ tokens.index_select(0, live).to(rows.dtype)
        if needs_bias or needs_offset:
            # Summed over tokens in the parameter's own precision: thousands of bf16 addends would lose the small ones.
            grad_bias = torch.zeros(n_features, dtype=bias_type, device=weight.device)
            grad_bias.index_add_(0, where.reshape(-1), entries.reshape(-1).to(bias_type))
            if dense is not None:
                grad_bias += dense[1].sum(0, dtype=bias_type)
        if needs_offset and ctx.one_offset:
            assert grad_bias is not None
            grad_offset = -(grad_bias @ weight.to(bias_type)).to(offset_type)
        elif needs_offset:
            of_tokens = bag(where, entries.to(weight.dtype), weight).to(tokens.dtype)
            grad_offset = -of_tokens.to(offset_type).view_as(centred)
        return grad_x, grad_offset, grad_weight, grad_bias if needs_bias else None, None, None, None, None


def _together(
    parts: Sequence[tuple[Tensor, Tensor | None, Tensor | None]], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """All entries that have a gradient, side by side: int64 [N, n], and their gradients [N, n].

    A part says where entries stand, and gives up to two gradients of the same entries.
    """
    where, entries = [], []
    for indices, first, second in parts:
        given = [grad for grad in (first, second) if grad is not None]
        if given:
            where.append(indices.flatten(0, -2))
            entries.append(sum(given[1:], given[0]).flatten(0, -2))
    if not where:
        nothing = parts[0][0].flatten(0, -2)[:, :0]
        return nothing, nothing.to(dtype)
    return torch.cat(where, dim=-1), torch.cat(entries, dim=-1)


def _rows_not_zero(grad: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of [..., F] that are not all zero: their numbers int64 [n], and themselves [n, F].

    A loss that looks at some of the tokens leaves the others' rows zero; the dense products skip them.
    """
    rows = grad.flatten(0, -2)
    live = ((rows.amax(-1) != 0) | (rows.amin(-1) != 0)).nonzero().squeeze(1)
    return live, rows.index_select(0, live)


def encode(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    b_enc: Tensor,
    k: int,
    dead: Tensor | None = None,
    dead_k: int = 0,
    input_alone: bool = False,
) -> Encoded:
    """The K largest of p = W_e (x − b) + b_e, under autocast in its precision.

    One matmul serves the utility path, whose gradient goes to the input too, and the auxiliary losses, whose gradient
    goes to the parameters alone: the paper's gradient rule (recon, rate, competition and stability train only the
    layer they belong to) costs no second one (ours).

    Args:
        x: [..., d], at least single precision.
        offset: b, [d] or one row a token.
        weight: W_e [F, d].
        b_enc: b_e [F].
        k: K.
        dead: int64 [n], features among which `dead_k` are chosen besides; None or empty for none.
        dead_k: how many; where there are fewer, all.
        input_alone: whether the gradient of `values` reaches the input and not the parameters.
    """
    if dead is not None:
        dead_k = min(dead_k, len(dead))
    return Encoded(*_Encode.apply(x, offset, weight, b_enc, k, dead, dead_k, input_alone))  # type: ignore[no-untyped-call]
