"""A model as a folder: `config.json`, `model.safetensors`, the tokenizer's JSON. Nothing in it is executed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from mfn_core.config import FORMAT_VERSION, MFNConfig
from mfn_core.errors import BundleError

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"


@dataclass(frozen=True)
class Bundle:
    """A folder's content: an unequipped base with unset weights, and what is to be put into it."""

    folder: Path
    base: PreTrainedModel
    config: MFNConfig
    tokenizer: PreTrainedTokenizerBase | None
    weights: dict[str, Tensor]

    @property
    def fingerprint(self) -> str:
        """What `fingerprint` gives for the stored weights."""
        return fingerprint(self.base, self.config, self.tokenizer, self.weights)

    def fill(self, base: PreTrainedModel) -> None:
        """Copies the stored weights into the equipped model.

        Raises:
            BundleError: a tensor is missing, superfluous or of another shape.
        """
        try:
            missing, unexpected = base.load_state_dict(self.weights, strict=False)
        except RuntimeError as error:
            raise BundleError(f"{self.folder / WEIGHTS} does not fit its {CONFIG}: {_brief(error)}") from error
        missing = [name for name in missing if name not in _tied(base)]
        if missing or unexpected:
            what = f"lacks {missing[0]}" if missing else f"has an unknown tensor {unexpected[0]}"
            raise BundleError(f"{self.folder / WEIGHTS} does not fit its {CONFIG}: it {what}")
        base.tie_weights()


def read(folder: Path) -> Bundle:
    """Reads a bundle.

    Raises:
        BundleError: says which file is missing or broken.
    """
    if not folder.is_dir():
        raise BundleError(f"there is no model folder {folder}")
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise BundleError(f"{folder} is not a model folder: it has no {name}")
    try:
        data = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(f"{folder / CONFIG} is not JSON: {_brief(error)}") from error
    if not isinstance(data, dict) or data.get("model_type") != "mfn":
        raise BundleError(f"{folder} holds no MFN model (its {CONFIG} does not say model_type mfn)")
    if data.get("format_version") != FORMAT_VERSION:
        raise BundleError(
            f"{folder} has format version {data.get('format_version')}; this version of mfn_core reads {FORMAT_VERSION}"
        )
    try:
        base_config = AutoConfig.for_model(**data["base_config"])
        base: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            base_config, trust_remote_code=False
        )
        config = MFNConfig.from_json(data["mfn"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / CONFIG} cannot be understood: {_brief(error)}") from error
    try:
        weights = safetensors.torch.load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{folder / WEIGHTS} is broken: {_brief(error)}") from error
    return Bundle(folder, base, config, _read_tokenizer(folder), weights)


def write(
    folder: Path,
    base: PreTrainedModel,
    config: MFNConfig,
    tokenizer: PreTrainedTokenizerBase | None,
    dtype: torch.dtype,
) -> None:
    """Writes a bundle that `read` reads. Tied tensors are stored once."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in _stored(base, base.state_dict()).items()
    }
    safetensors.torch.save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    data = {
        "model_type": "mfn",
        "format_version": FORMAT_VERSION,
        "base_config": base.config.to_dict(),
        "mfn": config.to_json(),
    }
    (folder / CONFIG).write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def fingerprint(
    base: PreTrainedModel,
    config: MFNConfig,
    tokenizer: PreTrainedTokenizerBase | None,
    weights: Mapping[str, Tensor],
) -> str:
    """SHA-256, in hexadecimal, of what decides the model's numbers: configuration, vocabulary, weights.

    Weights enter in single precision, so that a bundle has one fingerprint whatever dtype it is stored in without loss.
    """
    digest = hashlib.sha256()
    shape = {key: value for key, value in base.config.to_diff_dict().items() if key not in _NOT_IDENTITY}
    digest.update(json.dumps({"base": shape, "mfn": config.to_json()}, sort_keys=True, default=str).encode())
    if tokenizer is not None:
        digest.update(json.dumps(sorted(tokenizer.get_vocab().items())).encode())
    for name, tensor in sorted(_stored(base, weights).items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


_NOT_IDENTITY = {
    "transformers_version",
    "dtype",
    "torch_dtype",
    "_name_or_path",
    "use_cache",
    "architectures",
}


def _tied(base: PreTrainedModel) -> set[str]:
    """Names of tensors that are another's by tying, so that they are not stored."""
    if not base.config.tie_word_embeddings:
        return set()
    return set(cast("Mapping[str, str]", getattr(base, "_tied_weights_keys", None) or {}))


def _stored(base: PreTrainedModel, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tied = _tied(base)
    return {name: tensor for name, tensor in weights.items() if name not in tied}


def _read_tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
    if not (folder / TOKENIZER).is_file():
        return None
    try:
        return cast(PreTrainedTokenizerBase, PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True))
    except Exception as error:  # the tokenizers library raises bare Exception for a file it cannot parse
        raise BundleError(f"{folder / TOKENIZER} is broken: {_brief(error)}") from error


def _brief(error: BaseException) -> str:
    """The first line of an error's text, cut to a readable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line: Any = lines[-1] if isinstance(error, RuntimeError) and len(lines) > 1 else (lines or [repr(error)])[0]
    return cast(str, line[:200])
