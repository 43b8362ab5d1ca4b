"""Where the blocks of each model family can be opened between attention and MLP.

A family's adapter says where its blocks are and gives an equipped subclass of its block whose forward pass calls the
layer of features at `resid_mid`, the stream after attention has been added. A block is opened by giving it that class:
its weights, its name and its place in the model stay what they are, so that `generate`, caches and saving go on
working. To add a family, write such a subclass and register a `Family` below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from mfn_core.errors import UnknownFamilyError
from mfn_core.layer import MFNLayer


class OpenLlamaBlock(LlamaDecoderLayer):  # type: ignore[no-untyped-call]
    """A Llama block whose stream passes through `self.mfn` between attention and MLP."""

    mfn: MFNLayer

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = False,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """As the Llama block does, with the stream opened once. Shapes: [B, T, d] → [B, T, d]."""
        attended, _ = self.self_attn(
            hidden_states=self.input_layernorm(hidden_states),
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            position_embeddings=position_embeddings,
            **kwargs,
        )
        stream = hidden_states + attended
        blended = self.mfn(stream, position_ids)
        skip = blended if self.mfn.config.blend_into == "residual" else stream
        return cast(Tensor, skip + self.mlp(self.post_attention_layernorm(blended)))


@dataclass(frozen=True)
class Family:
    """How one family of models is opened.

    Attributes:
        model_type: as `config.model_type` names it.
        block: the equipped subclass of the family's block.
        blocks: the model's blocks, in order.
        final_norm: the norm before the unembedding.
    """

    model_type: str
    block: type[nn.Module]
    blocks: Callable[[PreTrainedModel], nn.ModuleList]
    final_norm: Callable[[PreTrainedModel], nn.Module]

    def open(self, base: PreTrainedModel, number: int, layer: MFNLayer) -> None:
        """Puts the layer into block `number`. The block keeps its weights."""
        block = self.blocks(base)[number]
        block.mfn = layer
        block.__class__ = self.block


FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        Family(
            model_type="llama",
            block=OpenLlamaBlock,
            blocks=lambda base: cast(nn.ModuleList, cast(Any, base).model.layers),
            final_norm=lambda base: cast(nn.Module, cast(Any, base).model.norm),
        ),
    )
}


def family_of(base: PreTrainedModel) -> Family:
    """The adapter for a model.

    Raises:
        UnknownFamilyError: none is registered for its `model_type`.
    """
    model_type = base.config.model_type
    if model_type not in FAMILIES:
        raise UnknownFamilyError(
            f"models of type {model_type!r} cannot be equipped yet (known: {', '.join(sorted(FAMILIES))}); "
            "an adapter in mfn_core/sites.py says where their blocks open"
        )
    return FAMILIES[model_type]
