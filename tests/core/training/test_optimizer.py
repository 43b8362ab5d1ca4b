"""Which weights move at which rate."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from mfn_core.training.building import new_model
from mfn_core.training.optimizer import Optimizers

from .conftest import small


def test_token_lookups_learn_at_a_rate_of_their_own(prepared: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(prepared / "tokenizer", local_files_only=True)
    rates = {"lr": 1e-3, "mfn_lr": 2e-3, "lookup_lr": 3e-2, "matrices": "adamw", "weight_decay": 0.0, "clip": 1e9}
    config = small(mfn={"token_lookup": True}, optimizer=rates)
    for settings, table_rate in ((rates, 3e-2), ({**rates, "lookup_lr": 0.0}, 2e-3)):
        model = new_model(config, tokenizer)
        optimizers = Optimizers(model, small(mfn={"token_lookup": True}, optimizer=settings).optimizer)
        before = {name: p.detach().clone() for name, p in model.base.named_parameters()}
        for p in model.base.parameters():
            p.grad = torch.ones_like(p)
        assert set(optimizers.clip()) == {"transformer", "features"}
        optimizers.step(0.5, 0.25)
        moved = {name: (before[name] - p.detach()).abs().mean() for name, p in model.base.named_parameters()}
        # Adam's first step is the rate itself.
        torch.testing.assert_close(moved["model.layers.1.mfn.T"], torch.tensor(table_rate * 0.25))
        torch.testing.assert_close(moved["model.layers.1.mfn.W_enc"], torch.tensor(2e-3 * 0.25), rtol=1e-3, atol=0.0)
        torch.testing.assert_close(moved["model.embed_tokens.weight"], torch.tensor(1e-3 * 0.5), rtol=1e-3, atol=0.0)
