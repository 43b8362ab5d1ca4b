"""The same promises on a real pretrained model that nobody here wrote: a 260 k-parameter Llama that tells stories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mfn_core import Intervention, MFNConfig, MFNLayerConfig, MFNModel

FOLDER = Path(os.environ.get("MFN_SHARED", Path(__file__).parents[3] / "shared")) / "models" / "stories260K"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the pretrained stories260K model is not on this machine (set MFN_SHARED to its parent)"
)
PROMPT = "Once upon a time, there was a"


def equipped(alpha: float) -> MFNModel:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(FOLDER).eval()
    config = MFNConfig.uniform(5, MFNLayerConfig(256, 16, alpha=alpha))
    return MFNModel.equip(base, config, AutoTokenizer.from_pretrained(FOLDER)).eval()


def test_alpha_zero_is_the_pretrained_model_bit_for_bit() -> None:
    model = equipped(0.0)
    plain = AutoModelForCausalLM.from_pretrained(FOLDER).eval()
    ids = torch.tensor([model.encode_text(PROMPT)])
    assert torch.equal(model(ids).logits, plain(ids).logits)
    text = model.generate(PROMPT, max_new_tokens=40)
    assert "little" in text  # it tells a story, so it was loaded rightly
    continued = plain.generate(ids, max_new_tokens=40, do_sample=False)
    assert model.tokenizer is not None
    assert text == model.tokenizer.decode(continued[0, ids.shape[1] :], skip_special_tokens=True)


def test_a_clamp_changes_what_it_writes() -> None:
    model = equipped(0.3)
    plain = model.generate(PROMPT, max_new_tokens=20)
    assert model.generate(PROMPT, [Intervention(2, 5, "scale", 1.0)], max_new_tokens=20) == plain
    assert model.generate(PROMPT, [Intervention(2, 5, "set", 40.0)], max_new_tokens=20) != plain
