"""SAEBench's core metrics, by its own package, and ours: the same on the same codes, within 1 %.

With a Python that has sae-bench, which `MFN_SAEBENCH_PYTHON` names; none is made here, since its pins take gigabytes:

    python -m venv ENV && ENV/bin/pip install sae-bench==0.6.0
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.baselines import SAEConfig
from scripts.saebench.__main__ import WITHIN, compare

VARIABLE = "MFN_SAEBENCH_PYTHON"
PYTHON = os.environ.get(VARIABLE)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.interop,
    pytest.mark.skipif(not PYTHON, reason=f"{VARIABLE} names no Python that has sae-bench"),
]


def test_both_sides_measure_the_same(tmp_path: Path) -> None:
    assert PYTHON
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
    shape |= {"vocab_size": 96, "num_hidden_layers": 3, "max_position_embeddings": 64, "bos_token_id": 0}
    base = LlamaForCausalLM(LlamaConfig(tie_word_embeddings=True, **shape))
    with torch.no_grad():  # it expects each token again, and is right three times in four: ablation costs something
        base.get_input_embeddings().weight.mul_(5)
    layers = {
        0: SAEConfig(64, "topk", k=6, site="resid_mid"),
        1: MFNLayerConfig(64, 6),
        2: SAEConfig(64, "standard", site="resid_post"),
    }
    model = MFNModel.equip(base, MFNConfig(layers)).eval()
    rows = torch.randint(1, 96, (6, 12)).repeat_interleave(4, dim=1)
    rows[:, 0] = 0
    found, versions = compare(model, rows, Path(PYTHON), tmp_path)
    shared = [row for row in found if row["shared"]]
    assert len(shared) == 3 * 19
    assert {row["layer"] for row in shared} == {0, 1, 2}
    assert not [row for row in shared if not row["difference"] <= WITHIN]
    assert versions["sae-bench"]
