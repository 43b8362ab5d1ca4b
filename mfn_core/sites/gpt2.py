"""GPT-2."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from mfn_core.sites.base import Family, open_stream


def forward(
    block: Any,
    hidden_states: Tensor,
    past_key_values: Any = None,
    attention_mask: Tensor | None = None,
    encoder_hidden_states: None = None,
    encoder_attention_mask: None = None,
    **kwargs: Any,
) -> Tensor:
    """[B, T, d] → [B, T, d]; `kwargs` are attention's. There is no encoder: `_no_mid` says why."""
    attended, _ = block.attn(
        block.ln_1(hidden_states), past_key_values=past_key_values, attention_mask=attention_mask, **kwargs
    )
    skip, read = open_stream(block, attended + hidden_states)
    out: Tensor = skip + block.mlp(block.ln_2(read))
    return out


def _no_mid(base: PreTrainedModel) -> str | None:
    if base.config.add_cross_attention:
        return "its blocks also read an encoder (add_cross_attention) before their MLP; use resid_pre or resid_post"
    return None


GPT2 = Family(
    model_type="gpt2",
    blocks_at="transformer.h",
    final_norm_at="transformer.ln_f",
    attention_at="attn",
    mlp_out_at="mlp",
    down_at="mlp.c_proj",
    forward=forward,
    no_mid=_no_mid,
)
