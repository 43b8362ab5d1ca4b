"""Models made to stand beside one that is tested: one without training, and a dense twin's own neurons."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import torch
from transformers import AutoModelForCausalLM

from mfn_core.baselines import NeuronConfig
from mfn_core.config import MFNConfig
from mfn_core.model import MFNModel

NEURONS, CONTROL = "neurons", "random Transformer"  # what they are called


def random_control(model: MFNModel, seed: int) -> MFNModel:
    """A Transformer of the same shape with the weights that training begins with, read by untrained layers of the same
    F and K that leave its stream alone (α = 0). What a measure finds there it finds without any training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base = AutoModelForCausalLM.from_config(model.base.config)  # type: ignore[no-untyped-call]
        layers = {n: replace(layer.current_config, alpha=0.0) for n, layer in model.mfn_layers.items()}
        return MFNModel.equip(base, MFNConfig(dict(layers)), model.tokenizer).eval()


def neurons_of(model: MFNModel, k: int) -> MFNModel:
    """A copy of a model without layers, whose raw MLP neurons are its code; the k strongest of them are recorded."""
    width = model.family.width(model.base, "mlp_hidden")
    codes = MFNConfig({n: NeuronConfig(width, k=min(k, width)) for n in range(model.n_blocks)})
    return MFNModel.equip(deepcopy(model.base), codes, model.tokenizer).eval()
