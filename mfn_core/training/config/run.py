"""The whole of a run's config."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mfn_core.training.config.checks import require, require_positive
from mfn_core.training.config.data import DataConfig
from mfn_core.training.config.features import MFNTraining
from mfn_core.training.config.model import ModelConfig
from mfn_core.training.config.reading import build, read_toml
from mfn_core.training.optimizer import OptimizerConfig


@dataclass(frozen=True)
class TrainConfig:
    """One run.

    Attributes:
        name: of the model.
        description: one or two sentences, for the model card.
        tokens: how many to train on; fixes the number of steps.
        batch: texts of `model.context` tokens in a step.
        autocast: `bf16` or `none`.
        ema: decay a step of a running mean of the weights, which is what is then measured and exported; 0 for none.
        log_every, eval_every, checkpoint_every: in steps.
    """

    name: str = "mfn"
    description: str = ""
    seed: int = 0
    tokens: int = 1_000_000
    batch: int = 8
    autocast: str = "bf16"
    ema: float = 0.0
    log_every: int = 10
    eval_every: int = 250
    checkpoint_every: int = 250
    model: ModelConfig = field(default_factory=ModelConfig)
    mfn: MFNTraining = field(default_factory=MFNTraining)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self) -> None:
        require(self.autocast in ("bf16", "none"), f"autocast must be bf16 or none, not {self.autocast!r}")
        require(0 <= self.ema < 1, f"ema is a decay, from 0 (off) to below 1, not {self.ema}")
        require_positive(self, "batch", "log_every", "eval_every", "checkpoint_every")
        require(
            self.tokens >= self.tokens_per_step,
            f"tokens must be at least one step's {self.tokens_per_step}, not {self.tokens}",
        )
        for number in self.mfn.layers:
            require(
                0 <= number < self.model.blocks,
                f"mfn.layers names block {number}; there are blocks 0 to {self.model.blocks - 1}",
            )

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
        return build(cls, data)


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Reads a TOML file.

    Args:
        path: the file.
        overrides: `key.path=value`, the value in TOML's notation; a bare word is a string.

    Raises:
        ConfigError: the file cannot be read, or holds what is not known.
    """
    return TrainConfig.from_json(read_toml(path, overrides))


def _without_texts(config: TrainConfig) -> TrainConfig:
    sources = {name: dataclasses.replace(source, about="") for name, source in config.data.sources.items()}
    return dataclasses.replace(config, description="", data=dataclasses.replace(config.data, sources=sources))
