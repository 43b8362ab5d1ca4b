"""A training run as data: read from TOML, overridden on the command line, written into the run folder as resolved.

One file a section; the optimiser's stands beside the optimisers.
"""

from mfn_core.training.config.data import DataConfig, SourceConfig
from mfn_core.training.config.features import MFNTraining
from mfn_core.training.config.machine import MachineConfig
from mfn_core.training.config.model import BaseConfig, ModelConfig
from mfn_core.training.config.run import TrainConfig, load_config
from mfn_core.training.config.sae import SAETraining

__all__ = [
    "BaseConfig",
    "DataConfig",
    "MFNTraining",
    "MachineConfig",
    "ModelConfig",
    "SAETraining",
    "SourceConfig",
    "TrainConfig",
    "load_config",
]
