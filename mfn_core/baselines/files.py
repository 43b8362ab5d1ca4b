"""What all formats of others' SAEs share: weights that are checked before they are used, and a model to put them into.

Files are read as safetensors or as plain numpy arrays. Nothing in them is executed.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mfn_core.baselines.config import SAEConfig
from mfn_core.baselines.sae import SAE
from mfn_core.config import MFNConfig
from mfn_core.errors import BundleError, ConfigError
from mfn_core.model import MFNModel

_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def attach(base: PreTrainedModel, saes: Iterable[SAE], tokenizer: PreTrainedTokenizerBase | None = None) -> MFNModel:
    """A model with copies of these SAEs at the blocks and sites that they name.

    Args:
        base: opened in place.
        saes: at most one a block, as wide as the model there.
        tokenizer: or None, for work with token ids alone.

    Raises:
        ConfigError: two SAEs for one block, a block the model does not have, or another width.
    """
    by_block: dict[int, SAE] = {}
    for sae in saes:
        if sae.number in by_block:
            raise ConfigError(f"two SAEs are for block {sae.number}: a block takes one code")
        by_block[sae.number] = sae
    model = MFNModel.equip(base, MFNConfig({n: sae.current_config for n, sae in by_block.items()}), tokenizer)
    for number, sae in by_block.items():
        coder = model.coders[number]
        if coder.d_model != sae.d_model:
            raise ConfigError(
                f"the SAE for block {number} reads {sae.d_model} channels, but {sae.config.site} has {coder.d_model}"
            )
        coder.load_state_dict(sae.state_dict())
    return model


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        BundleError: there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise BundleError(f"{path.parent} has no {path.name}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise BundleError(f"{path} holds no JSON object")
    return data


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        BundleError: there is no such file, or it is broken.
    """
    if not path.is_file():
        raise BundleError(f"{path.parent} has no {path.name}")
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path} is broken: {error}") from error


def read_npz(path: Path) -> dict[str, Tensor]:
    """All arrays of a numpy archive. Pickled objects are refused.

    Raises:
        BundleError: there is no such file, it is broken, or it holds something other than numbers.
    """
    if not path.is_file():
        raise BundleError(f"{path.parent} has no {path.name}")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except (ValueError, TypeError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path} cannot be read as an archive of plain arrays: {error}") from error


def check(weights: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], source: Path) -> None:
    """Checks that a file holds what an architecture needs, and nothing beside it.

    Raises:
        BundleError: a tensor is missing, superfluous, of another shape or no floating-point numbers, or not finite.
    """
    for name, shape in shapes.items():
        if name not in weights:
            raise BundleError(f"{source} has no {name}; it has {', '.join(sorted(weights)) or 'nothing'}")
        tensor = weights[name]
        if tuple(tensor.shape) != shape:
            raise BundleError(f"{source}: {name} has shape {tuple(tensor.shape)} instead of {shape}")
        if tensor.dtype not in _DTYPES:
            raise BundleError(f"{source}: {name} is of type {tensor.dtype}, which no weights are")
        if not bool(tensor.isfinite().all()):
            raise BundleError(f"{source}: {name} holds numbers that are not finite")
    unknown = set(weights) - set(shapes)
    if unknown:
        raise BundleError(f"{source} has a tensor that this architecture does not know: {sorted(unknown)[0]}")


def dimensions(weights: Mapping[str, Tensor], name: str, source: Path) -> tuple[int, int]:
    """The two dimensions of a matrix.

    Raises:
        BundleError: it is missing, or no matrix.
    """
    if name not in weights:
        raise BundleError(f"{source} has no {name}; it has {', '.join(sorted(weights)) or 'nothing'}")
    shape = tuple(weights[name].shape)
    if len(shape) != 2 or 0 in shape:
        raise BundleError(f"{source}: {name} has shape {shape}, which is no matrix")
    return shape[0], shape[1]


def fill(config: SAEConfig, block: int, weights: Mapping[str, Tensor]) -> SAE:
    """An SAE in single precision from weights as others store them, W_enc being [d, F]."""
    sae = SAE(weights["W_dec"].shape[1], config, block)
    with torch.no_grad():
        sae.W_enc.copy_(weights["W_enc"].t())
        for name in ("b_enc", "W_dec", "b_dec", "threshold"):
            if name in weights:
                getattr(sae, name).copy_(weights[name])
    return sae.eval()
