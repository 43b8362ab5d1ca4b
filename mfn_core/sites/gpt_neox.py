"""GPT-NeoX and Pythia: attention and MLP read the same stream side by side, unless the config says otherwise."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from mfn_core.sites.base import PARALLEL, Family, open_stream


def forward(block: Any, hidden_states: Tensor, **kwargs: Any) -> Tensor:
    """[B, T, d] → [B, T, d], without parallel residual; `kwargs` are attention's."""
    attended, _ = block.attention(block.input_layernorm(hidden_states), **kwargs)
    skip, read = open_stream(block, block.post_attention_dropout(attended) + hidden_states)
    out: Tensor = skip + block.post_mlp_dropout(block.mlp(block.post_attention_layernorm(read)))
    return out


def _no_mid(base: PreTrainedModel) -> str | None:
    return PARALLEL if base.config.use_parallel_residual else None


GPT_NEOX = Family(
    model_type="gpt_neox",
    blocks_at="gpt_neox.layers",
    final_norm_at="gpt_neox.final_layer_norm",
    attention_at="attention",
    mlp_out_at="mlp",
    down_at="mlp.dense_4h_to_h",
    forward=forward,
    no_mid=_no_mid,
)
