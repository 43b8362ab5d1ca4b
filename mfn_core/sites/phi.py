"""Phi 1, 1.5 and 2: attention and MLP read the same normed stream side by side, so that nothing lies between them."""

from __future__ import annotations

from mfn_core.sites.base import PARALLEL, Family

PHI = Family(
    model_type="phi",
    blocks_at="model.layers",
    final_norm_at="model.final_layernorm",
    attention_at="self_attn",
    mlp_out_at="mlp",
    down_at="mlp.fc2",
    no_mid=lambda base: PARALLEL,
)
