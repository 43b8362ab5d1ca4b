"""One layer's forward pass against its encoder matmul alone, in fp32 and under bf16 autocast.

The encoder matmul is the floor: no layer that computes all F pre-activations can be faster. What the ratio shows
above 1 is normalisation, top-K, sparse decoding and blending together.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch.nn import functional as F

from benchmarks.harness import Metric, Result, paired
from mfn_core import MFNLayer, MFNLayerConfig

TARGET_FP32 = 1.25


def run(quick: bool) -> Result:
    """Times a batch of B tokens through one layer of F features of width d, at α = 1."""
    d_model, n_features, k, tokens = (128, 1024, 16, 256) if quick else (512, 8192, 32, 1024)
    torch.manual_seed(0)
    layer = MFNLayer(d_model, MFNLayerConfig(n_features=n_features, k=k)).eval()
    h = torch.randn(1, tokens, d_model)
    positions = torch.arange(tokens)[None]
    x, _, _ = layer.normalise(h)
    metrics: dict[str, Metric] = {}
    for name in ("fp32", "bf16"):

        def whole(name: str = name) -> None:
            with torch.inference_mode(), _precision(name):
                layer(h, positions)

        def matmul(name: str = name) -> None:
            with torch.inference_mode(), _precision(name):
                F.linear(x, layer.W_enc, layer.b_enc)

        timing = paired(whole, matmul, pairs=20 if quick else 40)
        metrics[f"{name}_layer_over_matmul"] = timing.ratio(None if quick or name == "bf16" else TARGET_FP32)
        metrics[f"{name}_layer"], metrics[f"{name}_matmul"] = timing.times()
    return Result(metrics, {"d": d_model, "F": n_features, "K": k, "B": tokens, "alpha": 1.0})


def _precision(name: str) -> torch.autocast | nullcontext[None]:
    return torch.autocast("cpu", torch.bfloat16) if name == "bf16" else nullcontext()
