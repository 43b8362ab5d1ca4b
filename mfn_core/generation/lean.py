"""Parts of a model that compute the same in fewer or faster operations, for the steps of generation.

A step multiplies a few rows by every weight of the model, and otherwise consists of hundreds of operations so small
that calling them costs more than they do. So within `use`:

- On a CPU larger weights are multiplied by in oneDNN's own layout, packed once. The library that torch calls otherwise
  packs them anew at every call with more than one row, which costs as much as reading them, and takes other sums for
  one row than for several. Packed, a row's result is the same among any number of others from two on (decision 0019).
- RMSNorm is one call instead of eight.
- Attention of the Llama kind, for one token a row, projects once and turns queries and keys together.

Sums may be taken in another order than in transformers, within rounding. Of weights packed or joined there is a second
copy in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRMSNorm
from transformers.models.mistral.modeling_mistral import MistralAttention, MistralRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention, Qwen2RMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from mfn_core.layer import MFNLayer
from mfn_core.model import MFNModel

PACKED_FOR_ROWS = 16  # a hint for the layout; any number of rows can be multiplied
PACKED_FROM = 1 << 17  # numbers in a weight; below, a call's overhead is more than what packing saves
ALIGNED = 8  # queries; numbers of 4 bytes, of which an even number makes 64
NORMS = (LlamaRMSNorm, MistralRMSNorm, Qwen2RMSNorm, Qwen3RMSNorm)
ATTENTIONS = (LlamaAttention, MistralAttention, Qwen2Attention)


class LeanParts:
    """Stand-ins for parts of a model. They take part only within `use`; outside, the model is what it was."""

    def __init__(self, model: MFNModel, pack: bool = True) -> None:
        """Makes them. Weights that change later are not seen.

        Args:
            model: in eval mode.
            pack: keep packed copies of weights, where that helps: on a CPU with oneDNN, in single precision.
        """
        self._stand_ins: list[tuple[dict[str, Any], str, Callable[..., Any]]] = []
        self._copies: dict[int, Tensor] = {}  # by the identity of the weight: tied ones are packed once
        self._packs = pack and _can_pack(model)
        self._on_cpu = model.device.type == "cpu"
        attends = getattr(model.base.config, "_attn_implementation", None) == "sdpa"
        for module in model.base.modules():
            kind = type(module)
            if isinstance(module, nn.Linear) and kind is nn.Linear and self._worth_packing(module.weight):
                self._replace(module, "forward", partial(_packed_linear, self._pack(module.weight), module.bias))
            elif isinstance(module, MFNLayer) and self._worth_packing(module.W_enc):
                encode = partial(_packed_encoder, self._pack(module.W_enc), module.b_enc, module)
                self._replace(module, "pre_activations", encode)
            elif kind in NORMS:
                self._replace(module, "forward", partial(_norm, module))
            elif kind in ATTENTIONS and attends:
                self._replace(module, "forward", self._attention(module))

    @property
    def nbytes(self) -> int:
        """Memory of the copies."""
        return sum(weight.element_size() * weight.numel() for weight in self._copies.values())

    @contextmanager
    def use(self) -> Iterator[None]:
        """Has the model's forward passes take the stand-ins."""
        for namespace, name, stand_in in self._stand_ins:
            namespace[name] = stand_in
        try:
            with _aligned_attention() if self._on_cpu and torch.get_num_threads() > 1 else nullcontext():
                yield
        finally:
            for namespace, name, _ in self._stand_ins:
                namespace.pop(name, None)

    def _replace(self, module: nn.Module, name: str, stand_in: Callable[..., Any]) -> None:
        self._stand_ins.append((module.__dict__, name, stand_in))

    def _worth_packing(self, weight: Tensor) -> bool:
        return self._packs and weight.numel() >= PACKED_FROM

    def _pack(self, weight: Tensor) -> Tensor:
        if id(weight) not in self._copies:
            plain = weight.detach()
            self._copies[id(weight)] = torch.ops.mkldnn._reorder_linear_weight(plain, PACKED_FOR_ROWS)
        return self._copies[id(weight)]

    def _attention(self, module: Any) -> Callable[..., tuple[Tensor, None]]:
        parts = (module.q_proj, module.k_proj, module.v_proj)
        weight = torch.cat([part.weight.detach() for part in parts])
        bias = None if parts[0].bias is None else torch.cat([part.bias.detach() for part in parts])
        if self._worth_packing(weight):
            packed = torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_FOR_ROWS)
            self._copies[id(module)] = packed
            return _Attention(module, partial(_packed_linear, packed, bias))
        self._copies[id(module)] = weight
        return _Attention(module, lambda x: F.linear(x, weight, bias))


class _Attention:
    """Attention of the Llama kind. For one token a row; for more, the module's own."""

    def __init__(self, module: Any, project: Callable[[Tensor], Tensor]) -> None:
        self._module, self._project = module, project
        self._keys = module.k_proj.out_features // module.head_dim
        self._queries = module.q_proj.out_features // module.head_dim

    def __call__(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Any]:
        module = self._module
        rows, tokens, _ = hidden_states.shape
        if tokens > 1 or past_key_values is None:
            out: tuple[Tensor, Any] = type(module).forward(
                module, hidden_states, position_embeddings, attention_mask, past_key_values, **kwargs
            )
            return out
        n_keys, n_queries, width = self._keys, self._queries, module.head_dim
        joined = self._project(hidden_states).view(rows, n_queries + 2 * n_keys, width)
        cos, sin = position_embeddings
        half = width // 2
        turning, values = joined[:, : n_queries + n_keys], joined[:, n_queries + n_keys :]
        across = torch.cat([turning[..., half:].neg(), turning[..., :half]], dim=-1)
        turned = turning * cos + across * sin  # not addcmul, which rounds otherwise at the end of a tensor
        queries, keys = turned[:, :n_queries], turned[:, n_queries:]
        seen_keys, seen_values = past_key_values.update(keys[:, :, None], values[:, :, None], module.layer_idx)
        grouped = queries.reshape(rows, n_keys, n_queries // n_keys, width)
        attended = F.scaled_dot_product_attention(
            grouped, seen_keys, seen_values, attn_mask=attention_mask, scale=module.scaling
        )
        return module.o_proj(attended.reshape(rows, 1, n_queries * width)), None


@contextmanager
def _aligned_attention() -> Iterator[None]:
    """Has whoever calls torch's attention get the aligned one. (A `TorchFunctionMode` would do that, too, and hear of
    every other operation: of a small model's step that was a quarter.)"""
    namespace, name = vars(F), "scaled_dot_product_attention"
    plain = namespace[name]
    if isinstance(plain, _Aligned):  # an engine within another's step
        yield
        return
    namespace[name] = _Aligned(plain)
    try:
        yield
    finally:
        namespace[name] = plain


class _Aligned:
    """Attention of few tokens a row, with queries repeated until every thread of a CPU works in aligned memory.

    A thread's share of the scratch memory begins where that of the one before ends, and the products that it takes
    there round otherwise where that is no multiple of 64 bytes: rows would differ by the thread that has them. Queries
    count as rows of such a product; eight of them make any share of an even length a multiple.
    """

    def __init__(self, plain: Callable[..., Tensor]) -> None:
        self._plain = plain

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        *options: Any,
        **more: Any,
    ) -> Tensor:
        count = query.shape[2]
        times = ALIGNED // math.gcd(count, ALIGNED)
        if times == 1:
            return self._plain(query, key, value, attn_mask, *options, **more)
        if attn_mask is not None and attn_mask.shape[2] > 1:
            attn_mask = attn_mask.repeat(1, 1, times, 1)
        return self._plain(query.repeat(1, 1, times, 1), key, value, attn_mask, *options, **more)[:, :, :count]


def _can_pack(model: MFNModel) -> bool:
    return (
        model.device.type == "cpu"
        and model.dtype == torch.float32
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _packed_linear(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """`F.linear` with a packed weight: [..., d] → [..., n]."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


def _packed_encoder(weight: Tensor, bias: Tensor, layer: MFNLayer, x: Tensor) -> Tensor:
    """`MFNLayer.pre_activations` with a packed encoder."""
    return _packed_linear(weight, bias, (x - layer.offset()).to(torch.float32))


def _norm(module: Any, x: Tensor) -> Tensor:
    """RMSNorm as these families have it: in single precision, cast, then times the weight."""
    if x.dtype == torch.float32:
        return F.rms_norm(x, (x.shape[-1],), module.weight, module.variance_epsilon)
    normed = F.rms_norm(x.float(), (x.shape[-1],), None, module.variance_epsilon)
    return module.weight * normed.to(x.dtype)  # type: ignore[no-any-return]
