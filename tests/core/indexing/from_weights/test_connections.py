"""Virtual weights, against the weights in float64 and against what a running model does on its skip connection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mfn_core import Intervention, MFNLayerConfig, MFNModel
from mfn_core.baselines import NeuronConfig, SAEConfig
from mfn_core.config import CoderConfig
from mfn_core.indexing.from_weights.connections import connections, next_layer
from mfn_core.interventions import EditBuffers

from .models import BLOCKS, NEURONS, llama, mixed, opt_with_norms_behind

FEATURES = MFNLayerConfig(20, 3)


@pytest.mark.parametrize("chunk", [7, 100, 1 << 24])
@pytest.mark.parametrize(("norm", "site"), [("rms", "resid_mid"), ("layer", "resid_pre"), ("none", "resid_final")])
def test_connections_are_the_largest_and_smallest_virtual_weights(norm: str, site: str, chunk: int) -> None:
    after = BLOCKS if site == "resid_final" else 2
    reader = replace(MFNLayerConfig(13, 3), norm=norm, site=site)
    model = llama({0: FEATURES, after: reader})
    told: list[int] = []
    pair = connections(model, 0, 6, chunk, told.append)
    assert pair is not None
    assert told == sorted(told)
    assert told[-1] == 20
    down, up = pair
    assert (down.layer, up.layer) == (after, 0)
    encoder = model.coders[after].W_enc.detach().double().numpy()
    if norm == "layer":
        encoder = encoder - encoder.mean(1, keepdims=True)
    weights = encoder @ model.coders[0].W_dec.detach().double().numpy().T  # [reader, writer]
    for found, layer, table in ((down, after, weights.T), (up, 0, weights)):
        order = np.argsort(table, axis=1)
        assert (found.positive.layers == layer).all()
        np.testing.assert_array_equal(found.positive.features, order[:, ::-1][:, :6])
        np.testing.assert_array_equal(found.negative.features, order[:, :6])
        np.testing.assert_allclose(found.positive.values, np.take_along_axis(table, order[:, :-7:-1], 1), rtol=1e-5)
        np.testing.assert_allclose(found.negative.values, np.take_along_axis(table, order[:, :6], 1), rtol=1e-5)


@pytest.mark.parametrize("norm", ["rms", "layer", "scalar", "none"])
@torch.no_grad()
def test_on_the_skip_connection_alone_they_are_what_happens(norm: str) -> None:
    """With all that is left out silenced, a change of z moves the next layer's pre-activations by V · α · s / s'."""
    alpha = 0.75
    writer = MFNLayerConfig(20, 3, norm=norm, norm_scale=1.7, alpha=alpha, token_lookup=True)
    model = llama({0: writer, 2: replace(writer, n_features=13, norm_scale=0.6)}).double()
    for block in model.base.model.layers:
        block.mlp.down_proj.weight.zero_()
        block.self_attn.o_proj.weight.zero_()
    pair = connections(model, 0, 13)
    assert pair is not None
    feature, value = 5, 0.8
    edits = EditBuffers.allocate(model.n_features, rows=1, device=model.device, signed=model.signed)
    edits.write(0, [Intervention(0, feature, "add", value)], prompt_length=0)
    ids = torch.tensor([[3, 1, 4, 1, 5]])
    plain, changed = (model(ids, record=True, edits=e).traces for e in (None, edits))
    reader = model.coders[2]

    def scaled(traces: dict) -> torch.Tensor:
        """s' · W_e x, [T, F'], which is linear in the stream up to the centring."""
        return (traces[2].x * traces[2].scale)[0] @ reader.W_enc.t()

    measured = (scaled(changed) - scaled(plain)) / (alpha * value * plain[0].scale[0])
    predicted = np.zeros(13)
    predicted[pair[0].positive.features[feature]] = pair[0].positive.values[feature]
    np.testing.assert_allclose(measured.numpy(), np.tile(predicted, (5, 1)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ({0: FEATURES, 2: FEATURES}, 2),
        ({0: FEATURES, 1: replace(FEATURES, blend_into="mlp")}, 1),
        ({0: replace(FEATURES, blend_into="mlp"), 1: FEATURES}, None),
        ({0: FEATURES, 1: replace(FEATURES, site="mlp_out")}, None),
        ({0: FEATURES, 1: NeuronConfig(NEURONS), 2: FEATURES}, None),
        ({0: NeuronConfig(NEURONS), 1: FEATURES}, 1),
        ({0: SAEConfig(8, "standard"), 1: SAEConfig(8, "standard", site="resid_post")}, 1),
        ({0: FEATURES}, None),
    ],
)
def test_where_the_direct_path_leads(layers: dict[int, CoderConfig], expected: int | None) -> None:
    model = llama(layers)
    assert next_layer(model, 0) == expected
    assert (connections(model, 0, 1) is None) == (expected is None)


def test_no_path_leads_through_a_norm_on_the_stream() -> None:
    assert next_layer(opt_with_norms_behind({0: FEATURES, 1: FEATURES}), 0) is None


def test_neurons_write_through_the_down_projection() -> None:
    model: MFNModel = mixed()
    pair = connections(model, 1, 3)
    assert pair is not None
    writes = model.base.model.layers[1].mlp.down_proj.weight.detach().double().numpy()  # [d, neurons]
    encoder = model.coders[2].W_enc.detach().double().numpy()
    table = ((encoder - encoder.mean(1, keepdims=True)) @ np.concatenate([writes, -writes], axis=1)).T
    np.testing.assert_allclose(pair[0].positive.values, -np.sort(-table, axis=1)[:, :3], rtol=1e-5)
