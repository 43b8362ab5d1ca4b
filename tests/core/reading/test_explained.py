"""Shares of the stream that features explain, against the formulas written out token by token in float64."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from mfn_core import Intervention, MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.baselines import SAE, NeuronConfig, SAEConfig
from mfn_core.baselines.config import Architecture, TokenTableConfig
from mfn_core.config import CoderConfig, Norm
from mfn_core.interventions import EditBuffers
from mfn_core.reading import explain
from mfn_core.reading.explained import Explained
from mfn_core.run import LayerTrace

D, WIDTH, VOCAB = 16, 24, 61


def equipped(*layers: CoderConfig, dtype: torch.dtype = torch.float64) -> MFNModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=D,
        intermediate_size=WIDTH,
        num_hidden_layers=len(layers),
        num_attention_heads=2,
        max_position_embeddings=40,
        initializer_range=0.3,
    )
    model = MFNModel.equip(LlamaForCausalLM(config), MFNConfig(dict(enumerate(layers)))).to(dtype).eval()
    with torch.no_grad():
        for coder in model.coders.values():
            for name, parameter in coder.named_parameters():
                if name in ("b_dec", "b_enc", "T"):
                    parameter.normal_(std=0.3)
            if isinstance(coder, SAE) and coder.config.architecture == "batchtopk":
                assert coder.threshold is not None
                coder.threshold.fill_(0.8)
    return model


def ids(rows: int = 2, length: int = 9) -> Tensor:
    return torch.randint(1, VOCAB, (rows, length), generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def explained(model: MFNModel) -> tuple[dict[int, Explained], dict[int, LayerTrace]]:
    """What `explain` says, and the traces by which it is checked."""
    out = model(ids(), record=True)
    return explain(model, out), out.traces


def check(found: Explained, trace: LayerTrace, offset: Tensor, directions: Tensor) -> None:
    """Token by token: shares by feature, the fixed part, their sum and the error. offset: [B, T, d]."""
    directions = directions.detach()
    for place in np.ndindex(*found.total.shape):
        x, b = trace.x[place], offset[place].detach()
        square = float(x @ x)
        values, numbers = trace.codes.values[place].tolist(), trace.codes.indices[place].tolist()
        x_hat = b.clone()
        for value, j in zip(values, numbers, strict=True):
            x_hat += value * directions[j]
        shares = [value * float(x @ directions[j]) / square for value, j in zip(values, numbers, strict=True)]
        assert found.shares[place].tolist() == pytest.approx(shares, rel=1e-10, abs=1e-13)
        assert float(found.fixed[place]) == pytest.approx(float(x @ b) / square, rel=1e-9, abs=1e-12)
        assert float(found.total[place]) == pytest.approx(float(x @ x_hat) / square, rel=1e-10)
        assert float(found.error[place]) == pytest.approx(float((x - x_hat) @ (x - x_hat)) / square, rel=1e-10)
        whole = math.fsum([*shares, float(x @ b) / square])
        assert float(found.total[place]) == pytest.approx(whole, rel=1e-10)


@pytest.mark.parametrize("norm", ["rms", "layer", "scalar", "none"])
@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_a_layer_of_features_is_split_by_the_formula(norm: Norm, alpha: float) -> None:
    config = MFNLayerConfig(48, 6, norm=norm, norm_scale=1.7, alpha=alpha, token_lookup=True)
    model = equipped(config, config)
    found, traces = explained(model)
    assert found.keys() == {0, 1}
    for number, coder in model.mfn_layers.items():
        assert coder.T is not None
        offset = torch.stack([torch.stack([coder.b_dec + coder.T[int(t)] for t in row]) for row in ids()])
        check(found[number], traces[number], offset, coder.W_dec)
        assert coder.error_kept == 1.0 - alpha


@pytest.mark.parametrize("architecture", ["standard", "topk", "batchtopk", "jumprelu"])
def test_an_autoencoder_is_split_by_the_formula(architecture: Architecture) -> None:
    k = 5 if architecture in ("topk", "batchtopk") else None
    model = equipped(SAEConfig(64, architecture, k=k, site="resid_post", threshold=0.5, norm="rms"))
    found, traces = explained(model)
    sae = model.coders[0]
    assert isinstance(sae, SAE)
    check(found[0], traces[0], sae.b_dec.expand_as(traces[0].x), sae.W_dec)
    assert sae.error_kept == 1.0
    assert float(found[0].error.min()) > 0.0


@pytest.mark.parametrize("signed", [True, False])
def test_neurons_are_shares_of_their_own_space(signed: bool) -> None:
    model = equipped(NeuronConfig(WIDTH if signed else 2 * WIDTH, k=7, signed=signed))
    found, traces = explained(model)
    axes = torch.eye(WIDTH, dtype=torch.float64)
    check(found[0], traces[0], torch.zeros_like(traces[0].x), axes if signed else torch.cat([axes, -axes]))
    assert float(found[0].shares.min()) >= 0.0  # an axis never points against the neuron on it
    torch.testing.assert_close(found[0].total + found[0].error, torch.ones_like(found[0].total))


def test_a_changed_code_is_what_counts() -> None:
    model = equipped(MFNLayerConfig(48, 6))
    edits = EditBuffers.allocate(model.n_features, rows=2)
    for row in range(2):
        edits.write(row, [Intervention(layer=0, feature=7, mode="set", value=2.0)], prompt_length=9)
    with torch.no_grad():
        out = model(ids(), record=True, edits=edits)
    codes, x = out.traces[0].codes, out.traces[0].x
    found = explain(model, out)[0]
    set_to = torch.where(codes.indices == 7, found.shares, 0.0).sum(-1)
    expected = 2.0 * (x @ model.coders[0].directions[7]) / x.square().sum(-1)
    torch.testing.assert_close(set_to, expected.detach())


def test_single_precision_agrees_with_double() -> None:
    single = equipped(MFNLayerConfig(48, 6, token_lookup=True), dtype=torch.float32)
    double = copy.deepcopy(single).double()
    for a, b in zip(explained(double)[0].values(), explained(single)[0].values(), strict=True):
        torch.testing.assert_close(a.total.float(), b.total, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(a.error.float(), b.error, rtol=1e-4, atol=1e-5)


def test_half_precision_weights_are_measured_in_single() -> None:
    model = equipped(MFNLayerConfig(48, 6), dtype=torch.bfloat16)
    found, traces = explained(model)
    assert found[0].error.dtype == torch.float32
    coder, x = model.mfn_layers[0], traces[0].x
    x_hat = traces[0].codes.dense().float() @ coder.W_dec.float() + coder.b_dec.float()
    expected = (x - x_hat).square().sum(-1) / x.square().sum(-1)
    torch.testing.assert_close(found[0].error, expected.detach(), rtol=0.05, atol=0.02)


def test_a_stream_of_zeros_has_no_shares_and_no_nan() -> None:
    model = equipped(MFNLayerConfig(48, 6, norm="none"))
    with torch.no_grad():
        model.base.get_input_embeddings().weight.zero_()
        found = explain(model, model(ids(), record=True))[0]
    for part in (found.shares, found.fixed, found.total, found.error):  # and b_dec is not 0
        assert float(part.abs().max()) == 0.0


def test_a_token_table_rebuilds_nothing_and_is_left_out() -> None:
    model = equipped(TokenTableConfig(VOCAB))
    assert explain(model, model(ids(), record=True)) == {}
