"""A model as a folder: `config.json`, `model.safetensors`, the tokenizer's JSON. Nothing in it is executed.

The folder is what transformers' own `save_pretrained` writes for the classes of `mfn_core.hf`, so that each side reads
what the other wrote. Large models lie in several files of weights with an index, as is usual on a hub.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from mfn_core.config import FORMAT_VERSION, MODEL_TYPE, MFNConfig
from mfn_core.errors import BundleError
from mfn_core.hf.configuration import as_json

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
INDEX, SHARDS = "model.safetensors.index.json", "model-*-of-*.safetensors"
GENERATION = "generation_config.json"
# What is fetched from a hub: no pickles, no code. A chat template is text that a sandbox fills in, if it is asked for.
FETCHED, NOT_FETCHED = ["*.safetensors", "*.json", "chat_template.jinja"], "*/*"


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


def locate(where: str | os.PathLike[str], **hub: Any) -> Path:
    """The folder of a bundle, fetched from a hub if need be.

    Args:
        where: a local folder; or, if it is a string and there is no such folder, a name on the hub (`owner/name`).
        hub: `revision`, `token`, `cache_dir`, `local_files_only`, `force_download`, as `snapshot_download` takes them.

    Raises:
        BundleError: there is no such folder, and no bundle of that name on the hub; or the hub cannot be reached.
    """
    folder = Path(where)
    if folder.is_dir():
        return folder
    if not isinstance(where, str):
        raise BundleError(f"there is no model folder {where}")
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import (
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    neither = f"there is no model folder {where}"
    try:
        _read_config(Path(hf_hub_download(where, CONFIG, **hub)).parent)  # before gigabytes of another model come
        return Path(snapshot_download(where, allow_patterns=FETCHED, ignore_patterns=NOT_FETCHED, **hub))
    except HFValidationError:
        raise BundleError(neither) from None
    except RevisionNotFoundError as error:
        raise BundleError(f"{where} on the hub has no revision {hub.get('revision')}") from error
    except RepositoryNotFoundError as error:
        raise BundleError(f"{neither}, and no such model on the hub, or none that you may see") from error
    except LocalEntryNotFoundError as error:
        raise BundleError(f"{neither}, nor is it in the hub's cache, and the hub cannot be reached") from error
    except _hub_errors() as error:
        raise BundleError(f"{neither}, and it cannot be fetched from the hub: {_brief(error)}") from error


def push(
    save: Callable[[Path], None],
    name: str,
    private: bool | None,
    message: str,
    revision: str | None,
    token: str | None,
) -> str:
    """Uploads what `save` writes into a folder, as one commit. Weights that lie there in several files are deleted.

    Returns:
        The commit's address.

    Raises:
        BundleError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    hub = HfApi(token=token)
    try:
        repository = hub.create_repo(name, private=private, exist_ok=True).repo_id
        if revision is not None:
            hub.create_branch(repository, branch=revision, exist_ok=True)
        with tempfile.TemporaryDirectory() as space:
            folder = Path(space)
            save(folder)
            here = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
            there = set(hub.list_repo_files(repository, revision=revision))
            stale = {name for name in there - here if name == INDEX or fnmatch(name, SHARDS)}
            operations: list[CommitOperationAdd | CommitOperationDelete] = [
                *(CommitOperationAdd(name, str(folder / name)) for name in sorted(here)),
                *(CommitOperationDelete(name) for name in sorted(stale)),
            ]
            done = hub.create_commit(repository, operations, commit_message=message, revision=revision)
    except _hub_errors() as error:
        raise BundleError(f"cannot write {name} to the hub: {_brief(error)}") from error
    return str(done.commit_url)


def _hub_errors() -> tuple[type[Exception], ...]:
    """What goes wrong between here and a hub: among it errors of its HTTP library, which has changed over versions."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    return OSError, HFValidationError, *cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)


def read(folder: Path) -> Bundle:
    """Reads a bundle.

    Raises:
        BundleError: says which file is missing or broken.
    """
    if not folder.is_dir():
        raise BundleError(f"there is no model folder {folder}")
    data = _read_config(folder)
    if not (folder / WEIGHTS).is_file() and not (folder / INDEX).is_file():
        raise BundleError(f"{folder} is not a model folder: it has no {WEIGHTS}")
    try:
        base: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            AutoConfig.for_model(**data["base_config"]), trust_remote_code=False
        )
        config = MFNConfig.from_json(data["mfn"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / CONFIG} cannot be understood: {_brief(error)}") from error
    if (folder / GENERATION).is_file():
        try:
            base.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
        except (TypeError, ValueError, OSError) as error:
            raise BundleError(f"{folder / GENERATION} is broken: {_brief(error)}") from error
    return Bundle(folder, base, config, read_tokenizer(folder), _read_weights(folder))


def write(
    folder: Path,
    base: PreTrainedModel,
    config: MFNConfig,
    tokenizer: PreTrainedTokenizerBase | None,
    dtype: torch.dtype,
) -> None:
    """Writes a bundle that `read` reads. Tied tensors are stored once; weights in several files are replaced by one."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in _stored(base, base.state_dict()).items()
    }
    safetensors.torch.save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    for shard in (folder / INDEX, *folder.glob(SHARDS)):
        shard.unlink(missing_ok=True)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    if base.can_generate():
        base.generation_config.to_json_file(folder / GENERATION)
    data = as_json(base_config(base), config, dtype)
    (folder / CONFIG).write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def base_config(base: PreTrainedModel) -> PreTrainedConfig:
    """The configuration of the model below the codes, however it was loaded."""
    return cast(PreTrainedConfig, getattr(base.config, "base_config", base.config))


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
    shape = {key: value for key, value in base_config(base).to_diff_dict().items() if key not in _NOT_IDENTITY}
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
    if not base_config(base).tie_word_embeddings:
        return set()
    return set(cast("Mapping[str, str]", getattr(base, "_tied_weights_keys", None) or {}))


def _stored(base: PreTrainedModel, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tied = _tied(base)
    return {name: tensor for name, tensor in weights.items() if name not in tied}


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer in a bundle's folder, or None where it has none.

    Raises:
        BundleError: it is broken.
    """
    if not (folder / TOKENIZER).is_file():
        return None
    try:
        return cast(PreTrainedTokenizerBase, PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True))
    except Exception as error:  # the tokenizers library raises bare Exception for a file it cannot parse
        raise BundleError(f"{folder / TOKENIZER} is broken: {_brief(error)}") from error


def _read_config(folder: Path) -> dict[str, Any]:
    if not (folder / CONFIG).is_file():
        raise BundleError(f"{folder} is not a model folder: it has no {CONFIG}")
    data = _read_json(folder / CONFIG)
    if not isinstance(data, dict) or data.get("model_type") != MODEL_TYPE:
        raise BundleError(f"{folder} holds no MFN model (its {CONFIG} does not say model_type mfn)")
    if data.get("format_version") != FORMAT_VERSION:
        raise BundleError(
            f"{folder} has format version {data.get('format_version')}; this version of mfn_core reads {FORMAT_VERSION}"
        )
    return data


def _read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors, from the one file or, where there is none, from those that the index names."""
    names = {WEIGHTS}
    if not (folder / WEIGHTS).is_file():
        index = _read_json(folder / INDEX)
        try:
            names = set(index["weight_map"].values())
            strange = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]
        except (AttributeError, KeyError, TypeError):
            raise BundleError(f"{folder / INDEX} has no weight_map") from None
        if strange:
            raise BundleError(f"{folder / INDEX} names {strange[0]!r}, which is no file of weights beside it")
    weights: dict[str, Tensor] = {}
    for name in sorted(names):
        if not (folder / name).is_file():
            raise BundleError(f"{folder} is incomplete: {INDEX} names {name}, which is not there")
        try:
            weights |= safetensors.torch.load_file(folder / name)
        except (SafetensorError, OSError) as error:
            raise BundleError(f"{folder / name} is broken: {_brief(error)}") from error
    return weights


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(f"{path} is not JSON: {_brief(error)}") from error


def _brief(error: BaseException) -> str:
    """The first line of an error's text, cut to a readable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line: Any = lines[-1] if isinstance(error, RuntimeError) and len(lines) > 1 else (lines or [repr(error)])[0]
    return cast(str, line[:200])
