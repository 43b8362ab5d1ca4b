"""Others' SAE files: what is written is read back, what is wrong is said, and what cannot be is refused.

That the real sae-lens agrees is shown in tests/interop.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from mfn_core import MFNLayer, MFNLayerConfig
from mfn_core.baselines import SAE, NeuronCoder, NeuronConfig, SAEConfig, load_gemma_scope, load_saelens, save_saelens
from mfn_core.baselines.config import Architecture
from mfn_core.baselines.hooks import Place, hook_of_place, place_of_hook, place_of_module
from mfn_core.config import Norm
from mfn_core.errors import BundleError, ConfigError

D, N_FEATURES, K = 12, 40, 5
NORMS: list[Norm] = ["rms", "layer", "scalar", "none"]


def make(architecture: Architecture = "topk", norm: Norm = "none", **settings: Any) -> SAE:
    torch.manual_seed(0)
    k = K if architecture in ("topk", "batchtopk") else None
    sae = SAE(D, SAEConfig(N_FEATURES, architecture, k=k, norm=norm, norm_scale=1.7, site="resid_post", **settings), 3)
    with torch.no_grad():
        for parameter in (sae.b_enc, sae.b_dec):
            parameter.normal_(std=0.3)
        sae.W_enc.add_(torch.randn_like(sae.W_enc) * 0.2)
        if sae.threshold is not None:
            sae.threshold.copy_(torch.rand_like(sae.threshold) * 0.5 + 0.3)
    return sae


def stream() -> Tensor:
    return torch.randn(3, 7, D, generator=torch.Generator().manual_seed(1)) * 3


def rebuilt(coder: SAE | MFNLayer, h: Tensor) -> Tensor:
    codes, scale = coder.encode(h)
    shift = coder.normalise(h)[2]
    return scale * coder.decode(codes) + (0.0 if shift is None else shift)


def same(mine: SAE | MFNLayer, theirs: SAE, tolerance: float = 2e-6) -> None:
    h = stream()
    codes = [coder.encode(h)[0].dense() for coder in (mine, theirs)]
    torch.testing.assert_close(codes[0], codes[1], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(rebuilt(mine, h), rebuilt(theirs, h), rtol=tolerance, atol=4 * tolerance)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("architecture", ["standard", "topk", "batchtopk", "jumprelu"])
@pytest.mark.parametrize("applied", [True, False])
def test_a_saelens_folder_is_read_as_it_was_written(
    architecture: Architecture, norm: Norm, applied: bool, tmp_path: Path
) -> None:
    sae = make(architecture, norm, apply_b_dec_to_input=applied)
    save_saelens(sae, tmp_path / "sae", model_name="gpt2", context_size=128)
    config = json.loads((tmp_path / "sae/cfg.json").read_text())
    assert config["metadata"]["hook_name"] == "blocks.3.hook_resid_post"
    assert config["metadata"]["sae_lens_version"] >= "6"
    assert config["apply_b_dec_to_input"] is applied
    read = load_saelens(tmp_path / "sae")
    assert (read.number, read.config.site) == (3, "resid_post")
    assert read.config.architecture == ("jumprelu" if architecture == "batchtopk" else architecture)
    assert read.config.norm == ("none" if norm == "scalar" else norm)
    same(sae, read)


@pytest.mark.parametrize("norm", NORMS)
def test_a_layer_of_features_is_written_as_a_topk_sae(norm: Norm, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = MFNLayer(D, MFNLayerConfig(N_FEATURES, K, norm=norm, norm_scale=1.7), number=2)
    with torch.no_grad():
        layer.b_dec.normal_()
        layer.b_enc.normal_(std=0.1)
    save_saelens(layer, tmp_path)
    read = load_saelens(tmp_path)
    assert (read.number, read.config.site, read.config.architecture) == (2, "resid_mid", "topk")
    same(layer, read, tolerance=1e-5)


def test_what_is_no_sae_is_not_written(tmp_path: Path) -> None:
    lookup = MFNLayer(D, MFNLayerConfig(N_FEATURES, K, token_lookup=True), vocab_size=10)
    with pytest.raises(ConfigError, match="token lookup"):
        save_saelens(lookup, tmp_path)
    with pytest.raises(ConfigError, match="kind neurons"):
        save_saelens(NeuronCoder(D, NeuronConfig(D)), tmp_path)
    assert not list(tmp_path.iterdir())


def edited(folder: Path, change: Callable[[dict[str, Any]], object], weights: dict[str, Tensor] | None = None) -> Path:
    """The folder with its cfg.json changed, and other weights."""
    config = json.loads((folder / "cfg.json").read_text())
    change(config)
    (folder / "cfg.json").write_text(json.dumps(config))
    if weights is not None:
        save_file(weights, folder / "sae_weights.safetensors")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_saelens(make(), tmp_path)
    return tmp_path


def test_decoder_norms_are_folded_where_they_decide_the_choice(folder: Path) -> None:
    sae = make()
    norms = torch.rand(N_FEATURES) + 0.5
    weights = load_file(folder / "sae_weights.safetensors") | {"W_dec": sae.W_dec.detach() * norms[:, None]}
    read = load_saelens(edited(folder, lambda c: c.update(rescale_acts_by_decoder_norm=True), weights))
    pre = ((stream() - sae.b_dec) @ sae.W_enc.T + sae.b_enc) * norms
    kth = pre.sort(-1, descending=True).values[..., K - 1 : K]
    expected = torch.where(pre >= kth, F.relu(pre), 0.0)
    torch.testing.assert_close(read.encode(stream())[0].dense(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rebuilt(read, stream()), expected @ sae.W_dec + sae.b_dec, rtol=1e-5, atol=1e-5)


def test_a_gated_sae_is_a_jumprelu_sae(folder: Path) -> None:
    torch.manual_seed(2)
    sae = make()
    b_gate, r_mag, b_mag = torch.randn(3, N_FEATURES).mul(0.5).unbind()
    weights = {"W_enc": sae.W_enc.detach().T.contiguous(), "W_dec": sae.W_dec.detach(), "b_dec": sae.b_dec.detach()}
    weights |= {"b_gate": b_gate.clone(), "r_mag": r_mag.clone(), "b_mag": b_mag.clone()}
    read = load_saelens(edited(folder, lambda c: c.update(architecture="gated"), weights))
    x = (stream() - sae.b_dec) @ sae.W_enc.T
    expected = F.relu(x * r_mag.exp() + b_mag) * (x + b_gate > 0)
    assert 0 < int((expected > 0).sum()) < expected.numel()
    torch.testing.assert_close(read.encode(stream())[0].dense(), expected, rtol=1e-5, atol=1e-5)


def test_a_folder_of_before_version_six_is_read(folder: Path) -> None:
    def flatten(config: dict[str, Any]) -> None:
        metadata = config.pop("metadata")
        config.pop("architecture")
        config.update(hook_name=metadata["hook_name"], activation_fn_str="topk", activation_fn_kwargs={"k": K})
        config.update(normalize_activations=False)
        del config["k"], config["apply_b_dec_to_input"]

    same(make(), load_saelens(edited(folder, flatten)))


def test_a_scale_that_the_folder_lacks_has_to_be_given(folder: Path) -> None:
    edited(folder, lambda c: c.update(normalize_activations="expected_average_only_in"))
    with pytest.raises(BundleError, match="norm_scale"):
        load_saelens(folder)
    read = load_saelens(folder, norm_scale=2.0)
    torch.testing.assert_close(read.encode(stream() * 2)[0].dense(), make().encode(stream())[0].dense())


BROKEN: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda c: c.update(architecture="transcoder"), "'transcoder' is not supported; supported are standard"),
    (lambda c: c.pop("architecture"), "None is not supported"),
    (lambda c: c.update(normalize_activations="covariance_whitening"), "covariance_whitening"),
    (lambda c: c.update(reshape_activations="hook_z"), "hook_z"),
    (lambda c: c.update(d_sae=41), "says d_sae 41, but"),
    (lambda c: c.pop("d_in"), "says d_in None"),
    (lambda c: c.update(k=0), "between 1 and n_features"),
    (lambda c: c.update(k="many"), "cannot be used"),
    (lambda c: c["metadata"].update(hook_name="blocks.3.attn.hook_z"), "has no site here"),
    (lambda c: c["metadata"].pop("hook_name"), "give block and site"),
]


@pytest.mark.parametrize(("change", "said"), BROKEN)
def test_what_is_wrong_with_a_configuration_is_said(
    folder: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    with pytest.raises(BundleError, match=said):
        load_saelens(edited(folder, change))


@pytest.mark.parametrize(
    ("name", "tensor", "said"),
    [
        ("W_enc", None, "has no W_enc; it has W_dec, b_dec, b_enc"),
        ("b_enc", None, "has no b_enc"),
        ("W_dec", torch.zeros(N_FEATURES, D + 1), "W_dec has shape"),
        ("W_enc", torch.zeros(D), "no matrix"),
        ("b_dec", torch.zeros(D, dtype=torch.int64), "type torch.int64"),
        ("b_enc", torch.full((N_FEATURES,), torch.nan), "not finite"),
        ("W_skip", torch.zeros(D, D), "does not know: W_skip"),
        ("scaling_factor", torch.full((N_FEATURES,), 2.0), "scaling_factor"),
    ],
)
def test_what_is_wrong_with_weights_is_said(folder: Path, name: str, tensor: Tensor | None, said: str) -> None:
    weights = {key: value for key, value in load_file(folder / "sae_weights.safetensors").items() if key != name}
    with pytest.raises(BundleError, match=said):
        load_saelens(edited(folder, lambda c: None, weights if tensor is None else weights | {name: tensor}))


def test_a_place_can_be_given(folder: Path) -> None:
    read = load_saelens(edited(folder, lambda c: c["metadata"].pop("hook_name")), block=1, site="mlp_out")
    assert (read.number, read.config.site) == (1, "mlp_out")


def test_missing_and_broken_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"has no cfg\.json"):
        load_saelens(tmp_path / "nowhere")
    (folder / "sae_weights.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BundleError, match="is broken"):
        load_saelens(folder)
    (folder / "sae_weights.safetensors").unlink()
    with pytest.raises(BundleError, match=r"has no sae_weights\.safetensors"):
        load_saelens(folder)
    (folder / "cfg.json").write_text("[1]")
    with pytest.raises(BundleError, match="no JSON object"):
        load_saelens(folder)
    (folder / "cfg.json").write_text("{")
    with pytest.raises(BundleError, match="is not JSON"):
        load_saelens(folder)


@pytest.mark.parametrize(
    ("hook", "place"),
    [
        ("blocks.0.hook_resid_pre", Place(0, "resid_pre")),
        ("blocks.11.hook_resid_mid", Place(11, "resid_mid")),
        ("blocks.5.hook_resid_post", Place(5, "resid_post")),
        ("blocks.5.hook_mlp_out", Place(5, "mlp_out")),
        ("blocks.5.mlp.hook_post", Place(5, "mlp_hidden")),
    ],
)
def test_hooks_and_sites(hook: str, place: Place) -> None:
    assert place_of_hook(hook) == place
    assert hook_of_place(place) == hook


def test_what_the_final_norm_reads_is_the_last_blocks_output() -> None:
    assert hook_of_place(Place(12, "resid_final")) == "blocks.11.hook_resid_post"


@pytest.mark.parametrize("hook", ["hook_embed", "blocks.x.hook_resid_pre", "blocks.1.hook_resid_pre.2", "blocks.1."])
def test_other_hooks_are_refused(hook: str) -> None:
    with pytest.raises(BundleError, match="no site here"):
        place_of_hook(hook)


def test_modules_and_sites() -> None:
    assert place_of_module("model.layers.7.output") == Place(7, "resid_post")
    assert place_of_module("model.layers.7.post_feedforward_layernorm.output") == Place(7, "mlp_out")
    with pytest.raises(BundleError, match=r"self_attn\.o_proj\.input"):
        place_of_module("model.layers.7.self_attn.o_proj.input")


def arrays(case: Callable[[str], str]) -> dict[str, Tensor]:
    """Gemma Scope's arrays, of a jumprelu SAE that does not centre its input."""
    sae = make("jumprelu", apply_b_dec_to_input=False)
    assert sae.threshold is not None
    tensors = {"W_enc": sae.W_enc.T, "W_dec": sae.W_dec, "b_enc": sae.b_enc, "b_dec": sae.b_dec}
    return {case(name): t.detach().contiguous() for name, t in {**tensors, "threshold": sae.threshold}.items()}


def scope_one(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: tensor.numpy() for name, tensor in arrays(str).items()} | changes
    np.savez(folder / "params.npz", **{name: array for name, array in found.items() if array is not None})
    return folder


def scope_two(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(arrays(str.lower), folder / "params.safetensors")
    config = {
        "architecture": "jump_relu",
        "model_name": "google/gemma-3-1b-pt",
        "hf_hook_point_in": "model.layers.6.output",
        "width": N_FEATURES,
    }
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def test_gemma_scope_is_read(tmp_path: Path) -> None:
    expected = make("jumprelu", apply_b_dec_to_input=False)
    read = load_gemma_scope(scope_one(tmp_path / "gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71"))
    assert (read.number, read.config.site, read.config.architecture) == (20, "resid_post", "jumprelu")
    same(expected, read)
    read = load_gemma_scope(scope_one(tmp_path / "gemma-scope-2b-pt-mlp/layer_4/width_16k/average_l0_71"))
    assert (read.number, read.config.site) == (4, "mlp_out")
    plain = scope_one(tmp_path / "anywhere")
    with pytest.raises(BundleError, match="give block=N"):
        load_gemma_scope(plain)
    read = load_gemma_scope(plain, block=0, site="resid_pre")
    assert (read.number, read.config.site) == (0, "resid_pre")


def test_gemma_scope_two_is_read(tmp_path: Path) -> None:
    read = load_gemma_scope(scope_two(tmp_path / "resid_post/layer_6_width_16k_l0_medium"))
    assert (read.number, read.config.site) == (6, "resid_post")
    same(make("jumprelu", apply_b_dec_to_input=False), read)
    where = "model.layers.2.post_feedforward_layernorm.output"
    read = load_gemma_scope(scope_two(tmp_path / "b", hf_hook_point_in=where))
    assert (read.number, read.config.site) == (2, "mlp_out")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "topk"}, "Gemma Scope 2 has jump_relu"),
        ({"hf_hook_point_in": None}, "no hf_hook_point_in"),
        ({"hf_hook_point_in": "model.layers.6.self_attn.o_proj.input"}, "has no site here"),
        ({"hf_hook_point_out": "model.layers.6.post_feedforward_layernorm.output"}, "transcoder"),
    ],
)
def test_what_of_gemma_scope_two_is_not_supported_is_said(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BundleError, match=said):
        load_gemma_scope(scope_two(tmp_path, **changes))


def test_what_is_wrong_with_gemma_scope_is_said(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"has no params\.npz"):
        load_gemma_scope(tmp_path)
    layer = tmp_path / "layer_1"
    with pytest.raises(BundleError, match="has no threshold"):
        load_gemma_scope(scope_one(layer, threshold=None))
    with pytest.raises(BundleError, match="b_dec has shape"):
        load_gemma_scope(scope_one(layer, b_dec=np.zeros(3, np.float32)))
    for path in ("gemma-scope-2b-pt-att/layer_1", "gemma-scope-2b-pt-res/embedding", "gemma-scope-transcoders/layer_1"):
        with pytest.raises(BundleError, match=r"no site here|no code at one site"):
            load_gemma_scope(scope_one(tmp_path / path))
    (layer / "params.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(BundleError, match="plain arrays"):
        load_gemma_scope(layer)
    with (layer / "params.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(BundleError, match="plain arrays"):
        load_gemma_scope(layer)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_nothing_in_an_archive_is_executed(tmp_path: Path) -> None:
    trap = np.empty(1, dtype=object)
    trap[0] = Trap(tmp_path / "sprung")
    with pytest.raises(BundleError, match="plain arrays"):
        load_gemma_scope(scope_one(tmp_path / "layer_1", b_dec=trap))
    assert not (tmp_path / "sprung").exists()
