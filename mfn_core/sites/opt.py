"""OPT, which norms before attention and MLP, or (opt-350m) after them.

Where the norms come after, the stream itself is what they give. So `resid_mid` is the stream after attention has been
added *and* normed (ours): what the MLP reads and what the skip connection carries on, as everywhere else.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from mfn_core.sites.base import Family, open_stream, output_embeddings


def forward(block: Any, hidden_states: Tensor, use_cache: bool | None = None, **kwargs: Any) -> Tensor:
    """[B, T, d] → [B, T, d]; `kwargs` are attention's.

    OPT's own forward pass merges rows and tokens before the MLP. This one does not, so that a code within the MLP sees
    [B, T, ·] too.
    """
    before = block.do_layer_norm_before
    attended, _ = block.self_attn(
        hidden_states=block.self_attn_layer_norm(hidden_states) if before else hidden_states, **kwargs
    )
    stream = hidden_states + F.dropout(attended, block.dropout, block.training)
    skip, read = open_stream(block, stream if before else block.self_attn_layer_norm(stream))
    fed = block.fc2(block.activation_fn(block.fc1(block.final_layer_norm(read) if before else read)))
    out: Tensor = skip + F.dropout(fed, block.dropout, block.training)
    return out if before else block.final_layer_norm(out)


def _unembedding(base: PreTrainedModel) -> Tensor:
    weight, project = output_embeddings(base), cast(Any, base).model.decoder.project_out
    return weight if project is None else weight @ project.weight


OPT = Family(
    model_type="opt",
    blocks_at="model.decoder.layers",
    final_norm_at="model.decoder.final_layer_norm",
    attention_at="self_attn",
    mlp_out_at="fc2",
    down_at="fc2",
    forward=forward,
    forward_for=frozenset({"resid_mid", "mlp_hidden", "mlp_out"}),
    unembedding=_unembedding,
)
