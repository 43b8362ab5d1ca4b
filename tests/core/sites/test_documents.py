"""What the documents say of families: every one is in the table, and the how-to's example works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from mfn_core import MFNModel
from mfn_core.sites import FAMILIES

from .zoo import COMMON, GATED, ids, mfn

DOCS = Path(__file__).parents[3] / "docs"


def test_the_table_has_every_family() -> None:
    page = (DOCS / "reference" / "families.md").read_text(encoding="utf-8")
    header, *rows = re.findall(r"^\| [^|]+ \| `([a-z0-9_]+)` \|", page, re.MULTILINE)
    assert header == "model_type"
    assert rows == list(FAMILIES)


def test_the_family_that_the_how_to_adds_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "how-to" / "add-a-family.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.setitem(FAMILIES, "olmo2", FAMILIES["llama"])  # so that it is taken out again
    exec(example, {})
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(AutoConfig.for_model("olmo2", **COMMON, **GATED)).eval()
    expected = base(ids()).logits
    model = MFNModel.equip(base, mfn(0.0))
    assert torch.equal(model(ids()).logits, expected)
    model.set_alpha(1.0)
    assert not torch.allclose(model(ids()).logits, expected)
