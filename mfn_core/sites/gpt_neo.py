"""GPT-Neo. Its block gives a tuple: the stream, and the attention weights if they were asked for."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mfn_core.sites.base import Family, open_stream


def forward(block: Any, hidden_states: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    """[B, T, d] → [B, T, d] and attention weights; `kwargs` are attention's."""
    attended, weights = block.attn(block.ln_1(hidden_states), **kwargs)
    skip, read = open_stream(block, attended + hidden_states)
    return skip + block.mlp(block.ln_2(read)), weights


GPT_NEO = Family(
    model_type="gpt_neo",
    blocks_at="transformer.h",
    final_norm_at="transformer.ln_f",
    attention_at="attn.attention",
    mlp_out_at="mlp",
    down_at="mlp.c_proj",
    forward=forward,
)
