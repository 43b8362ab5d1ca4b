"""Baselines inside a model: the same indexing, steering, saving and training as for any other code."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from mfn_core import Intervention, MFNConfig, MFNModel, Run
from mfn_core.baselines import SAE, NeuronConfig, SAEConfig, attach
from mfn_core.baselines.config import Architecture
from mfn_core.config import CoderConfig, Site
from mfn_core.errors import ConfigError, MFNError
from mfn_core.evaluation.splicing import spliced
from mfn_core.generation.events import TokenEvent
from mfn_core.generation.request import GenerationRequest
from mfn_core.generation.slots import SlotEngine
from mfn_core.indexing import IndexSettings
from mfn_core.indexing.build import index_tokens
from mfn_core.interventions import EditBuffers

ARCHITECTURES: list[Architecture] = ["standard", "topk", "batchtopk", "jumprelu"]
TEXT = "The hospital was quiet that night."


def plain_base(model: MFNModel) -> LlamaForCausalLM:
    """The tiny model without its codes."""
    base = LlamaForCausalLM(copy.deepcopy(model.base.config))
    base.load_state_dict({name: t for name, t in model.base.state_dict().items() if ".mfn." not in name})
    return base.eval()


def with_codes(tiny: MFNModel, *configs: CoderConfig) -> MFNModel:
    torch.manual_seed(0)
    model = MFNModel.equip(plain_base(tiny), MFNConfig(dict(enumerate(configs))), tiny.tokenizer)
    for coder in model.coders.values():
        if isinstance(coder, SAE) and coder.config.architecture == "batchtopk":
            assert coder.threshold is not None
            coder.threshold.fill_(1.2)
    return model.eval()


def sae_config(architecture: Architecture, site: Site = "resid_post") -> SAEConfig:
    k = 5 if architecture in ("topk", "batchtopk") else None
    return SAEConfig(64, architecture, k=k, site=site, threshold=1.0)


def everything(tiny: MFNModel) -> list[MFNModel]:
    """A model of each kind of code."""
    saes = [with_codes(tiny, sae_config(a), sae_config(a, "resid_mid")) for a in ARCHITECTURES]
    width = tiny.base.config.intermediate_size
    neurons = [NeuronConfig(2 * width, k=9, signed=False), NeuronConfig(2 * width, signed=False)]
    return [*saes, with_codes(tiny, *neurons), with_codes(tiny, *[NeuronConfig(width, k=7)] * 2)]


def ids(model: MFNModel) -> Tensor:
    return torch.tensor([model.encode_text(TEXT)] * 2)


def logits(model: MFNModel, interventions: Sequence[Intervention] = (), row: int = 0) -> Tensor:
    """[T, V] of one row of two, the other without interventions."""
    signed = [number for number, coder in model.coders.items() if coder.signed]
    edits = EditBuffers.allocate(model.n_features, rows=2, signed=signed)
    edits.write(0, interventions, prompt_length=3)
    return model(ids(model), edits=edits, record=True).logits[row]


def test_a_model_that_is_only_watched_computes_what_it_did(tiny_model: MFNModel) -> None:
    for model in everything(tiny_model):
        expected = plain_base(tiny_model)(ids(model)).logits
        assert torch.equal(model(ids(model)).logits, expected)
        assert torch.equal(model(ids(model), record=True).logits, expected)
        assert torch.equal(model(ids(model), branch="train").logits, expected)
        idle = [Intervention(0, 3, "scale", 1.0), Intervention(1, 4, "add", 0.0)]
        for row in range(2):
            assert torch.equal(logits(model, (), row), expected[row])
            assert torch.equal(logits(model, idle, row), expected[row])


def test_codes_alone_are_the_same_codes_and_nothing_is_rebuilt(tiny_model: MFNModel) -> None:
    for model in everything(tiny_model):
        whole, lean = model(ids(model), record=True).traces, model(ids(model), record="codes").traces
        assert len(lean) == 2
        for number, trace in lean.items():
            assert trace.x_hat is None
            assert whole[number].x_hat is not None
            assert torch.equal(trace.codes.indices, whole[number].codes.indices)
            assert torch.equal(trace.codes.values, whole[number].codes.values)


@torch.inference_mode()
def test_an_intervention_keeps_the_error_term(tiny_model: MFNModel) -> None:
    """h' = h + s (z' − z) D, held against the same model cut open by hand."""
    for architecture in ARCHITECTURES:
        model = with_codes(tiny_model, sae_config(architecture))
        coder = model.coders[0]
        trace = model(ids(model), record=True).traces[0]
        feature = int(trace.codes.indices[0, 4][trace.codes.values[0, 4] > 0][0])
        change = 3.0 - trace.codes.value_of(feature)
        step = trace.scale * change[..., None] * coder.directions[feature]

        def add(module: Any, args: Any, output: Tensor, step: Tensor = step) -> Tensor:
            return output + step

        base = plain_base(tiny_model)
        base.model.layers[0].register_forward_hook(add)
        expected = base(ids(model)).logits[0]
        found = logits(model, [Intervention(0, feature, "set", 3.0)])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(logits(model, [Intervention(0, feature, "set", 3.0)], row=1), logits(model, row=1))
        assert not torch.allclose(found, logits(model), atol=1e-2)


@torch.inference_mode()
@pytest.mark.parametrize("k", [None, 2])
def test_a_neuron_is_set_whether_or_not_it_is_kept(tiny_model: MFNModel, k: int | None) -> None:
    width = tiny_model.base.config.intermediate_size
    for signed, value in ((True, -2.5), (False, 2.5)):
        model = with_codes(tiny_model, NeuronConfig(width if signed else 2 * width, k=k, signed=signed))
        base = plain_base(tiny_model)

        def clamp(module: Any, args: tuple[Tensor], value: float = value, signed: bool = signed) -> tuple[Tensor]:
            changed = args[0].clone()
            changed[..., 7] = value if signed else value - (-changed[..., 7]).relu()
            return (changed,)

        base.model.layers[0].mlp.down_proj.register_forward_pre_hook(clamp)
        found = logits(model, [Intervention(0, 7, "set", value)])
        assert torch.equal(found, base(ids(model)).logits[0])


@torch.inference_mode()
def test_neurons_are_the_mlps_own(tiny_model: MFNModel) -> None:
    width = tiny_model.base.config.intermediate_size
    seen: list[Tensor] = []
    base = plain_base(tiny_model)
    base.model.layers[0].mlp.down_proj.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model = with_codes(tiny_model, NeuronConfig(width))
    base(ids(model))
    trace = model(ids(model), record=True).traces[0]
    assert torch.equal(trace.codes.dense(), seen[0])
    assert trace.x_hat is not None
    assert torch.equal(trace.x_hat, seen[0])
    assert bool((trace.codes.values < 0).any())
    few = with_codes(tiny_model, NeuronConfig(width, k=4))(ids(model), record=True).traces[0].codes
    assert few.width == 4
    cut = seen[0].abs().sort(-1, descending=True).values[..., 3:4]
    assert torch.equal(few.dense(), torch.where(seen[0].abs() >= cut, seen[0], 0.0))
    both = with_codes(tiny_model, NeuronConfig(2 * width, signed=False))
    codes = both(ids(model), record=True).traces[0].codes
    assert torch.equal(codes.dense(), torch.cat([seen[0].relu(), (-seen[0]).relu()], dim=-1))
    assert torch.equal(both.coders[0].decode(codes), seen[0])
    assert torch.equal(codes.dense() @ both.coders[0].directions, seen[0])


def test_neurons_that_are_not_there_are_refused(tiny_model: MFNModel) -> None:
    width = tiny_model.base.config.intermediate_size
    with pytest.raises(ConfigError, match=f"{width} neurons, hence {2 * width} features"):
        with_codes(tiny_model, NeuronConfig(width, signed=False))
    for settings, said in (({"site": "resid_mid"}, "mlp_hidden"), ({"k": 0}, "k must lie"), ({"k": 999}, "k must lie")):
        with pytest.raises(ConfigError, match=said):
            NeuronConfig(width, **settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="two features a neuron"):
        NeuronConfig(3, signed=False)


def test_neurons_on_either_side_are_told_apart(tiny_model: MFNModel) -> None:
    signed = everything(tiny_model)[-1]
    documents = [np.array(signed.encode_text(TEXT), np.uint32)]
    with pytest.raises(MFNError, match=r"layer 0, 1: .*signed=False"):
        index_tokens(signed, documents, [{}], IndexSettings())
    width = tiny_model.base.config.intermediate_size
    sides = with_codes(tiny_model, *[NeuronConfig(2 * width, signed=False)] * 2)
    index = index_tokens(sides, documents, [{}], IndexSettings())
    with torch.inference_mode():
        every = with_codes(tiny_model, *[NeuronConfig(width)] * 2).codes(TEXT)
    for layer in index.layers:
        z = every[layer.layer].dense()[1:].numpy()
        np.testing.assert_array_equal(layer.maximum, np.concatenate([z, -z], 1).max(0).clip(0))


def test_any_code_is_indexed(tiny_model: MFNModel) -> None:
    texts = [TEXT, "Nobody on the ship looked back.", "Take two eggs, a cup of flour and a little salt."]
    for model in everything(tiny_model)[:-1]:
        documents = [np.array(model.encode_text(text), np.uint32) for text in texts]
        index = index_tokens(model, documents, [{}] * 3, IndexSettings())
        for number, coder in model.coders.items():
            counts = np.zeros(coder.n_features, np.int64)
            with torch.inference_mode():
                for text in texts:
                    codes = model.codes(text)[number]
                    counts += (codes.dense() > 0)[1:].sum(0).numpy()
            layer = index.layers[number]
            assert (layer.firing_count == counts).all()
            assert 0 < counts.sum() < counts.size * index.n_tokens
            assert layer.promoted_ids.shape[0] == coder.n_features


def test_any_code_is_steered_by_the_engine(tiny_model: MFNModel) -> None:
    for model in everything(tiny_model):
        engine = SlotEngine(model, context=64)
        prompt = tuple(model.encode_text(TEXT))
        plain = plain_base(tiny_model)
        told = torch.tensor([prompt])
        expected = plain.generate(told, attention_mask=torch.ones_like(told), max_new_tokens=6, do_sample=False)

        def written(engine: SlotEngine, *interventions: Intervention, prompt: Any = prompt) -> dict[str, list[int]]:
            engine.submit(GenerationRequest(prompt, max_new_tokens=6, interventions=interventions))
            events = []
            while engine.busy:
                events += engine.step()
            streams: dict[str, list[int]] = {"plain": [], "steered": []}
            for event in events:
                if isinstance(event, TokenEvent):
                    streams[event.stream].append(event.token)
            return streams

        idle = written(engine, Intervention(0, 2, "scale", 1.0))
        assert idle["plain"] == idle["steered"] == expected[0, len(prompt) :].tolist()
        forced = written(engine, *[Intervention(1, feature, "set", 300.0) for feature in range(6)])
        assert forced["plain"] == idle["plain"]
        assert forced["steered"] != idle["plain"]


def test_sources_differ_by_kind_and_site(tiny_model: MFNModel) -> None:
    sae, _, _, _, neurons, _ = everything(tiny_model)
    assert sae.source_key(0).startswith("sae.resid_post.0-")
    assert sae.source_key(1).startswith("sae.resid_mid.1-")
    assert neurons.source_key(0).startswith("neurons.mlp_hidden.0-")


def test_a_bundle_keeps_any_code(tiny_model: MFNModel, tmp_path: Path) -> None:
    for number, model in enumerate(everything(tiny_model)):
        model.save_pretrained(tmp_path / str(number))
        read = MFNModel.from_pretrained(tmp_path / str(number))
        assert read.config == model.config
        assert read.fingerprint == model.fingerprint
        for block, codes in model.codes(TEXT).items():
            assert torch.equal(codes.dense(), read.codes(TEXT)[block].dense())


def test_saes_are_put_where_they_belong(tiny_model: MFNModel) -> None:
    torch.manual_seed(0)
    width = tiny_model.d_model
    saes = [SAE(width, SAEConfig(30, "batchtopk", k=4, site="mlp_out"), 1), SAE(width, SAEConfig(20, "topk", k=2), 0)]
    assert saes[0].threshold is not None
    saes[0].threshold.fill_(0.7)
    model = attach(plain_base(tiny_model), saes)
    for sae in saes:
        mine = model.coders[sae.number]
        assert mine.config == sae.config
        assert all(torch.equal(tensor, sae.state_dict()[name]) for name, tensor in mine.state_dict().items())
    with pytest.raises(ConfigError, match="two SAEs are for block 0"):
        attach(plain_base(tiny_model), [saes[1], saes[1]])
    with pytest.raises(ConfigError, match=f"reads 5 channels, but resid_mid has {width}"):
        attach(plain_base(tiny_model), [SAE(5, SAEConfig(20, "topk", k=2))])
    with pytest.raises(ConfigError, match="no block 7"):
        attach(plain_base(tiny_model), [SAE(width, SAEConfig(20, "topk", k=2), 7)])


def test_a_code_is_never_kept_dense(tiny_model: MFNModel) -> None:
    model = with_codes(tiny_model, sae_config("jumprelu"))
    trace = model(ids(model), record=True).traces[0]
    assert trace.codes.width == int(trace.codes.l0().max()) < 64


def test_a_stability_pass_gives_the_codes_alone(tiny_model: MFNModel) -> None:
    model = with_codes(tiny_model, sae_config("batchtopk"))
    coder = model.coders[0]
    assert isinstance(coder, SAE)
    assert coder.threshold is not None
    before = float(coder.threshold)
    trace = model(ids(model), branch="stability").traces[0]
    assert trace.aux is not None
    assert trace.aux.x_hat is None
    assert trace.aux.codes.values.requires_grad
    assert float(coder.threshold) == before
    assert Run().branch == "none"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_sae_in_the_streams_place_lets_nothing_else_pass(tiny_model: MFNModel, architecture: Architecture) -> None:
    watching = with_codes(tiny_model, *[sae_config(architecture, "resid_mid")] * 2)
    config = replace(sae_config(architecture, "resid_mid"), replaces=True)
    model = with_codes(tiny_model, *[config] * 2)
    ids = torch.tensor([tiny_model.encode_text(TEXT)])
    with torch.no_grad(), spliced(watching):
        expected = watching(ids).logits
    model.base.requires_grad_(True)
    for coder in model.coders.values():
        coder.requires_grad_(False)
    found = model(ids)
    torch.testing.assert_close(found.logits, expected)
    recorded = model(ids, record=True)
    assert torch.equal(recorded.logits, found.logits)
    seen: list[Tensor] = []
    handle = model.base.model.layers[1].post_attention_layernorm.register_forward_pre_hook(
        lambda module, given: seen.append(given[0])
    )
    trace = model(ids, record=True).traces[1]
    handle.remove()
    torch.testing.assert_close(seen[0], trace.scale * model.coders[1].decode(trace.codes))
    assert {coder.error_kept for coder in model.coders.values()} == {0.0}
    assert {coder.error_kept for coder in watching.coders.values()} == {1.0}
    found.logits.square().mean().backward()
    first, last = (model.base.model.layers[n].self_attn.o_proj.weight.grad for n in (0, 1))
    assert float(first.abs().max()) > 0  # through both SAEs
    assert float(last.abs().max()) > 0
    assert all(p.grad is None for coder in model.coders.values() for p in coder.parameters())


@torch.no_grad()
def test_what_is_turned_in_an_sae_that_replaces_the_stream_is_written(tiny_model: MFNModel) -> None:
    model = with_codes(tiny_model, replace(sae_config("topk", "resid_mid"), replaces=True))
    ids = torch.tensor([tiny_model.encode_text(TEXT)])
    raw = model(ids, record=True).traces[0]
    edits = EditBuffers.allocate(model.n_features, 1)
    edits.write(0, [Intervention(0, 3, "set", 9.0)], 0)
    changed = model(ids, record=True, edits=edits)
    expected = raw.codes.dense()
    expected[..., 3] = 9.0
    torch.testing.assert_close(changed.traces[0].codes.dense(), expected)
    assert not torch.allclose(changed.logits, model(ids).logits, atol=1e-3)


def test_a_setting_that_is_not_used_changes_no_file(tiny_model: MFNModel, tmp_path: Path) -> None:
    config = sae_config("topk")
    assert "replaces" not in MFNConfig({0: config}).to_json()["layers"]["0"]
    model = with_codes(tiny_model, replace(config, replaces=True))
    model.save_pretrained(tmp_path / "bundle")
    read = MFNModel.from_pretrained(tmp_path / "bundle")
    assert read.coders[0].current_config == replace(config, replaces=True)
    assert read.fingerprint == model.fingerprint != with_codes(tiny_model, config).fingerprint
