"""Gemma Scope and Gemma Scope 2: JumpReLU SAEs as Google DeepMind publishes them.

The first (Lieberum et al. 2024, arXiv 2408.05147) is a `params.npz` with W_enc [d, F], W_dec [F, d], b_enc, b_dec,
threshold; where it belongs is said by the names of its folders alone. The second is a `params.safetensors` with
lower-case names and a `config.json`. In both b_d is not subtracted from the input, and the stream is not normalised.
"""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from mfn_core.baselines.config import SAEConfig
from mfn_core.baselines.files import check, dimensions, fill, read_json, read_npz, read_safetensors
from mfn_core.baselines.hooks import Place, place_of_module
from mfn_core.baselines.sae import SAE
from mfn_core.config import Site
from mfn_core.errors import BundleError

_NAMES = {"w_enc": "W_enc", "w_dec": "W_dec"}


def load_gemma_scope(folder: str | Path, block: int | None = None, site: Site | None = None) -> SAE:
    """Reads one SAE.

    Args:
        folder: with `params.npz`, or with `params.safetensors` and `config.json`.
        block: the block it reads. By default what `config.json` says, or `layer_N` in the folder's path.
        site: by default what `config.json` says; for the first Gemma Scope `mlp_out` where the path has a part named
            after its repository of MLP SAEs (`…-mlp`), else `resid_post`.

    Returns:
        A `jumprelu` SAE in single precision, on the CPU.

    Raises:
        BundleError: what is missing, wrong, or not an SAE of a site here (attention, transcoders).
    """
    path = Path(folder)
    second = (path / "params.safetensors").is_file()
    source = path / ("params.safetensors" if second else "params.npz")
    raw = read_safetensors(source) if second else read_npz(source)
    weights: dict[str, Tensor] = {_NAMES.get(name, name): tensor for name, tensor in raw.items()}
    place = _place_in_config(path / "config.json") if second else _place_in_path(path)
    number = place.block if block is None else block
    if number < 0:
        raise BundleError(f"{path} does not say which block it reads: no folder is named layer_N; give block=N")
    d_in, n_features = dimensions(weights, "W_enc", source)
    vector = (n_features,)
    check(
        weights,
        {
            "W_enc": (d_in, n_features),
            "W_dec": (n_features, d_in),
            "b_enc": vector,
            "b_dec": (d_in,),
            "threshold": vector,
        },
        source,
    )
    config = SAEConfig(
        n_features, "jumprelu", norm="none", apply_b_dec_to_input=False, site=place.site if site is None else site
    )
    return fill(config, number, weights)


def _place_in_config(path: Path) -> Place:
    config = read_json(path)
    if config.get("architecture") != "jump_relu":
        raise BundleError(f"{path}: the architecture is {config.get('architecture')!r}; Gemma Scope 2 has jump_relu")
    reads, writes = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    if not isinstance(reads, str):
        raise BundleError(f"{path} does not say which stream it reads: it has no hf_hook_point_in")
    if writes not in (None, reads):
        raise BundleError(f"{path} is of a transcoder, which reads {reads} and writes {writes}: no code at one site")
    return place_of_module(reads)


def _place_in_path(path: Path) -> Place:
    """−1 where no folder says which block."""
    parts = path.parts
    if any(part.endswith("-att") for part in parts) or "embedding" in parts:
        raise BundleError(f"{path} is of attention's output or of the embeddings, where there is no site here")
    if any("transcoder" in part for part in parts):
        raise BundleError(f"{path} is of a transcoder, which reads one stream and writes another: no code at one site")
    numbers = [found[1] for part in parts if (found := re.fullmatch(r"layer_(\d+)", part))]
    site: Site = "mlp_out" if any(part.endswith("-mlp") for part in parts) else "resid_post"
    return Place(int(numbers[-1]) if numbers else -1, site)
