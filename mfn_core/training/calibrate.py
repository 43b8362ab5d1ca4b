"""Where new layers of features begin, given what passes through them: a habit of ours, on which the paper is silent.

A random tied dictionary rebuilds the stream around 0 and too long, since the K directions that match a token best also
match each other. docs/decisions/0008 has what that costs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.data.mix import TokenRows
from mfn_core.layer import MFNLayer
from mfn_core.model import MFNModel
from mfn_core.training.batches import Batches
from mfn_core.training.building import has_layers
from mfn_core.training.config import TrainConfig
from mfn_core.training.pressures import apply_schedules

TOKENS = 8192  # that the layers are shown
ROWS_AT_ONCE = 8


def begin_layers(model: MFNModel, config: TrainConfig, batches: Batches, step: int) -> None:
    """Calibrates the layers of a run, which enter after so many steps, on its first rows, where that is asked for.

    The layers of a bundle are trained on and stay as they are.
    """
    if config.mfn.calibrate and not has_layers(config.base.path):
        apply_schedules(model, config, step)
        calibrate(model, batches.preview(-(-TOKENS // config.model.context)), batches.start)


@torch.no_grad()
def calibrate(model: MFNModel, rows: TokenRows, start: int) -> None:
    """Moves each MFN layer's `b_dec` to the mean of its input, and scales its encoder, at the K that it has.

    The scale is the one with which the decoder's sum lies nearest to the input. The order of the pre-activations, and
    so what fires, stays what it was.

    Args:
        model: with new layers, `b_enc` and `T` zero. Their inputs are those at α = 0.
        rows: int [n, T], token ids.
        start: the token that begins a document; its positions do not count.
    """
    if not model.mfn_layers:
        return
    alphas = {number: layer.alpha for number, layer in model.mfn_layers.items()}
    seen: dict[int, list[Tensor]] = {number: [] for number in alphas}
    model.set_alpha(0.0)
    for at in range(0, len(rows), ROWS_AT_ONCE):
        ids = torch.from_numpy(rows[at : at + ROWS_AT_ONCE].astype(np.int64)).to(model.device)
        traces = model(ids, record=True, logits_to_keep=1).traces
        for number, inputs in seen.items():
            inputs.append(traces[number].x[ids != start])
    for number, layer in model.mfn_layers.items():
        _calibrate(layer, torch.cat(seen[number]))
        layer.alpha = alphas[number]


def _calibrate(layer: MFNLayer, x: Tensor) -> None:
    """x: [n, d], the normalised input."""
    layer.b_dec.copy_(x.mean(0))
    target = x - layer.b_dec
    rebuilt = torch.cat([_sums(layer, part) for part in torch.split(target, 1024)])
    layer.W_enc.mul_((target * rebuilt).sum() / rebuilt.square().sum().clamp(min=1e-12))


def _sums(layer: MFNLayer, target: Tensor) -> Tensor:
    """Σ z_j D_j of inputs [n, d] from which the bias has been taken."""
    return layer.activate(F.linear(target, layer.W_enc)).decode(layer.W_dec)
