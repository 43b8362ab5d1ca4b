"""Wider MLPs: the same function to begin with, and room to learn in."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from mfn_core.baselines import widen_mlps
from mfn_core.errors import ConfigError


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    return LlamaForCausalLM(config).double().eval()


def test_the_function_stays_and_new_channels_learn() -> None:
    model, tokens = llama(), torch.randint(0, 40, (2, 9), generator=torch.Generator().manual_seed(1))
    before = model(tokens).logits
    widen_mlps(model, 56)
    assert model.config.intermediate_size == 56
    assert {mlp.down_proj.weight.shape for mlp in (layer.mlp for layer in model.model.layers)} == {(16, 56)}
    assert torch.allclose(model(tokens).logits, before, rtol=0, atol=1e-12)
    model(tokens, labels=tokens).loss.backward()
    for layer in model.model.layers:
        written = layer.mlp.down_proj.weight.grad[:, 24:]
        assert (written.abs().sum(dim=0) > 0).all()  # every new channel gets something to write


def test_a_widened_model_is_saved_and_read_like_any_other(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, tokens = llama(), torch.arange(7)[None]
    widen_mlps(model, 30)
    model.save_pretrained(tmp_path)
    read = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float64)
    assert torch.equal(read(tokens).logits, model(tokens).logits)


def test_what_cannot_be_widened_is_refused() -> None:
    with pytest.raises(ConfigError, match="more than the 24 channels"):
        widen_mlps(llama(), 24)
    with pytest.raises(ConfigError, match="gpt2 has others"):
        widen_mlps(GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=20)), 100)
