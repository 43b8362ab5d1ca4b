"""Llama, and what is built like it: Mistral, Qwen 2 and Qwen 3.

They differ within attention, which is not opened; around it their blocks are the same.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mfn_core.sites.base import Family, open_stream


def forward(block: Any, hidden_states: Tensor, **kwargs: Any) -> Tensor:
    """[B, T, d] → [B, T, d]: norm, attention, add; norm, MLP, add. `kwargs` are attention's."""
    attended, _ = block.self_attn(hidden_states=block.input_layernorm(hidden_states), **kwargs)
    skip, read = open_stream(block, hidden_states + attended)
    out: Tensor = skip + block.mlp(block.post_attention_layernorm(read))
    return out


def _family(model_type: str) -> Family:
    return Family(
        model_type=model_type,
        blocks_at="model.layers",
        final_norm_at="model.norm",
        attention_at="self_attn",
        mlp_out_at="mlp",
        down_at="mlp.down_proj",
        forward=forward,
    )


LLAMA, MISTRAL, QWEN2, QWEN3 = map(_family, ("llama", "mistral", "qwen2", "qwen3"))
