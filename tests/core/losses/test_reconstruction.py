"""Reconstruction and AuxK against plain autograd in float64."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core import MFNLayer, MFNLayerConfig, Run
from mfn_core.losses import DeadFeatures, Reconstruction
from mfn_core.run import AuxBranch, LayerTrace, Revive

D, N_FEATURES, K = 10, 30, 4


def traced(dead: Tensor | None = None) -> tuple[MFNLayer, LayerTrace, Tensor]:
    torch.manual_seed(0)
    layer = MFNLayer(D, MFNLayerConfig(N_FEATURES, K)).double()
    with torch.no_grad():
        layer.b_dec.normal_(std=0.3)
        layer.b_enc.normal_(std=0.2)
    h = torch.randn(2, 6, D, dtype=torch.float64)
    layer.stage.run = run = Run(branch="train", revive={} if dead is None else {0: Revive(dead, 3)})
    layer(h)
    keep = torch.ones(2, 6, dtype=torch.bool)
    keep[:, 0] = False
    return layer, run.traces[0], keep


def dense_code(layer: MFNLayer, x: Tensor, indices: Tensor) -> Tensor:
    """ReLU(p) at the given places, 0 elsewhere, in the plainest way."""
    p = (x - layer.b_dec) @ layer.W_enc.T + layer.b_enc
    return F.relu(p) * torch.zeros_like(p).scatter(-1, indices, 1.0)


def gradients(layer: MFNLayer) -> dict[str, Tensor]:
    out = {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in layer.named_parameters()}
    layer.zero_grad()
    return out


def test_predicting_the_mean_leaves_all_variance_unexplained() -> None:
    _, trace, keep = traced()
    assert trace.aux is not None
    mean = trace.x[keep].mean(0).expand_as(trace.x)
    torch.testing.assert_close(float(Reconstruction()(trace._replace(aux=trace.aux._replace(x_hat=mean)), keep)), 1.0)
    assert float(Reconstruction()(trace._replace(aux=trace.aux._replace(x_hat=trace.x)), keep)) == 0.0


def test_reconstruction_is_its_formula_with_autograds_gradient() -> None:
    layer, trace, keep = traced()
    loss = Reconstruction()(trace, keep)
    loss.backward()
    got = gradients(layer)
    x = trace.x[keep]
    z = dense_code(layer, x, trace.raw_codes.indices[keep])
    expected = (x - z @ layer.W_dec - layer.b_dec).square().sum() / (x - x.mean(0)).square().sum()
    torch.testing.assert_close(loss, expected)
    expected.backward()
    for name, gradient in gradients(layer).items():
        torch.testing.assert_close(got[name], gradient, msg=name)


def test_auxk_is_its_formula_with_autograds_gradient() -> None:
    dead = torch.zeros(N_FEATURES, dtype=torch.bool)
    dead[torch.randperm(N_FEATURES)[:7]] = True
    layer, trace, keep = traced(dead)
    loss = DeadFeatures()(trace, keep)
    loss.backward()
    got = gradients(layer)
    assert got["W_enc"].any()  # the encoder learns too; many implementations cut it off
    assert not got["W_enc"][~dead].any()
    assert not got["W_dec"][~dead].any()

    x = trace.x[keep]
    error = (x - cast(AuxBranch, trace.aux).x_hat[keep]).detach()
    p = (x - layer.b_dec) @ layer.W_enc.T + layer.b_enc
    places = p.masked_fill(~dead, -torch.inf).topk(3, dim=-1).indices
    rebuilt = dense_code(layer, x, places) @ layer.W_dec  # without b_dec: it is in x̂ already
    expected = (error - rebuilt).square().sum() / error.square().sum()
    torch.testing.assert_close(loss, expected)
    expected.backward()
    for name, gradient in gradients(layer).items():
        torch.testing.assert_close(got[name], gradient, msg=name)


def test_auxk_rests_where_nothing_is_dead() -> None:
    _, trace, keep = traced(torch.zeros(N_FEATURES, dtype=torch.bool))
    assert float(DeadFeatures()(trace, keep)) == 0.0
