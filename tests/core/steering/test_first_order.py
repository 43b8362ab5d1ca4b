"""First order through the model is plain autograd's, and what finite differences come to; the lens is its formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mfn_core import Intervention, MFNConfig, MFNLayerConfig, MFNModel, Scope
from mfn_core.baselines.config import NeuronConfig, SAEConfig
from mfn_core.config import CoderConfig
from mfn_core.layer import MFNLayer
from mfn_core.steering.linear import POINTS, edits_of, first_order
from tests.core.sites import zoo

IDS = zoo.ids(1)[0].tolist()
LAST = len(IDS) - 1


def fires(model: MFNModel, layer: int, position: int = LAST) -> tuple[int, float]:
    """The feature of a layer that fires most at a position, and its value."""
    with torch.no_grad():
        codes = model(torch.tensor([IDS]), record=True).traces[layer].codes
    place = int(codes.values[0, position].argmax())
    return int(codes.indices[0, position, place]), float(codes.values[0, position, place])


def interventions(model: MFNModel) -> list[Intervention]:
    one, _ = fires(model, 0)
    other, _ = fires(model, 1)
    silent = next(f for f in range(48) if f not in (one, other))
    return [
        Intervention(0, one, "scale", 0.25),
        Intervention(0, silent, "set", 2.0, Scope("range", 2, 6)),
        Intervention(1, other, "ablate", scope=Scope("generation")),
        Intervention(1, silent, "add", 0.5, Scope("prompt")),
        Intervention(0, one, "add", -0.3),
    ]


def changed(z: Tensor, turn: Intervention) -> Tensor:
    """A dense code [T, F] under one intervention, written down plainly."""
    z = z.clone()
    for position in range(len(z)):
        start, stop = turn.scope.positions(len(z))
        if start <= position < stop:
            mul, add = turn.affine
            z[position, turn.feature] = max(0.0, mul * float(z[position, turn.feature]) + add)
    return z


def by_autograd(model: MFNModel, turns: Sequence[Intervention], position: int) -> Tensor:
    """Σ Δz · ∂logit/∂z, one backward pass a token, through layers that are written down anew."""
    moves: dict[int, Tensor] = {}
    codes: dict[int, Tensor] = {}

    def forward_of(number: int, layer: MFNLayer) -> Callable[[Tensor], Tensor]:
        def forward(h: Tensor) -> Tensor:
            x, scale, _ = layer.normalise(h)
            pre = (x - layer.b_dec) @ layer.W_enc.T + layer.b_enc
            kept = torch.zeros_like(pre).scatter(-1, pre.topk(layer.k).indices, 1.0)
            z = pre.relu() * kept
            codes[number] = z[0].detach()
            moves[number] = torch.zeros_like(z, requires_grad=True)
            rebuilt = scale * ((z + moves[number]) @ layer.W_dec + layer.b_dec)
            return (1 - layer.alpha) * h + layer.alpha * rebuilt

        return forward

    for number, layer in model.mfn_layers.items():
        layer.forward = forward_of(number, layer)  # type: ignore[method-assign]
    try:
        logits = model.base(torch.tensor([IDS])).logits[0, position]
    finally:
        for layer in model.mfn_layers.values():
            del layer.forward
    ends = dict(codes)
    for turn in turns:
        ends[turn.layer] = changed(ends[turn.layer], turn)
    out = []
    for logit in logits:
        grads = torch.autograd.grad(logit, [moves[n] for n in codes], retain_graph=True, allow_unused=True)
        parts = [
            ((ends[n] - codes[n]) * grad[0]).sum() for n, grad in zip(codes, grads, strict=True) if grad is not None
        ]
        out.append(torch.stack(parts).sum())
    return torch.stack(out)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "gpt_neo", "opt"])
@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_it_is_what_plain_autograd_gives(name: str, alpha: float) -> None:
    model = zoo.equipped(name, zoo.mfn(alpha), torch.float64)
    turns = interventions(model)
    for position in (LAST, 4):
        (found,) = first_order(model, IDS, [turns], position).through
        expected = by_autograd(model, turns, position)
        assert expected.abs().max() > 1e-3
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))  # norms in float32


CODERS: dict[str, tuple[int, CoderConfig]] = {
    "mfn": (0, MFNLayerConfig(48, 6)),
    "mfn into the mlp": (0, MFNLayerConfig(48, 6, alpha=0.7, blend_into="mlp")),
    "mfn at the end": (2, MFNLayerConfig(48, 6, site="resid_final")),
    "sae": (0, SAEConfig(48, "topk", k=6, site="resid_post")),
    "neurons": (0, NeuronConfig(128, k=8)),
}


@pytest.mark.parametrize("kind", CODERS)
def test_it_is_the_limit_of_finite_differences(kind: str) -> None:
    number, config = CODERS[kind]
    model = zoo.equipped("gpt2", zoo.at(number, config), torch.float64)
    feature, _ = fires(model, number)
    step = 1e-6

    @torch.no_grad()
    def logits(value: float) -> Tensor:
        edits = edits_of(model, [[Intervention(number, feature, "add", value, Scope("generation"))]], len(IDS))
        return model(torch.tensor([IDS]), edits=edits).logits[0, -1]

    (found,) = first_order(model, IDS, [[Intervention(number, feature, "add", 1.0, Scope("generation"))]]).through
    expected = (logits(step) - logits(-step)) / (2 * step)
    assert expected.abs().max() > 1e-4
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_several_interventions_add_up() -> None:
    model = zoo.equipped("gpt2", zoo.mfn(), torch.float64)
    one, other = interventions(model)[1:3]
    both, first, second, nothing = first_order(model, IDS, [[one, other], [one], [other], []]).through
    assert torch.allclose(both, first + second, atol=1e-10)
    assert first.abs().max() > 1e-3
    assert second.abs().max() > 1e-3
    assert not nothing.any()


def test_rows_do_not_depend_on_the_batch_and_nothing_is_left_behind() -> None:
    model = zoo.equipped("llama", zoo.mfn(), torch.float64)
    rows = [[turn] for turn in interventions(model)]
    whole, cut = first_order(model, IDS, rows), first_order(model, IDS, rows, batch=2)
    assert torch.allclose(whole.through, cut.through, atol=1e-12)
    assert torch.allclose(whole.lens, cut.lens, atol=1e-12)
    assert not any(coder._forward_hooks for coder in model.coders.values())
    assert model.stage.run is None


@torch.no_grad()
def measured(model: MFNModel, turns: Sequence[Intervention]) -> Tensor:
    logits = model(torch.tensor([IDS] * 2), edits=edits_of(model, [(), turns], len(IDS))).logits[:, -1]
    return logits[1] - logits[0]


def test_along_the_path_it_is_the_whole_change_where_nothing_jumps() -> None:
    model = zoo.equipped("llama", zoo.at(0, MFNLayerConfig(48, 6)), torch.float64)
    feature, value = fires(model, 0)
    turns = [Intervention(0, feature, "add", 3 * value), Intervention(0, (feature + 1) % 48, "set", value)]
    came = measured(model, turns)
    (slope,) = first_order(model, IDS, [turns]).through
    found = first_order(model, IDS, [turns, turns[:1]], method="path")
    assert float((slope - came).abs().max()) > 0.1 * float(came.abs().max())  # it bends
    assert float((found.through[0] - came).abs().max()) < 0.02 * float(came.abs().max())
    assert torch.allclose(found.through[1], measured(model, turns[:1]), atol=0.02 * float(came.abs().max()))
    assert torch.allclose(found.lens[0], first_order(model, IDS, [turns]).lens[0])


def test_along_the_path_it_follows_several_layers() -> None:
    """The mean of slopes of the logits themselves, by finite differences, where interventions are done in part."""
    model = zoo.equipped("gpt2", zoo.mfn(0.5), torch.float64)
    one, _ = fires(model, 0)
    other, _ = fires(model, 1)
    (found,) = first_order(model, IDS, [[add(0, one, 1.0), add(1, other, 1.0)]], method="path").through
    places, weights = np.polynomial.legendre.leggauss(POINTS)
    step, expected = 1e-6, torch.zeros_like(found)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        ends = [measured(model, [add(0, one, at), add(1, other, at)]) for at in (place + step, place - step)]
        expected += float(weight) * (ends[0] - ends[1]) / (2 * step)
    assert expected.abs().max() > 1e-3
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


def add(layer: int, feature: int, value: float) -> Intervention:
    return Intervention(layer, feature, "add", value, Scope("generation"))


def test_by_secants_a_later_layer_chooses_its_features_anew() -> None:
    """Written down plainly: between the two layers there is the stream alone; behind the second, the derivative."""
    layer = MFNLayerConfig(48, 6)
    config = MFNConfig({1: layer, 2: replace(layer, site="resid_final")})
    model = zoo.equipped("llama", config, torch.float64)
    model.base.model.layers[1].mlp.down_proj.weight.data.zero_()
    feature, value = fires(model, 1)
    turns = [Intervention(1, feature, "add", 6 * value, Scope("generation"))]
    streams: dict[str, Tensor] = {}
    last = model.mfn_layers[2]
    handle = last.register_forward_pre_hook(lambda module, args: streams.update(h=args[0]))
    with torch.no_grad():
        plain = model(torch.tensor([IDS]), record=True)
        h = streams["h"]
        steered = model(torch.tensor([IDS]), edits=edits_of(model, [turns], len(IDS)), record=True)
        moved = streams["h"]
        handle.remove()
        codes = [output.traces[2].codes.indices[0, -1].sort().values for output in (plain, steered)]
        assert not torch.equal(*codes), "else there is nothing to choose anew"
        change = last.forward(moved) - last.forward(h)
        out = last.forward(h)
        # `forward`, which the layer's hook does not hear of
        read = lambda x: model.base.lm_head(model.base.model.norm.forward(x))[0, -1]  # noqa: E731
        expected = torch.func.jvp(read, (out,), (change,))[1]
    found = first_order(model, IDS, [turns], method="secant")
    slope = first_order(model, IDS, [turns])
    assert torch.allclose(found.through[0], expected, rtol=1e-6, atol=1e-8)
    assert not torch.allclose(slope.through[0], expected, rtol=0.1)
    assert torch.allclose(found.lens, slope.lens)


@pytest.mark.parametrize("kind", CODERS)
def test_by_secants_and_along_the_path_little_is_as_to_first_order(kind: str) -> None:
    number, config = CODERS[kind]
    model = zoo.equipped("gpt2", zoo.at(number, config), torch.float64)
    feature, _ = fires(model, number)
    turns = [Intervention(number, feature, "add", 1e-7, Scope("generation"))]
    (slope,) = first_order(model, IDS, [turns]).through
    for method in ("path", "secant"):
        (found,) = first_order(model, IDS, [turns], method=method).through
        assert torch.allclose(found, slope, rtol=1e-3, atol=1e-4 * float(slope.abs().max()))


FINAL = [name for name in zoo.CASES if name != "opt-350m"]  # which has no final norm


@pytest.mark.parametrize("name", FINAL)
def test_where_nothing_lies_between_the_lens_is_the_derivative(name: str) -> None:
    model = zoo.equipped(name, zoo.at(2, MFNLayerConfig(48, 6, site="resid_final")), torch.float64)
    feature, value = fires(model, 2)
    found = first_order(model, IDS, [[Intervention(2, feature, "add", value)]])
    assert found.through.abs().max() > 1e-3
    assert torch.allclose(found.lens, found.through, rtol=1e-4, atol=1e-6)


def test_the_lens_is_its_formula() -> None:
    model = zoo.equipped("llama", MFNConfig({0: MFNLayerConfig(48, 6, alpha=0.5)}), torch.float64)
    feature, _ = fires(model, 0)
    streams: list[Tensor] = []
    handle = model.base.model.norm.register_forward_pre_hook(lambda module, args: streams.append(args[0][0, -1]))
    with torch.no_grad():
        trace = model(torch.tensor([IDS]), record=True).traces[0]
    handle.remove()
    layer, (h,) = model.mfn_layers[0], streams
    # α s Δz (D · W_U) over the norm's scale, less what the scale itself takes by growing along the stream
    added = 0.5 * trace.scale[0, -1, 0] * 3.0 * layer.W_dec[feature].detach()
    scale = (h.square().mean() + model.base.config.rms_norm_eps).sqrt()
    unembedding = model.family.lens(model.base).double()
    expected = unembedding @ (added / scale - h * (h @ added) / (len(h) * scale**3))
    lens = first_order(model, IDS, [[Intervention(0, feature, "add", 3.0)]]).lens[0]
    assert torch.allclose(lens, expected, rtol=1e-4, atol=1e-6)
    elsewhere = first_order(model, IDS, [[Intervention(0, feature, "add", 3.0, Scope("range", 0, 4))]])
    assert not elsewhere.lens.any(), "what is written at other tokens does not come by the residual stream"
    assert elsewhere.through.any()


def test_a_model_without_a_final_norm() -> None:
    model = zoo.equipped("opt-350m", zoo.at(1, MFNLayerConfig(48, 6, site="resid_post")), torch.float64)
    feature, _ = fires(model, 1)
    found = first_order(model, IDS, [[Intervention(1, feature, "add", 1.0)]])
    assert torch.allclose(found.lens, found.through, rtol=1e-4, atol=1e-6)
