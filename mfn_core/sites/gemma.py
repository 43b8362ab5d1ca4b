"""Gemma 2 and the text models of Gemma 3: what attention and MLP give is normed once more before it is added."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mfn_core.sites.base import Family, open_stream


def forward(block: Any, hidden_states: Tensor, **kwargs: Any) -> Tensor:
    """[B, T, d] → [B, T, d]: norm, attention, norm, add; norm, MLP, norm, add. `kwargs` are attention's."""
    attended, _ = block.self_attn(hidden_states=block.input_layernorm(hidden_states), **kwargs)
    skip, read = open_stream(block, hidden_states + block.post_attention_layernorm(attended))
    fed = block.mlp(block.pre_feedforward_layernorm(read))
    out: Tensor = skip + block.post_feedforward_layernorm(fed)
    return out


def _family(model_type: str) -> Family:
    return Family(
        model_type=model_type,
        blocks_at="model.layers",
        final_norm_at="model.norm",
        attention_at="self_attn",
        mlp_out_at="post_feedforward_layernorm",  # as Gemma Scope has it: what is added, norm and all
        down_at="mlp.down_proj",
        forward=forward,
        norm_offset=1.0,
    )


GEMMA2, GEMMA3_TEXT = map(_family, ("gemma2", "gemma3_text"))
