"""The sites that hooks reach: where they are, that reading changes nothing, that writing does, copies, refusals."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from mfn_core import EditBuffers, Intervention, MFNLayerConfig, MFNModel, Scope
from mfn_core.baselines import SAEConfig
from mfn_core.config import Site
from mfn_core.errors import ConfigError
from mfn_core.layer import MFNLayer
from mfn_core.sites import FAMILIES

from .zoo import BLOCKS, CASES, GPT2, WIDTH, WITH_MID, at, checkpoint, equipped, first, ids, mfn, plain

SITES: tuple[Site, ...] = get_args(Site)
POST_NORM = "opt-350m"  # its stream is normed in place, and there is no final norm
PARALLEL = [name for name in CASES if name not in WITH_MID]


def sites_of(name: str) -> list[Site]:
    absent = {"resid_mid"} if name in PARALLEL else {"resid_final"} if name == POST_NORM else set()
    return [site for site in SITES if site not in absent]


EVERY_SITE = [(name, site) for name in CASES for site in sites_of(name)]


def number_of(site: Site, block: int = 1) -> int:
    return BLOCKS if site == "resid_final" else block


def reading(name: str, site: Site, block: int = 1, dtype: torch.dtype = torch.float32) -> MFNModel:
    """A code that reads from outside, in units of the stream, in one block."""
    sae = SAEConfig(48, "topk", k=6, norm="none", site=site)
    return equipped(name, at(number_of(site, block), sae), dtype)


@pytest.mark.parametrize(("name", "site"), EVERY_SITE)
def test_reading_changes_nothing_and_writing_does(name: str, site: Site) -> None:
    model, number = reading(name, site), number_of(site)
    low = reading(name, site, dtype=torch.bfloat16)
    expected = plain(name, torch.bfloat16)(ids(), use_cache=False).logits
    assert torch.equal(low(ids(), record=True).logits, expected)
    expected = plain(name)(ids(), use_cache=False).logits
    out = model(ids(), record=True)
    assert torch.equal(out.logits, expected)
    assert out.traces[number].x.shape == (2, 9, model.family.width(model.base, site))
    edits = EditBuffers.allocate(model.n_features, rows=2)
    assert torch.equal(model(ids(), edits=edits).logits, expected)
    edits.write(0, [Intervention(number, 5, "add", 3.0)], prompt_length=9)
    steered = model(ids(), edits=edits).logits
    assert (steered[0] - expected[0]).abs().max() > 1e-3
    assert torch.equal(steered[1], expected[1])


def streams(name: str, block: int) -> dict[Site, Tensor]:
    """What a code at each site of one block reads, one model a site."""
    models = {site: reading(name, site, block, torch.float64) for site in sites_of(name)}
    return {site: m(ids(), record=True).traces[number_of(site, block)].x for site, m in models.items()}


@pytest.mark.parametrize("name", CASES)
def test_each_site_is_where_it_says(name: str) -> None:
    base = plain(name, torch.float64)
    family = FAMILIES[CASES[name].model_type]
    seen: dict[str, Tensor] = {}
    block = family.blocks(base)[1]
    block.register_forward_hook(lambda m, args, out: seen.update(before=args[0], after=first(out)))
    family.attention(base, 1).register_forward_hook(lambda m, args, out: seen.update(attended=first(out)))
    if name != POST_NORM:
        final_norm = family.final_norm(base)
        assert final_norm is not None
        final_norm.register_forward_hook(lambda m, args, out: seen.update(final=args[0]))
    base(ids(), use_cache=False)
    found = streams(name, 1)
    assert torch.equal(found["resid_pre"], seen["before"])
    assert torch.equal(found["resid_post"], seen["after"])
    case = CASES[name]
    if name in PARALLEL:
        torch.testing.assert_close(found["resid_pre"] + seen["attended"] + found["mlp_out"], found["resid_post"])
    elif name == POST_NORM:
        torch.testing.assert_close(block.final_layer_norm(found["resid_mid"] + found["mlp_out"]), found["resid_post"])
    else:
        torch.testing.assert_close(found["resid_mid"] + found["mlp_out"], found["resid_post"])
    if case.stream is not None:
        torch.testing.assert_close(found["resid_mid"], case.stream(block, seen["before"], seen["attended"]))
    hidden, down = found["mlp_hidden"], family.down(base, 1)
    gemma = "gemma" in name
    torch.testing.assert_close(
        block.post_feedforward_layernorm(down(hidden)) if gemma else down(hidden), found["mlp_out"]
    )
    written = down(hidden) - down(torch.zeros_like(hidden))
    torch.testing.assert_close(hidden @ family.down_directions(base, 1), written)
    if name != POST_NORM:
        assert torch.equal(found["resid_final"], seen["final"])


def replacing(name: str, site: Site, alpha: float = 1.0) -> MFNModel:
    layer = MFNLayerConfig(48, 6, alpha=alpha, site=site)
    return equipped(name, at(number_of(site), layer), torch.float64)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("name", ["llama", "gpt_neo", "opt"])  # a plain block, one that gives a tuple, one of its own
def test_a_layer_of_features_trains_at_any_site_under_checkpointing(name: str, site: Site) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = replacing(name, site, 0.5).train()
        if checkpointing:
            checkpoint(model.base)
        out = model(ids(), branch="train")
        aux = out.traces[number_of(site)].aux
        assert aux is not None
        assert aux.x_hat is not None
        with model.stage.use(out.run):
            (out.logits.square().mean() + aux.x_hat.square().mean()).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert any("mfn" in name for name in gradients[0])
    assert set(gradients[0]) == set(gradients[1])
    for parameter, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][parameter], gradient)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("name", ["llama", "gpt_neo", "opt"])
def test_a_padded_row_is_edited_as_it_is_alone(name: str, site: Site) -> None:
    model, number = replacing(name, site), number_of(site)
    change = Intervention(number, 5, "add", 4.0, Scope("range", 1, 4))
    batch, mask = ids(2, 8), torch.ones(2, 8, dtype=torch.long)
    mask[1, :3] = 0
    edits = EditBuffers.allocate(model.n_features, rows=2, dtype=torch.float64)
    edits.write(1, [change], prompt_length=5)
    whole = model(batch, attention_mask=mask, edits=edits).logits[1, 3:]
    edits = EditBuffers.allocate(model.n_features, rows=1, dtype=torch.float64)
    edits.write(0, [change], prompt_length=5)
    torch.testing.assert_close(whole, model(batch[1:, 3:], edits=edits).logits[0], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(whole, model(batch[1:, 3:]).logits[0])


@pytest.mark.parametrize("site", SITES)
def test_a_copy_of_a_model_has_codes_of_its_own(site: Site) -> None:
    model, number = replacing("opt", site), number_of(site)
    before = model(ids()).logits
    other = copy.deepcopy(model)
    with torch.no_grad():
        for coder in other.base.modules():
            if isinstance(coder, MFNLayer):
                coder.b_dec += 1.0
    assert torch.equal(model(ids()).logits, before)
    assert not torch.equal(other(ids()).logits, before)
    assert set(other(ids(), record=True).traces) == {number}


@pytest.mark.parametrize(
    ("name", "site", "weights"),
    [
        ("llama", "mlp_out", "model.layers.1.mfn"),
        ("llama", "resid_final", "model.mfn_final"),
        ("gpt2", "mlp_hidden", "transformer.h.1.mfn"),
        ("opt", "mlp_hidden", "model.decoder.layers.1.mfn"),
        ("gpt_neox", "resid_final", "gpt_neox.mfn_final"),
        ("phi", "resid_post", "model.layers.1.mfn"),
    ],
)
def test_a_code_at_any_site_is_saved_and_loaded(name: str, site: Site, weights: str, tmp_path: Path) -> None:
    model = equipped(name, at(number_of(site), MFNLayerConfig(48, 6, site=site)))
    assert f"{weights}.W_enc" in model.base.state_dict()
    model.save_pretrained(tmp_path)
    again = MFNModel.from_pretrained(tmp_path)
    assert torch.equal(again(ids()).logits, model(ids()).logits)
    assert again.fingerprint == model.fingerprint


@pytest.mark.parametrize("name", CASES)
def test_the_lens_is_what_the_output_does_with_a_stream(name: str) -> None:
    base = plain(name, torch.float64)
    family = FAMILIES[CASES[name].model_type]
    norm, scale = family.final_norm(base), torch.ones(4, 1, dtype=torch.float64)
    stream = torch.randn(4, WIDTH, dtype=torch.float64)
    if norm is not None:
        centred = stream - stream.mean(-1, keepdim=True) if isinstance(norm, nn.LayerNorm) else stream
        scale = centred.square().mean(-1, keepdim=True).sqrt()

    def logits(h: Tensor) -> Tensor:
        h = h if norm is None else norm(h)
        project = getattr(family.backbone(base), "project_out", None)
        out: Tensor = base.get_output_embeddings()(h if project is None else project(h))
        return out

    reaction = logits(stream) - logits(torch.zeros_like(stream))  # without what biases add
    torch.testing.assert_close(stream @ family.lens(base).double().T / scale, reaction, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PARALLEL)
def test_a_parallel_residual_has_nothing_in_between(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no site resid_mid.*side by side.*use resid_post") as caught:
        MFNModel.equip(plain(name), mfn())
    assert "\n" not in str(caught.value)


def test_sites_that_a_model_does_not_have_are_refused() -> None:
    encoder_decoder = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **GPT2, add_cross_attention=True))
    with pytest.raises(ConfigError, match="also read an encoder"):
        MFNModel.equip(encoder_decoder, mfn())
    MFNModel.equip(encoder_decoder, at(1, MFNLayerConfig(48, 6, site="resid_post")))
    with pytest.raises(ConfigError, match="no final norm"):
        MFNModel.equip(plain(POST_NORM), at(BLOCKS, MFNLayerConfig(48, 6, site="resid_final")))


def test_a_block_takes_one_code() -> None:
    model = equipped("llama", mfn())
    with pytest.raises(ConfigError, match="block 0 has a sparse code already"):
        MFNModel.equip(model.base, mfn())
