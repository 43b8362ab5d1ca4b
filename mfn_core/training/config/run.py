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
from mfn_core.training.config.machine import MachineConfig
from mfn_core.training.config.model import BaseConfig, ModelConfig
from mfn_core.training.config.reading import build, read_toml
from mfn_core.training.config.sae import SAETraining
from mfn_core.training.optimizer import OptimizerConfig
from mfn_core.training.precision import CHOICES


@dataclass(frozen=True)
class TrainConfig:
    """One run.

    Attributes:
        name: of the model.
        description: one or two sentences, for the model card.
        tokens: how many to train on; fixes the number of steps.
        batch: texts of `model.context` tokens in a step.
        autocast: precision of the forward passes: `bf16`, `none` (float32), or `auto`: bf16 where the device has units
            for it.
        ema: decay a step of a running mean of the weights, which is what is then measured and exported; 0 for none.
        log_every, eval_every, checkpoint_every: in steps.
    """

    name: str = "mfn"
    description: str = ""
    seed: int = 0
    tokens: int = 1_000_000
    batch: int = 8
    autocast: str = "auto"
    ema: float = 0.0
    log_every: int = 10
    eval_every: int = 250
    checkpoint_every: int = 250
    model: ModelConfig = field(default_factory=ModelConfig)
    base: BaseConfig = field(default_factory=BaseConfig)
    mfn: MFNTraining = field(default_factory=MFNTraining)
    sae: SAETraining = field(default_factory=SAETraining)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    machine: MachineConfig = field(default_factory=MachineConfig)

    def __post_init__(self) -> None:
        require(self.autocast in CHOICES, f"autocast must be one of {', '.join(CHOICES)}, not {self.autocast!r}")
        require(0 <= self.ema < 1, f"ema is a decay, from 0 (off) to below 1, not {self.ema}")
        require_positive(self, "batch", "log_every", "eval_every", "checkpoint_every")
        require(
            self.tokens >= self.tokens_per_step,
            f"tokens must be at least one step's {self.tokens_per_step}, not {self.tokens}",
        )
        require(
            not (self.sae.layers and (self.mfn.layers or self.mfn.resid_final)),
            "a run trains layers of features or SAEs, not both: leave mfn.layers or sae.layers empty",
        )
        require(
            not self.sae.replace or bool(self.sae.layers and self.base.path and not self.base.freeze),
            "sae.replace trains a model on with the SAEs that it has: give base.path and sae.layers, and leave "
            "base.freeze off",
        )
        require(
            not (self.mfn.tables and (self.mfn.layers or self.mfn.resid_final or self.sae.layers)),
            "mfn.tables are for a dense model: leave mfn.layers, mfn.resid_final and sae.layers empty",
        )
        for section, layers in (("mfn", self.mfn.layers), ("mfn", self.mfn.tables), ("sae", self.sae.layers)):
            for number in layers if not self.base.path else ():
                require(
                    0 <= number < self.model.blocks,
                    f"{section}.layers names block {number}; there are blocks 0 to {self.model.blocks - 1}",
                )

    @property
    def tokens_per_step(self) -> int:
        """Tokens in one batch."""
        return self.batch * self.model.context

    @property
    def steps(self) -> int:
        """Optimiser steps in the run."""
        return self.tokens // self.tokens_per_step

    @property
    def text_seed(self) -> int:
        """What fixes the text and the vocabulary."""
        return self.seed if self.data.seed == -1 else self.data.seed

    @property
    def entry(self) -> int:
        """Steps before layers of features, or token tables, enter."""
        return round(self.mfn.enter * self.steps) if self.mfn.equips else 0

    def same_run(self, other: TrainConfig) -> bool:
        """Whether the other config trains the same weights: texts for the card and use of the machine may differ."""
        return _essence(self) == _essence(other)

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


def _essence(config: TrainConfig) -> TrainConfig:
    sources = {name: dataclasses.replace(source, about="") for name, source in config.data.sources.items()}
    data = dataclasses.replace(config.data, sources=sources)
    return dataclasses.replace(config, description="", data=data, machine=MachineConfig())
