"""The layer against the formulas of its definition, written out densely in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core import MFNLayer, MFNLayerConfig, Run
from mfn_core.coder import NORM_EPS
from mfn_core.config import Norm
from mfn_core.errors import ConfigError
from mfn_core.run import Branch

D, N_FEATURES, K = 12, 40, 5


def make(norm: Norm = "rms", alpha: float = 1.0, k: int = K) -> MFNLayer:
    torch.manual_seed(0)
    config = MFNLayerConfig(N_FEATURES, k, norm=norm, alpha=alpha, norm_scale=1.7)
    layer = MFNLayer(D, config).double()
    with torch.no_grad():
        layer.b_dec.normal_(std=0.3)
        layer.b_enc.normal_(std=0.3)
        layer.W_enc.add_(torch.randn_like(layer.W_enc) * 0.2)
    return layer


def stream(rows: int = 3) -> Tensor:
    return torch.randn(rows, 7, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3


def by_hand(layer: MFNLayer, h: Tensor) -> tuple[Tensor, Tensor]:
    """(z dense, h') by the table of formulas, for norm rms."""
    s = (h.pow(2).mean(-1, keepdim=True) + NORM_EPS).sqrt()
    p = (h / s - layer.b_dec) @ layer.W_enc.T + layer.b_enc
    z = F.relu(p)
    kth = z.sort(-1, descending=True).values[..., layer.k - 1 : layer.k]
    z = torch.where(z >= kth, z, 0.0)
    h_hat = s * (z @ layer.W_dec + layer.b_dec)
    return z, (1 - layer.alpha) * h + layer.alpha * h_hat


@pytest.mark.parametrize("alpha", [0.25, 1.0])
def test_forward_is_the_definition(alpha: float) -> None:
    layer, h = make(alpha=alpha), stream()
    z, expected = by_hand(layer, h)
    layer.stage.run = run = Run(record=True)
    torch.testing.assert_close(layer(h), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(run.traces[0].codes.dense(), z, rtol=1e-12, atol=1e-12)
    assert int(run.traces[0].codes.l0().max()) <= K


def test_at_alpha_zero_the_stream_passes_bit_for_bit() -> None:
    layer, h = make(alpha=0.0), stream()
    assert layer(h) is h
    layer.stage.run = Run(record=True)
    assert torch.equal(layer(h), h)


@pytest.mark.parametrize("norm", ["rms", "layer", "scalar", "none"])
def test_normalisation_can_be_undone(norm: Norm) -> None:
    layer, h = make(norm), stream()
    x, scale, shift = layer.normalise(h)
    torch.testing.assert_close(x * scale + (0 if shift is None else shift), h)
    if norm == "rms":
        torch.testing.assert_close(x.square().mean(-1), torch.ones_like(x[..., 0]), rtol=1e-5, atol=0)
    if norm == "layer":
        torch.testing.assert_close(x.mean(-1), torch.zeros_like(x[..., 0]), rtol=0, atol=1e-12)


def test_decoding_sparse_is_decoding_dense() -> None:
    layer, h = make(), stream()
    codes, _ = layer.encode(h)
    torch.testing.assert_close(codes.decode(layer.W_dec), codes.dense() @ layer.W_dec)


def test_gradients_of_the_utility_path_are_autograds() -> None:
    layer, h = make(alpha=0.6), stream().requires_grad_()
    weight = torch.randn(3, 7, D, dtype=torch.float64)
    (by_hand(layer, h)[1] * weight).sum().backward()
    expected = {name: p.grad.clone() for name, p in layer.named_parameters() if p.grad is not None}
    assert h.grad is not None
    expected_h = h.grad.clone()
    for branch in ("none", "train"):
        layer.zero_grad()
        h.grad = None
        layer.stage.run = Run(branch=branch)
        (layer(h) * weight).sum().backward()
        for name, parameter in layer.named_parameters():
            torch.testing.assert_close(parameter.grad, expected[name], msg=name)
        torch.testing.assert_close(h.grad, expected_h)


def test_auxiliary_losses_reach_this_layers_parameters_alone() -> None:
    layer, h = make(), stream().requires_grad_()
    layer.stage.run = run = Run(branch="train")
    layer(h)
    trace = run.traces[0]
    assert trace.aux is not None
    assert trace.aux.x_hat is not None
    loss = (trace.x - trace.aux.x_hat).square().sum()
    loss.backward()
    got = {name: p.grad.clone() for name, p in layer.named_parameters() if p.grad is not None}
    assert h.grad is None or not h.grad.any()

    layer.zero_grad()
    x = layer.normalise(h.detach())[0]
    p = (x - layer.b_dec) @ layer.W_enc.T + layer.b_enc
    z = torch.zeros_like(p).scatter(-1, trace.raw_codes.indices, 1.0) * F.relu(p)
    (x - z @ layer.W_dec - layer.b_dec).square().sum().backward()
    assert set(got) == {"W_enc", "b_enc", "W_dec", "b_dec"}
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(got[name], parameter.grad, msg=name)


def test_the_decoder_keeps_unit_norm_and_its_gradient_stays_tangent() -> None:
    layer = make()
    layer.normalize_decoder_()
    layer.W_dec.grad = torch.randn_like(layer.W_dec)
    layer.project_decoder_grad_()
    assert layer.W_dec.grad is not None
    torch.testing.assert_close((layer.W_dec.grad * layer.W_dec).sum(-1), torch.zeros(N_FEATURES, dtype=torch.float64))
    with torch.no_grad():
        layer.W_dec.mul_(3.0)
    layer.normalize_decoder_()
    torch.testing.assert_close(layer.W_dec.norm(dim=-1), torch.ones(N_FEATURES, dtype=torch.float64))


@pytest.mark.parametrize("branch", ["none", "train"])
def test_a_token_lookup_is_an_offset_that_each_token_has_of_its_own(branch: Branch) -> None:
    vocabulary = 5
    torch.manual_seed(0)
    config = MFNLayerConfig(N_FEATURES, K, alpha=0.6, token_lookup=True)
    layer, h = MFNLayer(D, config, vocab_size=vocabulary).double(), stream().requires_grad_()
    assert layer.T is not None
    with torch.no_grad():
        layer.T.normal_()
    tokens = torch.randint(vocabulary, (3, 7))
    layer.stage.run = Run(branch=branch)
    layer.stage.place(torch.arange(7)[None], tokens)
    weight = torch.randn(3, 7, D, dtype=torch.float64)
    got = layer(h)
    (got * weight).sum().backward()
    got_grads = {name: p.grad.clone() for name, p in layer.named_parameters() if p.grad is not None}
    assert h.grad is not None
    got_h = h.grad.clone()

    layer.zero_grad()
    h.grad = None
    s = (h.pow(2).mean(-1, keepdim=True) + NORM_EPS).sqrt()
    offset = layer.b_dec + layer.T[tokens]
    p = (h / s - offset) @ layer.W_enc.T + layer.b_enc
    kept = torch.zeros_like(p).scatter(-1, p.topk(K, dim=-1).indices, 1.0)
    h_hat = s * (F.relu(p) * kept @ layer.W_dec + offset)
    expected = 0.4 * h + 0.6 * h_hat
    torch.testing.assert_close(got, expected)
    (expected * weight).sum().backward()
    torch.testing.assert_close(got_h, h.grad)
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(got_grads[name], parameter.grad, msg=name)


def test_what_is_asked_of_all_features_at_once_does_not_move_the_lookup() -> None:
    torch.manual_seed(0)
    layer = MFNLayer(D, MFNLayerConfig(N_FEATURES, K, token_lookup=True), vocab_size=5).double()
    assert layer.T is not None
    layer.stage.run = run = Run(branch="train")
    layer.stage.place(torch.arange(7)[None], torch.randint(5, (3, 7)))
    layer(stream())
    trace = run.traces[layer.number]
    assert trace.aux is not None
    trace.aux.pre.square().sum().backward(retain_graph=True)  # as the rate loss does
    assert layer.W_enc.grad is not None
    assert bool(layer.W_enc.grad.any())
    assert not any(p.grad is not None and bool(p.grad.any()) for p in (layer.T, layer.b_dec))
    trace.aux.codes.values.sum().backward()
    assert layer.T.grad is not None
    assert bool(layer.T.grad.any())


def test_a_lookup_needs_tokens() -> None:
    layer = MFNLayer(D, MFNLayerConfig(N_FEATURES, K, token_lookup=True), vocab_size=5).double()
    with pytest.raises(RuntimeError, match="token ids"):
        layer(stream())
    with pytest.raises(ConfigError, match="how many token ids"):
        MFNLayer(D, MFNLayerConfig(N_FEATURES, K, token_lookup=True))
