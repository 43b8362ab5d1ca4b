"""Codes in the place of the stream they read: all of them at once, and gone afterwards."""

from __future__ import annotations

import torch
from transformers import LlamaForCausalLM

from mfn_core.baselines import SAEConfig
from mfn_core.config import MFNConfig
from mfn_core.evaluation.splicing import logits_with, rebuilt, spliced
from mfn_core.model import MFNModel


@torch.no_grad()
def test_what_is_not_rebuilt_does_not_pass(tiny_model: MFNModel) -> None:
    torch.manual_seed(0)
    sae = SAEConfig(64, architecture="topk", k=4)
    base = LlamaForCausalLM(tiny_model.base.config).eval()
    ids = torch.tensor([[0, 20, 31, 42]])
    one = MFNModel.equip(base, MFNConfig({1: sae}), tiny_model.tokenizer).eval()
    plain = one(ids).logits
    with spliced(one):
        found = one(ids).logits
    assert torch.equal(found, logits_with(one, 1, lambda h: rebuilt(one.coders[1], h), ids))
    assert not torch.allclose(found, plain, atol=1e-2)
    assert torch.equal(one(ids).logits, plain)


@torch.no_grad()
def test_layers_that_replace_the_stream_stay_as_they_are(tiny_model: MFNModel) -> None:
    ids = torch.tensor([[0, 20, 31, 42]])
    plain = tiny_model(ids).logits
    with spliced(tiny_model):
        assert torch.allclose(tiny_model(ids).logits, plain, atol=1e-5)
