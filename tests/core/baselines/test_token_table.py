"""A token's own vector beside the stream: nothing at first, then what it says, and steered like any other code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mfn_core import Intervention, MFNConfig, MFNModel
from mfn_core.baselines import TokenTable, TokenTableConfig
from mfn_core.errors import ConfigError
from mfn_core.interventions import EditBuffers

from .test_in_a_model import plain_base

IDS = torch.tensor([[1, 5, 9, 5]])


def with_tables(tiny: MFNModel) -> MFNModel:
    config = MFNConfig({1: TokenTableConfig(tiny.vocab_size)})
    return MFNModel.equip(plain_base(tiny), config, tiny.tokenizer).eval()


@torch.no_grad()
def test_a_table_of_zeros_changes_nothing_and_another_adds_its_rows(tiny_model: MFNModel) -> None:
    model, plain = with_tables(tiny_model), plain_base(tiny_model)
    assert torch.equal(model(IDS).logits, plain(IDS).logits)
    table = model.coders[1]
    assert isinstance(table, TokenTable)
    table.T[5] = torch.linspace(-1, 1, table.d_model)
    seen: list[torch.Tensor] = []
    handle = table.register_forward_hook(lambda module, args, out: seen.extend((args[0], out)))
    model(IDS)
    handle.remove()
    h, out = seen
    scale = (h.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    expected = h.clone()
    expected[0, [1, 3]] += scale[0, [1, 3]] * table.T[5]
    torch.testing.assert_close(out, expected)
    codes = model(IDS, record=True).traces[1].codes
    assert codes.indices.flatten().tolist() == [1, 5, 9, 5]
    assert codes.values.flatten().tolist() == [1.0] * 4


@torch.no_grad()
def test_it_is_steered_and_saved_like_any_other_code(tiny_model: MFNModel, tmp_path: Path) -> None:
    model = with_tables(tiny_model)
    model.coders[1].T.normal_()
    model.refresh_fingerprint()
    model.save_pretrained(tmp_path)
    again = MFNModel.from_pretrained(tmp_path)
    assert again.fingerprint == model.fingerprint
    assert torch.equal(again(IDS).logits, model(IDS).logits)
    off = EditBuffers.allocate(model.n_features, rows=1, signed=model.signed)
    off.write(0, [Intervention(1, 5, "ablate")], prompt_length=1)
    cut = with_tables(tiny_model)
    cut.coders[1].T.copy_(model.coders[1].T)
    cut.coders[1].T[5] = 0.0
    torch.testing.assert_close(model(IDS, edits=off).logits, cut(IDS).logits)


def test_its_size_is_the_vocabularys_and_it_needs_ids(tiny_model: MFNModel) -> None:
    with pytest.raises(ConfigError, match="one feature a token"):
        MFNModel.equip(plain_base(tiny_model), MFNConfig({0: TokenTableConfig(7)}), tiny_model.tokenizer)
    model = with_tables(tiny_model)
    with pytest.raises(RuntimeError, match="needs token ids"):
        model.base(inputs_embeds=torch.zeros(1, 3, model.d_model))
