"""SAELens folders: `cfg.json` and `sae_weights.safetensors`, read and written so that both sides compute the same.

Format of sae-lens 6. Folders of before 6.0, whose settings lie flat in `cfg.json`, are read too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor

from mfn_core.baselines.config import Architecture, SAEConfig
from mfn_core.baselines.files import check, dimensions, fill, read_json, read_safetensors
from mfn_core.baselines.hooks import Place, hook_of_place, place_of_hook
from mfn_core.baselines.sae import SAE
from mfn_core.coder import SparseCoder
from mfn_core.config import Norm, Site
from mfn_core.errors import BundleError, ConfigError
from mfn_core.layer import MFNLayer

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
VERSION = "6.0.0"  # whose format is written; a folder that names none is read as one of before 6.0

_NORMS: dict[str, Norm] = {"none": "none", "constant_norm_rescale": "rms", "layer_norm": "layer"}
_THEIR_NORMS = {norm: name for name, norm in _NORMS.items()}
_VECTORS = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "r_mag", "b_mag"),
}


def load_saelens(
    folder: str | Path,
    block: int | None = None,
    site: Site | None = None,
    norm_scale: float | None = None,
) -> SAE:
    """Reads an SAE that SAELens has saved.

    `gated` becomes `jumprelu`, which with its shared encoder it equals: p = e^r (x W) + b_mag fires where
    p > b_mag − e^r b_gate. `rescale_acts_by_decoder_norm` is folded into the weights, which leaves the codes as they
    are.

    Args:
        folder: with `cfg.json` and `sae_weights.safetensors`.
        block: the block it reads, by default what `metadata.hook_name` says.
        site: likewise.
        norm_scale: what the stream was divided by in training, where the folder says `expected_average_only_in`: that
            number, mean ‖h‖ / √d, is not in the folder.

    Returns:
        In single precision, on the CPU.

    Raises:
        BundleError: what is missing, wrong or not supported.
    """
    path = Path(folder)
    settings = _settings(read_json(path / CONFIG))
    source = path / WEIGHTS
    weights = read_safetensors(source)
    scaling = weights.pop("scaling_factor", None)
    if scaling is not None and not bool((scaling == 1).all()):
        raise BundleError(f"{source} has a scaling_factor other than 1 (finetuning), which SAELens 6 does not have")
    architecture = settings.get("architecture")
    if architecture not in _VECTORS:
        raise BundleError(
            f"{path / CONFIG}: the architecture {architecture!r} is not supported; supported are {', '.join(_VECTORS)}"
        )
    if settings.get("reshape_activations") not in (None, "none"):
        raise BundleError(f"{path / CONFIG}: reshape_activations is {settings['reshape_activations']!r}: no site here")
    d_in, n_features = dimensions(weights, "W_enc", source)
    for name, found in (("d_in", d_in), ("d_sae", n_features)):
        if settings.get(name) != found:
            raise BundleError(f"{path / CONFIG} says {name} {settings.get(name)}, but {WEIGHTS} has {found}")
    vectors = dict.fromkeys(_VECTORS[architecture], (n_features,))
    check(weights, {"W_enc": (d_in, n_features), "W_dec": (n_features, d_in), "b_dec": (d_in,), **vectors}, source)
    weights = {name: tensor.float() for name, tensor in weights.items()}
    if architecture == "gated":
        architecture, weights = "jumprelu", _ungated(weights)
    norm, scale = _norm(settings.get("normalize_activations"), norm_scale, path / CONFIG)
    place = _place(settings, block, site, path / CONFIG)
    if architecture == "topk" and settings.get("rescale_acts_by_decoder_norm"):
        norms = weights["W_dec"].norm(dim=-1)
        weights |= {
            "W_enc": weights["W_enc"] * norms,
            "b_enc": weights["b_enc"] * norms,
            "W_dec": weights["W_dec"] / norms.clamp(min=1e-12)[:, None],
        }
    try:
        config = SAEConfig(
            n_features,
            cast(Architecture, architecture),
            k=settings.get("k") if architecture == "topk" else None,
            norm=norm,
            norm_scale=scale,
            apply_b_dec_to_input=bool(settings.get("apply_b_dec_to_input", True)),
            site=place.site,
        )
    except (ConfigError, TypeError) as error:
        raise BundleError(f"{path / CONFIG} cannot be used: {error}") from error
    return fill(config, place.block, weights)


def save_saelens(
    coder: SparseCoder,
    folder: str | Path,
    model_name: str | None = None,
    context_size: int | None = None,
    prepend_bos: bool = True,
) -> None:
    """Writes a folder that `SAE.load_from_disk` of SAELens reads.

    BatchTopK is written as JumpReLU with its one threshold, as SAELens does. A scalar norm is folded into the weights.
    A layer of monosemantic feature neurons is written as the TopK SAE that its code and reconstruction are; that it
    replaces the stream instead of watching it, and by how much (α), is not in the format. Nor is the 1e-6 under the
    root of its norm: with `rms` its codes differ by a factor of about 1 + 5e-7 / m on tokens of mean square m, and with
    `layer`, where SAELens adds 1e-5 to the standard deviation σ, by about 1 + 1e-5 / σ. With `layer`, of any code,
    SAELens multiplies by σ without its 1e-5 on the way out: reconstructions differ by that factor too.

    Args:
        coder: an SAE or a layer of features.
        folder: made if need be; files of the same names are replaced.
        model_name: as TransformerLens or Hugging Face know the model.
        context_size: tokens of a text in training.
        prepend_bos: whether texts began with the beginning-of-text token.

    Raises:
        ConfigError: the code cannot be expressed in this format.
    """
    weights, config = _exported(coder)
    metadata: dict[str, Any] = {
        "sae_lens_version": VERSION,
        "sae_lens_training_version": None,
        "model_name": model_name,
        "hook_name": hook_of_place(Place(coder.number, coder.config.site)),
        "hook_head_index": None,
        "context_size": context_size,
        "prepend_bos": prepend_bos,
    }
    config |= {
        "d_in": coder.d_model,
        "d_sae": coder.n_features,
        "dtype": "float32",
        "device": "cpu",
        "reshape_activations": "none",
        "metadata": metadata,
    }
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(
        {name: tensor.detach().float().cpu().contiguous() for name, tensor in weights.items()}, path / WEIGHTS
    )
    (path / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _settings(data: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a `cfg.json`, with its metadata among them, in the words of version 6."""
    metadata = data.get("metadata")
    settings = {**(metadata if isinstance(metadata, dict) else {}), **data}
    if settings.get("sae_lens_version"):
        return settings
    settings.setdefault("hook_name", settings.get("hook_point"))
    settings.setdefault("architecture", "standard")
    settings.setdefault("apply_b_dec_to_input", True)
    if "hook_z" in str(settings["hook_name"]):
        settings.setdefault("reshape_activations", "hook_z")
    if settings.get("activation_fn", settings.get("activation_fn_str")) == "topk":
        settings["architecture"] = "topk"
        settings.setdefault("k", (settings.get("activation_fn_kwargs") or {}).get("k"))
    if isinstance(settings.get("normalize_activations"), bool):
        settings["normalize_activations"] = "expected_average_only_in" if settings["normalize_activations"] else "none"
    return settings


def _norm(theirs: Any, norm_scale: float | None, source: Path) -> tuple[Norm, float]:
    """Our norm and its scale."""
    if theirs == "expected_average_only_in":
        if norm_scale is None:
            raise BundleError(
                f"{source}: the stream was divided by one number in training (expected_average_only_in), which the "
                "folder does not hold: fold it with sae-lens before saving, or give it as norm_scale (mean ‖h‖ / √d)"
            )
        return "scalar", norm_scale
    if norm_scale is not None:
        raise BundleError(f"{source}: norm_scale goes with expected_average_only_in, not with {theirs!r}")
    if theirs is not None and theirs not in _NORMS:
        raise BundleError(
            f"{source}: normalize_activations is {theirs!r}; supported are {', '.join(_NORMS)} and "
            "expected_average_only_in"
        )
    return _NORMS[theirs or "none"], 1.0


def _place(settings: Mapping[str, Any], block: int | None, site: Site | None, source: Path) -> Place:
    if block is not None and site is not None:
        return Place(block, site)
    hook = settings.get("hook_name")
    if not isinstance(hook, str):
        raise BundleError(f"{source} names no hook_name: give block and site")
    place = place_of_hook(hook)
    return Place(place.block if block is None else block, place.site if site is None else site)


def _ungated(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A gated SAE's weights as those of the JumpReLU SAE that it equals."""
    growth = weights["r_mag"].exp()
    return {
        "W_enc": weights["W_enc"] * growth,
        "b_enc": weights["b_mag"],
        "W_dec": weights["W_dec"],
        "b_dec": weights["b_dec"],
        "threshold": (weights["b_mag"] - growth * weights["b_gate"]).clamp(min=0.0),
    }


def _exported(coder: SparseCoder) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights under SAELens' names, and what its configuration says of the architecture."""
    if isinstance(coder, MFNLayer):
        if coder.config.token_lookup:
            raise ConfigError("a layer with a token lookup is no SAE: what it subtracts depends on the token")
        architecture, applied = "topk", True
    elif isinstance(coder, SAE):
        architecture, applied = coder.config.architecture, coder.config.apply_b_dec_to_input
    else:
        raise ConfigError(f"a code of kind {coder.config.kind} is no SAE: there is nothing to save")
    config: dict[str, Any] = {"architecture": architecture, "apply_b_dec_to_input": applied}
    weights = {"W_enc": coder.W_enc.t(), "b_enc": coder.b_enc, "W_dec": coder.W_dec, "b_dec": coder.b_dec}
    match architecture:
        case "topk":
            config |= {"k": coder.k, "rescale_acts_by_decoder_norm": False}
        case "jumprelu" | "batchtopk":
            assert isinstance(coder, SAE)
            assert coder.threshold is not None
            weights["threshold"] = coder.threshold.clamp(min=0.0).expand(coder.n_features)
            config["architecture"] = "jumprelu"
    norm = coder.config.norm
    divisor = 1.0
    if norm == "scalar":
        norm, divisor = "none", coder.config.norm_scale
    elif norm == "layer" and isinstance(coder, MFNLayer):
        divisor = ((coder.d_model - 1) / coder.d_model) ** 0.5  # their standard deviation is of the sample
    config["normalize_activations"] = _THEIR_NORMS[norm]
    return _folded(weights, divisor), config


@torch.no_grad()
def _folded(weights: dict[str, Tensor], divisor: float) -> dict[str, Tensor]:
    """Weights for an input that is `divisor` times as large. The codes stay the same."""
    scales = {"W_enc": 1 / divisor, "W_dec": divisor, "b_dec": divisor}
    return {name: tensor * scales.get(name, 1.0) for name, tensor in weights.items()}
