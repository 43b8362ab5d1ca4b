"""The model of a run: new, equipped, or built again from what the run folder says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from mfn_core.baselines.config import TokenTableConfig
from mfn_core.baselines.sae import SAE
from mfn_core.baselines.wider import widen_mlps
from mfn_core.config import MFNConfig
from mfn_core.errors import ConfigError
from mfn_core.model import MFNModel
from mfn_core.training.config import TrainConfig
from mfn_core.training.objective import Objective
from mfn_core.training.pressures import Pressures
from mfn_core.training.sae import SAEObjective
from mfn_core.training.tuning import TuningObjective
from mfn_core.world import ALONE, World

STRUCTURE = "model.json"  # in a run's data folder


def new_model(config: TrainConfig, tokenizer: Any) -> MFNModel:
    """The model of a config as it is before the first step.

    A new Transformer's initial weights depend on the seed alone, so that a dense twin starts from the same ones.

    Raises:
        ConfigError: the base cannot be loaded or equipped as the config says.
    """
    torch.manual_seed(config.seed)
    model = _on_base(config, tokenizer) if config.base.path else _from_scratch(config, tokenizer)
    return _prepared(model, config)


def same_model(config: TrainConfig, structure: dict[str, Any], tokenizer: Any) -> MFNModel:
    """A model of the structure that `structure_of` gave, its weights still to be loaded."""
    base = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        AutoConfig.for_model(**structure["base_config"]), trust_remote_code=False
    )
    base.generation_config = GenerationConfig.from_dict(structure["generation_config"])
    return _prepared(MFNModel.equip(base, MFNConfig.from_json(structure["mfn"]), tokenizer), config)


def structure_of(model: MFNModel) -> dict[str, Any]:
    """All of a model but its weights and its tokenizer, as plain data."""
    return {
        "base_config": model.base.config.to_dict(),
        "generation_config": model.base.generation_config.to_dict(),
        "mfn": model.config.to_json(),
    }


def write_structure(model: MFNModel, data: Path) -> None:
    """Puts the structure into the data folder of a run, for `read_structure`."""
    (data / STRUCTURE).write_text(json.dumps(structure_of(model), indent=2) + "\n", encoding="utf-8")


def read_structure(data: Path) -> dict[str, Any]:
    """What `write_structure` wrote. Raises OSError."""
    return cast("dict[str, Any]", json.loads((data / STRUCTURE).read_text(encoding="utf-8")))


def objective_of(model: MFNModel, config: TrainConfig, world: World = ALONE) -> Objective:
    """What a model is trained for."""
    if config.sae.replace:
        return TuningObjective(model, config, world)
    return SAEObjective(model, config, world) if config.sae.layers else Pressures(model, config, world)


def base_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer that comes with a base.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    _settings(path)
    try:
        return cast(PreTrainedTokenizerBase, AutoTokenizer.from_pretrained(path, trust_remote_code=False))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the tokenizer of base.path {path} cannot be loaded: {brief(error)}") from error


def start_token(path: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that begins a document in texts for a base: what it calls the beginning, else the end of a text.

    Raises:
        ConfigError: it has neither.
    """
    settings = _settings(path)
    for token in (settings.get("bos_token_id"), tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise ConfigError(f"base.path {path} has no token that begins or ends a text")


def has_layers(path: str) -> bool:
    """Whether a base has layers of features already. A bundle without any, such as a dense twin, has not.

    Raises:
        ConfigError: it cannot be read.
    """
    return _is_bundle(path) and bool(_settings(path)["mfn"]["layers"])


def _is_bundle(path: str) -> bool:
    return bool(path) and _settings(path).get("model_type") == "mfn"


def _from_scratch(config: TrainConfig, tokenizer: Any) -> MFNModel:
    shape = config.model
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.width,
            intermediate_size=shape.mlp,
            num_hidden_layers=shape.blocks,
            num_attention_heads=shape.heads,
            max_position_embeddings=shape.context,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=None,
        )
    )
    return MFNModel.equip(base, _equipment(config, shape.blocks, len(tokenizer)), tokenizer)


def _on_base(config: TrainConfig, tokenizer: Any) -> MFNModel:
    path = config.base.path
    if config.sae.replace and not has_layers(path):
        raise ConfigError(f"sae.replace trains a model on with the SAEs that it has, and {path} has none")
    if _is_bundle(path):
        if config.base.mlp:
            raise ConfigError(f"base.mlp widens a model of transformers, and {path} is a bundle")
        model = MFNModel.from_pretrained(path)
        wanted = _equipment(config, model.n_blocks, model.vocab_size)
        if not model.coders:  # a dense twin
            return MFNModel.equip(model.base, wanted, tokenizer)
        _check_equipment(model, wanted, path)
        for coder in model.coders.values():
            if isinstance(coder, SAE):
                coder.replaces = config.sae.replace
        return model
    try:
        base: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise ConfigError(f"base.path {path} cannot be loaded: {brief(error)}") from error
    if base.config.max_position_embeddings < config.model.context:
        raise ConfigError(
            f"model.context must be at most {base.config.max_position_embeddings}, which is what {path} can read"
        )
    if config.base.mlp:
        widen_mlps(base, config.base.mlp)
    return MFNModel.equip(base, _equipment(config, base.config.num_hidden_layers, base.config.vocab_size), tokenizer)


def _check_equipment(model: MFNModel, config: MFNConfig, path: str) -> None:
    """A bundle keeps its layers; what the config says of them has to be true."""
    wanted, found = config.to_json()["layers"], model.config.to_json()["layers"]
    for layers in (wanted, found):
        for layer in layers.values():
            for moved in ("alpha", "k", "replaces"):
                layer.pop(moved, None)
    if wanted != found:
        raise ConfigError(
            f"the bundle {path} has layers of its own, which are trained on, and the config says others; it has {found}"
        )


def _equipment(config: TrainConfig, n_blocks: int, vocabulary: int) -> MFNConfig:
    if config.mfn.tables:
        return MFNConfig(
            dict.fromkeys(config.mfn.tables, TokenTableConfig(vocabulary, site=cast(Any, config.mfn.site)))
        )
    return config.sae.equipment() if config.sae.layers else config.mfn.equipment(n_blocks)


def _prepared(model: MFNModel, config: TrainConfig) -> MFNModel:
    """Weights that are not to move are told so: SAEs leave their model as it is, or the model them."""
    replaced = config.sae.replace
    model.base.requires_grad_(replaced or not (config.base.freeze or config.sae.layers))
    for coder in model.coders.values():
        coder.requires_grad_(not replaced)
    return model


def _settings(path: str) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = PreTrainedConfig.get_config_dict(path)[0]
    except (OSError, ValueError) as error:
        raise ConfigError(f"base.path {path} cannot be read: {brief(error)}") from error
    if not settings:
        raise ConfigError(f"base.path {path} is neither the folder of a model nor a model's name on the hub")
    return settings


def brief(error: Exception) -> str:
    """The first line of what an error says."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
