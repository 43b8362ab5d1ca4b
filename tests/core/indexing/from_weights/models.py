"""Small random models whose layers differ in norm, site and kind."""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.baselines import NeuronConfig, SAEConfig
from mfn_core.config import CoderConfig

VOCABULARY, WIDTH, NEURONS = 41, 16, 12
BLOCKS = 4


def llama(layers: dict[int, CoderConfig]) -> MFNModel:
    """Width 16, four blocks; all parameters random, norms, biases and encoders too, whose fresh weights would hide
    their part. Decoders keep unit norm."""
    torch.manual_seed(1)
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            intermediate_size=NEURONS,
            num_hidden_layers=BLOCKS,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=16,
        )
    )
    return randomised(MFNModel.equip(base.eval(), MFNConfig(layers)))


def gpt2(layers: dict[int, CoderConfig]) -> MFNModel:
    torch.manual_seed(2)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=WIDTH,
        n_layer=BLOCKS,
        n_head=2,
        n_inner=NEURONS,
        n_positions=16,
        bos_token_id=0,
        eos_token_id=0,
    )
    return randomised(MFNModel.equip(GPT2LMHeadModel(config).eval(), MFNConfig(layers)))


def opt_with_norms_behind(layers: dict[int, CoderConfig]) -> MFNModel:
    torch.manual_seed(3)
    config = OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        word_embed_proj_dim=WIDTH,
        ffn_dim=NEURONS,
        num_hidden_layers=BLOCKS,
        num_attention_heads=2,
        max_position_embeddings=16,
        do_layer_norm_before=False,
    )
    return randomised(MFNModel.equip(OPTForCausalLM(config).eval(), MFNConfig(layers)))


@torch.no_grad()
def randomised(model: MFNModel) -> MFNModel:
    for parameter in model.base.parameters():
        parameter.normal_(0.0, 0.4)
    for layer in model.mfn_layers.values():
        layer.normalize_decoder_()
    return model


def mixed() -> MFNModel:
    """Every norm and kind: layers of features, neurons, an SAE. 23, 24, 9 and 17 features."""
    return llama(
        {
            0: MFNLayerConfig(23, 3),
            1: NeuronConfig(2 * NEURONS, signed=False),
            2: MFNLayerConfig(9, 2, norm="layer", token_lookup=True),
            3: SAEConfig(17, "topk", k=2, site="resid_post"),
        }
    )
