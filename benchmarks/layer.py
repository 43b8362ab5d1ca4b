"""One layer against its encoder matmul alone, forward and forward + backward, in fp32 and under bf16 autocast.

bf16 is left out on a CPU without units for it: imitated, the matmul takes a hundred times as long as all the rest.

The encoder matmul is the floor: no layer that computes all F pre-activations can be faster. What the forward ratio
shows above 1 is normalisation, top-K, sparse decoding and blending together. The backward pass is compared with the
matmul's own, two dense products; the layer's is sparse, so that its ratio can fall below 1.

With `--peer PYTHON`, SAELens' TopK SAEs run on the same shapes in a process beside, in turns: inference, and a training
pass of reconstruction alone.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch.nn import functional as F

from benchmarks.harness import MIN_PAIRS, Metric, Paired, Peer, Result, against, paired
from mfn_core import MFNLayer, MFNLayerConfig
from mfn_core.run import Run
from mfn_core.training.precision import has_bf16_units

TARGET_FP32 = 1.25


class Shape(NamedTuple):
    """Width, features, features that fire, tokens."""

    d: int
    n_features: int
    k: int
    tokens: int

    def __str__(self) -> str:
        return f"d{self.d}_F{self.n_features}_K{self.k}_B{self.tokens}"


MAIN = Shape(512, 8192, 32, 1024)
SHAPES = (MAIN, Shape(256, 2048, 32, 1024), Shape(256, 4096, 16, 1024), Shape(768, 16384, 64, 512))
QUICK = (Shape(64, 512, 8, 64),)


def run(quick: bool, peer: str | None = None) -> Result:
    """Times a batch of B tokens through one layer of F features of width d, at α = 1."""
    metrics: dict[str, Metric] = {}
    precisions = ("fp32", "bf16") if quick or has_bf16_units(torch.device("cpu")) else ("fp32",)
    settings = {"alpha": 1.0, "pairs": MIN_PAIRS, "precisions": precisions}
    shapes = QUICK if quick else SHAPES
    for shape in shapes:
        for precision in precisions:
            target = TARGET_FP32 if shape == MAIN and precision == "fp32" else None
            metrics |= _over_matmul(shape, precision, target)
    if peer is not None:
        with Peer(peer, "benchmarks.peers.saelens") as process:
            for shape in shapes:
                for precision in precisions:
                    metrics |= _over_peer(shape, precision, process, None if quick else 1.0)
            settings |= process.prepare("forward", **_sizes(shapes[0], "fp32"))
    return Result(metrics, settings)


def _over_matmul(shape: Shape, precision: str, target: float | None) -> dict[str, Metric]:
    torch.manual_seed(0)
    layer, h = _layer(shape)
    weight, bias = layer.W_enc, layer.b_enc
    x = layer.normalise(h)[0].requires_grad_()
    upstream, of_pre = torch.randn_like(h), torch.randn(1, shape.tokens, shape.n_features)
    h_learning = h.clone().requires_grad_()

    def forward() -> None:
        with torch.inference_mode(), _precision(precision):
            layer(h)

    def matmul() -> None:
        with torch.inference_mode(), _precision(precision):
            F.linear(x, weight, bias)

    def both() -> None:
        with _precision(precision):
            out = layer(h_learning)
        torch.autograd.grad(out, (h_learning, *layer.parameters()), upstream)

    def matmul_both() -> None:
        with _precision(precision):
            out = F.linear(x, weight, bias)
        torch.autograd.grad(out, (x, weight, bias), of_pre.to(out.dtype))

    name = f"{shape}_{precision}"
    layer.eval()
    timing = paired(forward, matmul)
    metrics = _ratios(f"{name}_forward", timing, target)
    metrics[f"{name}_forward_layer"], metrics[f"{name}_forward_matmul"] = timing.times()
    layer.train()
    return metrics | _ratios(f"{name}_forward_backward", paired(both, matmul_both))


def _over_peer(shape: Shape, precision: str, peer: Peer, target: float | None) -> dict[str, Metric]:
    torch.manual_seed(0)
    layer, h = _layer(shape)

    def forward() -> None:
        with torch.inference_mode(), _precision(precision):
            layer(h)

    def training() -> None:
        layer.zero_grad()
        with layer.stage.use(Run(branch="train")) as run, _precision(precision):
            layer(h)
            trace = run.traces[0]
        assert trace.aux is not None
        assert trace.aux.x_hat is not None
        (trace.x - trace.aux.x_hat).square().sum(-1).mean().backward()  # type: ignore[no-untyped-call]

    name, sizes = f"{shape}_{precision}", _sizes(shape, precision)
    layer.eval()
    peer.prepare("forward", **sizes)
    metrics = _ratios(f"{name}_forward_over_saelens", against(forward, peer), target)
    layer.alpha = 0.0  # nothing but the reconstruction, as there
    layer.train()
    # Its sparse activations are no option under autocast (its own documentation).
    for sparse in (False, True) if precision == "fp32" else (False,):
        peer.prepare("training", **sizes, sparse=sparse)
        end = "_sparse" if sparse else ""
        metrics |= _ratios(f"{name}_training_over_saelens{end}", against(training, peer), target)
    return metrics


def _ratios(name: str, timing: Paired, target: float | None = None) -> dict[str, Metric]:
    return {name: timing.ratio(target), f"{name}_cpu": timing.processor_ratio(target)}


def _layer(shape: Shape) -> tuple[MFNLayer, torch.Tensor]:
    return MFNLayer(shape.d, MFNLayerConfig(n_features=shape.n_features, k=shape.k)), torch.randn(
        1, shape.tokens, shape.d
    )


def _sizes(shape: Shape, precision: str) -> dict[str, int | str]:
    return {**shape._asdict(), "precision": precision}


def _precision(name: str) -> torch.autocast | nullcontext[None]:
    return torch.autocast("cpu", torch.bfloat16) if name == "bf16" else nullcontext()
