"""What a model family has to say of itself so that its models can be equipped, and how a block is opened.

`resid_mid` lies in the middle of a block's forward pass, on the stream and its skip connection both, where no hook
reaches: there the block is given a subclass of its own class with another forward pass. Its weights, its name and its
place in the model stay what they are, so that `generate`, caches, checkpointing and saving go on working. Every other
site is the input or the output of some submodule, and a hook does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel

from mfn_core.coder import SparseCoder
from mfn_core.config import MFNLayerConfig, Site
from mfn_core.errors import ConfigError

SLOT = "mfn"
FINAL_SLOT = "mfn_final"
PARALLEL = (
    "its attention and its MLP read the stream side by side (parallel residual), so that no stream lies between them; "
    "use resid_post, what both have been added to"
)
BlockForward = Callable[..., Any]  # (block, hidden states [B, T, d], what else the family's blocks are given)


def open_stream(block: nn.Module, stream: Tensor) -> tuple[Tensor, Tensor]:
    """What the skip connection carries on from `resid_mid`, and what the MLP reads there.

    Args:
        block: holds the sparse code, as `mfn`.
        stream: [B, T, d], after attention has been added.

    Returns:
        [B, T, d] twice; both are `stream` itself where the block's code is at another site.
    """
    coder = cast(SparseCoder, block.mfn)
    if coder.config.site != "resid_mid":
        return stream, stream
    blended: Tensor = coder(stream)
    only_mlp = isinstance(coder.config, MFNLayerConfig) and coder.config.blend_into == "mlp"
    return (stream if only_mlp else blended), blended


@cache
def opened_class(block: type[Any], forward: BlockForward) -> type[Any]:
    """A subclass of a block's class that has another forward pass, and nothing else of its own."""
    about = {"forward": forward, "__module__": forward.__module__, "__doc__": f"{block.__name__} with a sparse code."}
    return type(f"Open{block.__name__}", (block,), about)


class ReadInput:
    """A forward-pre-hook: a module's input passes through a sparse code.

    An object, not a closure, so that a deep copy of the model takes along its own copy of the code.
    """

    def __init__(self, coder: SparseCoder) -> None:
        self.coder = coder

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, the first of them, [B, T, ·], replaced."""
        return self.coder(args[0]), *args[1:]


class ReadOutput:
    """A forward hook: a module's output passes through a sparse code. An object for the reason of `ReadInput`."""

    def __init__(self, coder: SparseCoder) -> None:
        self.coder = coder

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """The output, [B, T, ·] or a tuple that begins with it, replaced."""
        if isinstance(output, tuple):
            return self.coder(output[0]), *output[1:]
        return self.coder(output)


def output_embeddings(base: PreTrainedModel) -> Tensor:
    """[V, d]: what turns the final norm's output into logits."""
    return cast(Tensor, cast(Any, base).get_output_embeddings().weight)


def always_sequential(base: PreTrainedModel) -> str | None:
    """Nothing speaks against `resid_mid`: in these families attention is always added before the MLP reads."""
    return None


@dataclass(frozen=True)
class Family:
    """How one family of models is opened. Places are dotted names of submodules.

    Attributes:
        model_type: as `config.model_type` names it.
        blocks_at: the list of blocks, in the causal LM.
        final_norm_at: the norm before the unembedding, in the causal LM; beside it lie the blocks and the embeddings.
        attention_at: attention, in a block. Where it gives a tuple, its output comes first.
        mlp_out_at: whose output is what the MLP adds to the stream, in a block.
        down_at: the MLP's down projection, in a block; its input are the MLP's neurons.
        forward: a block's forward pass, as the family's own, that sends the stream through `open_stream` after
            attention has been added. None where no block has a `resid_mid`.
        forward_for: the sites for which a block takes that forward pass.
        no_mid: why a model has no `resid_mid`, or None where it has one.
        norm_offset: what the final norm adds to its weight before multiplying by it.
        unembedding: [V, d], what turns the final norm's output into logits.
    """

    model_type: str
    blocks_at: str
    final_norm_at: str
    attention_at: str
    mlp_out_at: str
    down_at: str
    forward: BlockForward | None = None
    forward_for: frozenset[Site] = frozenset({"resid_mid"})
    no_mid: Callable[[PreTrainedModel], str | None] = always_sequential
    norm_offset: float = 0.0
    unembedding: Callable[[PreTrainedModel], Tensor] = output_embeddings

    def blocks(self, base: PreTrainedModel) -> nn.ModuleList:
        """The model's blocks, in order."""
        return cast(nn.ModuleList, base.get_submodule(self.blocks_at))

    def backbone(self, base: PreTrainedModel) -> nn.Module:
        """The part that turns token ids into the final norm's output; the causal LM calls it itself."""
        return base.get_submodule(self.final_norm_at.rpartition(".")[0])

    def final_norm(self, base: PreTrainedModel) -> nn.Module | None:
        """The norm before the unembedding; None in the few models that have none."""
        return cast("nn.Module | None", getattr(self.backbone(base), self.final_norm_at.rpartition(".")[2]))

    def attention(self, base: PreTrainedModel, number: int) -> nn.Module:
        """The attention of block `number`."""
        return self.blocks(base)[number].get_submodule(self.attention_at)

    def mlp_out(self, base: PreTrainedModel, number: int) -> nn.Module:
        """The module of block `number` whose output is what the MLP adds to the stream."""
        return self.blocks(base)[number].get_submodule(self.mlp_out_at)

    def down(self, base: PreTrainedModel, number: int) -> nn.Module:
        """The MLP's down projection in block `number`."""
        return self.blocks(base)[number].get_submodule(self.down_at)

    def down_directions(self, base: PreTrainedModel, number: int) -> Tensor:
        """[neurons, d]: what each neuron of block `number`'s MLP writes, a row a neuron. A view of the weight."""
        down = self.down(base, number)
        weight = cast(Tensor, down.weight)
        return weight.t() if isinstance(down, nn.Linear) else weight  # transformers' Conv1D has it this way round

    def width(self, base: PreTrainedModel, site: Site) -> int:
        """Channels of the stream at a site; the same in every block."""
        if site == "mlp_hidden":
            return len(self.down_directions(base, 0))
        return int(base.config.hidden_size)

    def lens(self, base: PreTrainedModel) -> Tensor:
        """The direct lens: what each channel of the stream adds to the logits if nothing reacts.

        The final norm's weight and, for LayerNorm, its subtraction of the mean are folded in; its division by the
        scale is not, since that depends on the token.

        Returns:
            float32 [V, d]. Logits are `stream @ lens.T`, over the norm's scale, plus what is the same for every stream
            (before Gemma 2's soft cap).
        """
        lens = self.unembedding(base).float()
        norm = self.final_norm(base)
        gain = getattr(norm, "weight", None)
        if gain is not None:
            lens = lens * (gain.float() + self.norm_offset)
        if isinstance(norm, nn.LayerNorm):
            lens = lens - lens.mean(1, keepdim=True)
        return lens

    def open(self, base: PreTrainedModel, number: int, coder: SparseCoder) -> None:
        """Has the stream at `coder.config.site` of block `number` pass through a sparse code.

        The code becomes a submodule, `mfn` of its block (`mfn_final` beside the final norm for `resid_final`), so that
        its parameters are in the state dict. The model's own weights stay what they are.

        Raises:
            ConfigError: this model has no such site, or there is a code already.
        """
        site = coder.config.site
        if site == "resid_final":
            self._open_final(base, coder)
            return
        if site == "resid_mid" and (why := self.no_mid(base)) is not None:
            raise ConfigError(f"this model has no site resid_mid: {why}")
        block = self.blocks(base)[number]
        _register(block, SLOT, coder, f"block {number}")
        if self.forward is not None and site in self.forward_for:
            block.__class__ = opened_class(cast(Any, type(block)), self.forward)
        match site:
            case "resid_pre":
                block.register_forward_pre_hook(ReadInput(coder))
            case "resid_post":
                block.register_forward_hook(ReadOutput(coder))
            case "mlp_hidden":
                self.down(base, number).register_forward_pre_hook(ReadInput(coder))
            case "mlp_out":
                self.mlp_out(base, number).register_forward_hook(ReadOutput(coder))
            case "resid_mid":
                pass  # the block's own forward calls it

    def _open_final(self, base: PreTrainedModel, coder: SparseCoder) -> None:
        norm = self.final_norm(base)
        if norm is None:
            raise ConfigError(
                "this model has no final norm, hence no site resid_final: "
                "use resid_post of the last block, which is the same stream"
            )
        _register(self.backbone(base), FINAL_SLOT, coder, "the end of the stream")
        norm.register_forward_pre_hook(ReadInput(coder))


def _register(module: nn.Module, slot: str, coder: SparseCoder, place: str) -> None:
    if hasattr(module, slot):
        raise ConfigError(f"{place} has a sparse code already")
    module.add_module(slot, coder)
