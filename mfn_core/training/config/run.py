"""A training run as data: read from TOML, overridden on the command line, written into the run folder as resolved."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

from mfn_core.config import MFNLayerConfig
from mfn_core.errors import ConfigError
from mfn_core.training.optimizer import OptimizerConfig


@dataclass(frozen=True)
class ModelConfig:
    """The Transformer: a Llama with tied embeddings.

    Attributes:
        width: d, channels of the residual stream.
        blocks, heads, mlp: how many blocks, attention heads, and channels inside the MLP.
        context: tokens in a text.
        vocabulary: size of the byte-level BPE vocabulary that is fitted to the mix.
    """

    width: int = 256
    blocks: int = 5
    heads: int = 4
    mlp: int = 688
    context: int = 256
    vocabulary: int = 4096

    def __post_init__(self) -> None:
        _require_positive(self, "width", "blocks", "heads", "mlp")
        _require(self.context >= 2, f"model.context must be at least 2, not {self.context}")
        _require(self.width % (2 * self.heads) == 0, f"model.width must be a multiple of 2 × heads ({2 * self.heads})")
        # Tokens are kept as uint16, and each byte needs one.
        _require(257 <= self.vocabulary <= 65_536, f"model.vocabulary must lie in 257 … 65536, not {self.vocabulary}")


@dataclass(frozen=True)
class MFNTraining:
    """The layers of features and the schedules that lead to them.

    Attributes:
        layers: the blocks to equip; empty for a dense twin.
        n_features, k, norm, blend_into: as `MFNLayerConfig` says, k being the final K.
        k_first, k_until: K starts at `k_first` and reaches `k` at this share of the steps.
        alpha_from, alpha_until: α is 0 up to the first share of the steps, 1 from the second on.
        recon, auxk: weights of the losses, each a mean over layers.
        auxk_k: dead features that take part in a token's auxiliary reconstruction.
        dead_after: tokens without firing after which a feature is dead.
    """

    layers: tuple[int, ...] = ()
    n_features: int = 2048
    k: int = 32
    norm: str = "rms"
    blend_into: str = "residual"
    k_first: int = 64
    k_until: float = 0.25
    alpha_from: float = 0.15
    alpha_until: float = 0.55
    recon: float = 0.5
    auxk: float = 0.03125
    auxk_k: int = 64
    dead_after: int = 100_000

    def __post_init__(self) -> None:
        _require_positive(self, "auxk_k", "dead_after")
        _require(self.recon >= 0 and self.auxk >= 0, "mfn.recon and mfn.auxk must not be negative")
        _require(
            self.k <= self.k_first <= self.n_features,
            f"mfn.k_first must lie between k ({self.k}) and n_features ({self.n_features}), not {self.k_first}",
        )
        _require(
            0 <= self.alpha_from <= self.alpha_until <= 1 and 0 <= self.k_until <= 1,
            "mfn.alpha_from ≤ alpha_until and k_until are shares of the run, between 0 and 1",
        )

    def layer(self) -> MFNLayerConfig:
        """The configuration of one layer as it is at the end of the run."""
        return MFNLayerConfig(
            self.n_features, self.k, norm=cast(Any, self.norm), blend_into=cast(Any, self.blend_into), alpha=1.0
        )


@dataclass(frozen=True)
class SourceConfig:
    """One part of the text.

    Attributes:
        share: of the training tokens, relative to the other sources' shares.
        train, valid: corpora as `read_corpus` takes them; relative paths start at the data folder. The source
            `structured` is generated and needs neither.
        about: what it is, where it comes from, its licence; for the model card.
    """

    share: float
    train: str = ""
    valid: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        _require(self.share > 0, f"a source's share must be positive, not {self.share}")


@dataclass(frozen=True)
class DataConfig:
    """The mix of texts.

    Attributes:
        sources: by name.
        max_document: characters of a document that are used; longer ones are cut there.
        tokenizer_characters: how much of the mix the vocabulary is fitted to.
        valid_tokens: how much text held-out numbers are measured on.
    """

    sources: Mapping[str, SourceConfig] = field(default_factory=dict)
    max_document: int = 6000
    tokenizer_characters: int = 20_000_000
    valid_tokens: int = 200_000

    def __post_init__(self) -> None:
        _require_positive(self, "max_document", "tokenizer_characters", "valid_tokens")


@dataclass(frozen=True)
class TrainConfig:
    """One run.

    Attributes:
        name: of the model.
        description: one or two sentences, for the model card.
        tokens: how many to train on; fixes the number of steps.
        batch: texts of `model.context` tokens in a step.
        autocast: `bf16` or `none`.
        log_every, eval_every, checkpoint_every: in steps.
    """

    name: str = "mfn"
    description: str = ""
    seed: int = 0
    tokens: int = 1_000_000
    batch: int = 8
    autocast: str = "bf16"
    log_every: int = 10
    eval_every: int = 250
    checkpoint_every: int = 250
    model: ModelConfig = field(default_factory=ModelConfig)
    mfn: MFNTraining = field(default_factory=MFNTraining)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self) -> None:
        if self.autocast not in ("bf16", "none"):
            raise ConfigError(f"autocast must be bf16 or none, not {self.autocast!r}")
        _require_positive(self, "batch", "log_every", "eval_every", "checkpoint_every")
        if self.tokens < self.tokens_per_step:
            raise ConfigError(f"tokens must be at least one step's {self.tokens_per_step}, not {self.tokens}")
        for number in self.mfn.layers:
            if not 0 <= number < self.model.blocks:
                raise ConfigError(f"mfn.layers names block {number}; there are blocks 0 to {self.model.blocks - 1}")
        self.mfn.layer()

    @property
    def tokens_per_step(self) -> int:
        """Tokens in one batch."""
        return self.batch * self.model.context

    @property
    def steps(self) -> int:
        """Optimiser steps in the run."""
        return self.tokens // self.tokens_per_step

    def same_run(self, other: TrainConfig) -> bool:
        """Whether the other config trains the same weights: texts for the model card may differ."""
        return _without_texts(self) == _without_texts(other)

    def to_json(self) -> dict[str, Any]:
        """Plain data, every default filled in; `from_json` reads it back."""
        return cast("dict[str, Any]", json.loads(json.dumps(dataclasses.asdict(self))))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainConfig:
        """Reads plain data.

        Raises:
            ConfigError: an unknown key or a value of another type.
        """
        return _build(cls, data, "")


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Reads a TOML file.

    Args:
        path: the file.
        overrides: `key.path=value`, the value in TOML's notation; a bare word is a string.

    Raises:
        ConfigError: the file cannot be read, or holds what is not known.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(f"an override looks like mfn.k=16, not {override!r}")
        *parents, last = key.strip().split(".")
        place = data
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{override!r}: {parent} is a value, not a section")
        place[last] = _value(text.strip())
    return TrainConfig.from_json(data)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(message)


def _require_positive(section: object, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        _require(value > 0, f"{name} must be positive, not {value}")


def _without_texts(config: TrainConfig) -> TrainConfig:
    sources = {name: dataclasses.replace(source, about="") for name, source in config.data.sources.items()}
    return dataclasses.replace(config, description="", data=dataclasses.replace(config.data, sources=sources))


T = TypeVar("T")


def _build(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """A dataclass from plain data, its nested dataclasses too, with every key checked."""
    hints = get_type_hints(cls)
    unknown = set(data) - set(hints)
    if unknown:
        name = f"{where}{sorted(unknown)[0]}"
        raise ConfigError(f"unknown setting {name}; known here: {', '.join(sorted(hints))}")
    values: dict[str, Any] = {}
    for key, value in data.items():
        values[key] = _convert(hints[key], value, f"{where}{key}")
    return cls(**values)


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is a section, not a value")
        return _build(cast("type[Any]", kind), value, f"{where}.")
    if kind == Mapping[str, SourceConfig]:
        return {name: _build(SourceConfig, source, f"{where}.{name}.") for name, source in value.items()}
    if kind == tuple[int, ...]:
        if not isinstance(value, list | tuple) or not all(type(n) is int for n in value):
            raise ConfigError(f"{where} must be a list of whole numbers, not {value!r}")
        return tuple(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where} must be of type {kind.__name__}, not {value!r}")
    return value
