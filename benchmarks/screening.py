"""What an encoder that screens in low precision, and verifies, would save: how many features it must score again.

A screen computes all p̃ cheaply, with a bound ε on |p̃ − p| that always holds. A feature can be among the K largest only
if p̃ + ε reaches what the K-th largest p̃ − ε is; these candidates are scored again in fp32. Counted on the demo model's
layers, reading this repository's own documents, and on random weights; and timed. Findings:
`docs/research/encoder-screening.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.harness import Metric, Result, paired, summary
from mfn_core import MFNModel
from mfn_core.kernels import largest
from mfn_core.kernels.bags import dot_rows

ROOT = Path(__file__).parents[1]
TEXTS = ("README.md", "docs/concepts/mfn.md", "docs/concepts/steering.md")
SHAPES = ((512, 8192, 32, 1024), (256, 2048, 32, 1024))
BF16 = 2.0**-8  # rounding a number to bf16 changes it by at most half of this, relatively; twice as much is safe


class Encoder(NamedTuple):
    """Tokens x − b_d [N, d], W_e [F, d], b_e [F] and K of one layer."""

    name: str
    x: Tensor
    weight: Tensor
    bias: Tensor
    k: int


class Screen(NamedTuple):
    """p̃ [N, F], and a bound on |p̃ − p| that broadcasts to it."""

    pre: Tensor
    error: Tensor


def run(quick: bool) -> Result:
    """Counts candidates, and times a bf16 screen with its verification against the plain fp32 encoder."""
    metrics: dict[str, Metric] = {}
    encoders = [_random(64, 512, 8, 64)] if quick else [*_demo(), _random(256, 2048, 32, 1024)]
    for encoder in encoders:
        exact = F.linear(encoder.x, encoder.weight, encoder.bias)
        for name, screen in (("bf16", bf16), ("int8", int8), ("half_rank", half_rank)):
            found = screen(encoder)
            assert ((found.pre - exact).abs() <= found.error).all(), f"{name}: the bound does not hold"
            counts = candidates(found, encoder.k)
            metrics[f"{encoder.name}_{name}_candidates"] = summary(counts.tolist(), "features")
    shapes = ((64, 1024, 8, 256),) if quick else SHAPES
    for shape in shapes:
        metrics |= _times(_random(*shape))
    return Result(metrics, {"K": encoders[0].k, "texts": list(TEXTS)})


def candidates(screen: Screen, k: int) -> Tensor:
    """int64 [N]: how many features of each token may be among its K largest."""
    least = (screen.pre - screen.error).topk(k, dim=-1).values[:, -1:]
    return (screen.pre + screen.error >= least).sum(-1)


def bf16(encoder: Encoder) -> Screen:
    """Factors and result rounded to bf16, summed in fp32."""
    x, weight = encoder.x.bfloat16().float(), encoder.weight.bfloat16().float()
    pre = F.linear(x, weight, encoder.bias).bfloat16().float()
    return Screen(pre, _error(encoder, x, weight) + BF16 * pre.abs())


def int8(encoder: Encoder) -> Screen:
    """Factors rounded to 8 bits, each row with a scale of its own, summed exactly."""

    def rounded(rows: Tensor) -> Tensor:
        scale = rows.abs().amax(-1, keepdim=True) / 127
        return (rows / scale).round() * scale

    x, weight = rounded(encoder.x), rounded(encoder.weight)
    return Screen(F.linear(x, weight, encoder.bias), _error(encoder, x, weight))


def half_rank(encoder: Encoder) -> Screen:
    """Factors projected to the d/2 directions in which the tokens vary most; the rest is bounded by its norms."""
    basis = torch.linalg.svd(encoder.x, full_matrices=False).Vh[: encoder.x.shape[1] // 2]
    x, weight = encoder.x @ basis.t(), encoder.weight @ basis.t()
    left = (encoder.x - x @ basis).norm(dim=-1)[:, None] * (encoder.weight - weight @ basis).norm(dim=-1)
    return Screen(F.linear(x, weight, encoder.bias), left + _summing(encoder))


def _error(encoder: Encoder, x: Tensor, weight: Tensor) -> Tensor:
    """[N, F]: |x·w − x'·w'| ≤ ‖x − x'‖ ‖w'‖ + ‖x‖ ‖w − w'‖, and what summing in fp32 adds."""
    of_x = (encoder.x - x).norm(dim=-1)[:, None] * weight.norm(dim=-1)
    of_weight = encoder.x.norm(dim=-1)[:, None] * (encoder.weight - weight).norm(dim=-1)
    error: Tensor = of_x + of_weight + _summing(encoder)
    return error


def _summing(encoder: Encoder) -> Tensor:
    """[N, F]: twice d · 2⁻²⁴ ‖x‖ ‖w‖, for both sums, and as much of the bias."""
    d = encoder.x.shape[1]
    norms = encoder.x.norm(dim=-1)[:, None] * encoder.weight.norm(dim=-1) + encoder.bias.abs()
    bound: Tensor = 4 * d * 2.0**-24 * norms
    return bound


def screened_encoder(encoder: Encoder) -> Callable[[], tuple[Tensor, Tensor]]:
    """Values and indices of the K largest, screened in bf16. Tokens that cannot be verified are encoded in full."""
    _, x, weight, bias, k = encoder
    room = 3 * k // 2
    low = weight.bfloat16()
    longest, farthest = low.float().norm(dim=-1).max(), (weight - low.float()).norm(dim=-1).max()
    of_sum = 4 * x.shape[1] * 2.0**-24 * float(weight.norm(dim=-1).max())
    of_bias = BF16 * bias.abs().max()

    def encode() -> tuple[Tensor, Tensor]:
        rough = x.bfloat16()
        norm = x.norm(dim=-1)
        error = (x - rough.float()).norm(dim=-1) * longest + norm * (farthest + of_sum) + of_bias
        pre, places = largest(F.linear(rough, low, bias.bfloat16()), room)
        ordered = pre.float().sort(dim=-1, descending=True).values
        least, next_best = ordered[:, k - 1], ordered[:, -1]  # what was left out is at most the least that was kept
        safe = next_best + error + BF16 * next_best.abs() < least - error - BF16 * least.abs()
        exact = dot_rows(places, x, weight) + bias[places]
        values, chosen = exact.topk(k, dim=-1, sorted=False)
        indices = places.gather(-1, chosen)
        doubtful = (~safe).nonzero().squeeze(1)
        if len(doubtful):
            values[doubtful], indices[doubtful] = largest(F.linear(x[doubtful], weight, bias), k)
        return values, indices

    return encode


def _times(encoder: Encoder) -> dict[str, Metric]:
    screened = screened_encoder(encoder)

    def plain() -> tuple[Tensor, Tensor]:
        return largest(F.linear(encoder.x, encoder.weight, encoder.bias), encoder.k)

    with torch.inference_mode():
        mine, theirs = (found[0].sort(dim=-1).values for found in (screened(), plain()))
        torch.testing.assert_close(mine, theirs)
        timing = paired(screened, plain)
    name = f"d{encoder.x.shape[1]}_F{len(encoder.weight)}_bf16_screen_over_fp32_encoder"
    return {name: timing.ratio(), f"{name}_cpu": timing.processor_ratio()}


def _random(d: int, n_features: int, k: int, tokens: int) -> Encoder:
    torch.manual_seed(0)
    weight = F.normalize(torch.randn(n_features, d), dim=-1)
    return Encoder("random", torch.randn(tokens, d), weight, torch.zeros(n_features), k)


def _demo() -> Iterator[Encoder]:
    model = MFNModel.from_pretrained(ROOT / "demo" / "model")
    ids = model.encode_text("".join((ROOT / name).read_text(encoding="utf-8") for name in TEXTS))[1:]
    length = model.max_context - 1
    rows = [[0, *ids[begin : begin + length]] for begin in range(0, len(ids) - length, length)]
    with torch.no_grad():
        traces = model(torch.tensor(rows), record=True, logits_to_keep=1).traces
    for number, layer in model.mfn_layers.items():
        x = (traces[number].x - layer.b_dec.detach())[:, 1:].flatten(0, 1)
        yield Encoder(f"layer_{number}", x, layer.W_enc.detach(), layer.b_enc.detach(), layer.k)
