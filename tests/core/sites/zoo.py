"""A tiny random model of every family: two blocks of width 32, norms and biases shaken so that nothing is neutral."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.config import BlendInto, CoderConfig

VOCAB, WIDTH, BLOCKS = 61, 32, 2
COMMON: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": WIDTH,
    "num_attention_heads": 4,
    "num_hidden_layers": BLOCKS,
    "max_position_embeddings": 48,
    "bos_token_id": 0,
    "eos_token_id": None,
    "pad_token_id": None,
}
GATED = {"intermediate_size": 40, "num_key_value_heads": 2}
GEMMA = {**GATED, "head_dim": 8, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
GPT2 = {
    "vocab_size": VOCAB,
    "n_embd": WIDTH,
    "n_head": 4,
    "n_layer": BLOCKS,
    "n_positions": 48,
    "bos_token_id": 0,
    "eos_token_id": None,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
}
GPT_NEO = {
    **{k: v for k, v in COMMON.items() if k not in ("num_attention_heads", "num_hidden_layers")},
    "num_heads": 4,
    "num_layers": BLOCKS,
    "attention_types": [[["global", "local"], 1]],
    "window_size": 4,
}
OPT = {**COMMON, "ffn_dim": 40, "dropout": 0.0, "word_embed_proj_dim": WIDTH}

Stream = Callable[[Any, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """A model and, where it has a `resid_mid`, its blocks written down once more.

    Attributes:
        model_type: the family.
        config: of the tiny model.
        stream: (block, what it was given, attention's output) → the stream between attention and MLP.
        rest: (block, what the skip connection carries, what the MLP reads) → the block's output.
    """

    model_type: str
    config: dict[str, Any]
    stream: Stream | None = None
    rest: Stream | None = None

    @property
    def n_sites(self) -> int:
        return 5 if self.stream is None or self.config.get("do_layer_norm_before") is False else 6


def _add(block: Any, h: Tensor, attended: Tensor) -> Tensor:
    return h + attended


LLAMA_LIKE: dict[str, Stream] = {
    "stream": _add,
    "rest": lambda block, skip, read: skip + block.mlp(block.post_attention_layernorm(read)),
}
GEMMA_LIKE: dict[str, Stream] = {
    "stream": lambda block, h, attended: h + block.post_attention_layernorm(attended),
    "rest": lambda block, skip, read: (
        skip + block.post_feedforward_layernorm(block.mlp(block.pre_feedforward_layernorm(read)))
    ),
}
GPT_LIKE: dict[str, Stream] = {
    "stream": _add,
    "rest": lambda block, skip, read: skip + block.mlp(block.ln_2(read)),
}
CASES = {
    "llama": Case("llama", {**COMMON, **GATED}, **LLAMA_LIKE),
    "mistral": Case("mistral", {**COMMON, **GATED, "sliding_window": 4}, **LLAMA_LIKE),
    "qwen2": Case("qwen2", {**COMMON, **GATED}, **LLAMA_LIKE),
    "qwen3": Case("qwen3", {**COMMON, **GATED, "head_dim": 8}, **LLAMA_LIKE),
    "gemma2": Case("gemma2", {**COMMON, **GEMMA, "query_pre_attn_scalar": 8}, **GEMMA_LIKE),
    "gemma3_text": Case("gemma3_text", {**COMMON, **GEMMA, "query_pre_attn_scalar": 8}, **GEMMA_LIKE),
    "gpt2": Case("gpt2", GPT2, **GPT_LIKE),
    "gpt_neo": Case("gpt_neo", GPT_NEO, **GPT_LIKE),
    "gpt_neox": Case("gpt_neox", {**COMMON, "intermediate_size": 40}),
    "gpt_neox-sequential": Case(
        "gpt_neox", {**COMMON, "intermediate_size": 40, "use_parallel_residual": False}, **LLAMA_LIKE
    ),
    "opt": Case(
        "opt",
        OPT,
        stream=_add,
        rest=lambda block, skip, read: skip + block.fc2(F.relu(block.fc1(block.final_layer_norm(read)))),
    ),
    "opt-350m": Case(
        "opt",
        {**OPT, "do_layer_norm_before": False, "word_embed_proj_dim": 16},
        stream=lambda block, h, attended: block.self_attn_layer_norm(h + attended),
        rest=lambda block, skip, read: block.final_layer_norm(skip + block.fc2(F.relu(block.fc1(read)))),
    ),
    "phi": Case("phi", {**COMMON, "intermediate_size": 40, "resid_pdrop": 0.0}),
}
WITH_MID = [name for name, case in CASES.items() if case.stream is not None]


def plain(name: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The model without any code, the same every time."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(CASES[name].model_type, **CASES[name].config)
    base: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return base.to(dtype).eval()


def equipped(name: str, config: MFNConfig, dtype: torch.dtype = torch.float32) -> MFNModel:
    """The same model with codes, the same every time."""
    base = plain(name)
    torch.manual_seed(1)
    return MFNModel.equip(base, config).to(dtype).eval()


def mfn(alpha: float = 1.0, blend: BlendInto = "residual", numbers: int | list[int] = BLOCKS) -> MFNConfig:
    """48 features, of which 6 fire, in every block or those listed, at `resid_mid`."""
    return MFNConfig.uniform(numbers, MFNLayerConfig(48, 6, alpha=alpha, blend_into=blend))


def at(number: int, coder: CoderConfig) -> MFNConfig:
    """One code in one block."""
    return MFNConfig({number: coder})


def ids(rows: int = 2, length: int = 9) -> Tensor:
    """int64 [rows, length], without the padding's id 0."""
    return torch.randint(1, VOCAB, (rows, length), generator=torch.Generator().manual_seed(3))


def first(output: Any) -> Tensor:
    """A module's output, or the first of several."""
    result: Tensor = output[0] if isinstance(output, tuple) else output
    return result


def checkpoint(base: PreTrainedModel) -> None:
    """Turns gradient checkpointing on, by the name that this version of transformers has for it."""
    getattr(base, "activation_checkpointing_enable", base.gradient_checkpointing_enable)()
