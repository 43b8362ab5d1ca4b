"""A run that begins where another stood: a dense twin and its model share all that comes before the layers enter.

Both would otherwise be trained twice over the same steps, to the same bits.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedTokenizerFast

from mfn_core.errors import ConfigError
from mfn_core.training import checkpoint
from mfn_core.training.average import WeightAverage
from mfn_core.training.building import new_model, objective_of, write_structure
from mfn_core.training.checkpoint import Checkpoint
from mfn_core.training.config import MFNTraining, TrainConfig
from mfn_core.training.objective import state_of
from mfn_core.training.prepare import take_data
from mfn_core.training.trainer import DENSE


def branch(config: TrainConfig, folder: Path, source: Path) -> int:
    """Fills a new run folder with the state of another run before any layer took part in it.

    Args:
        config: of the new run: the other's, but for `[mfn]`, `optimizer.mfn_lr`, `lookup_lr` and texts.
        folder: of the new run. One that has a checkpoint already is left as it is.
        source: folder of the other run: a dense one, or one whose layers entered after its first step.

    Returns:
        The steps that are taken over; 0 where the folder was left as it is.

    Raises:
        ConfigError: the other run is of another kind, or has layers from an earlier step on.
        MFNError: it cannot be read, or the folder not be written.
    """
    if checkpoint.has_checkpoint(folder / "checkpoints"):
        return 0
    theirs = _config_of(source)
    if not without_layers(config).same_run(without_layers(theirs)):
        raise ConfigError(f"the run in {source} differs in more than its layers of features: it cannot be gone on from")
    found = checkpoint.load_latest(source / (DENSE if theirs.mfn.equips else "checkpoints"))
    if found is None:
        raise ConfigError(f"{source} holds nothing from before layers of features entered")
    last = config.entry if config.mfn.equips else config.steps
    if found.step > last:
        raise ConfigError(f"{source} stands at step {found.step}, and this run's layers enter at step {last}")
    data = folder / "data"
    take_data(source, folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(data / "tokenizer", local_files_only=True)
    model = new_model(config, tokenizer)
    write_structure(model, data)
    own = model.base.state_dict()
    features = {id(p) for layer in model.coders.values() for p in layer.parameters()}
    shared = {name for name, p in model.base.named_parameters(remove_duplicate=False) if id(p) not in features}
    objective = objective_of(model, config)
    mean = WeightAverage(model, objective, config.ema).mean if config.ema else {}
    parts = {
        "model": {**own, **_of(shared, found.part("model"))},
        "optimizer": {k: v for k, v in found.part("optimizer").items() if k.rsplit("/", 1)[0] in shared},
        "objective": state_of(objective),
        "average": {**mean, **_of(shared & mean.keys(), found.part("average"))},
        "stream": found.part("stream"),
    }
    shutil.copy(source / "metrics.jsonl", folder / "metrics.jsonl")
    checkpoint.save(folder / "checkpoints", Checkpoint(found.step, checkpoint.joined(parts), found.state))
    return found.step


def _config_of(folder: Path) -> TrainConfig:
    try:
        return TrainConfig.from_json(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{folder} is not the folder of a training run: {error.filename} is missing") from error


def without_layers(config: TrainConfig) -> TrainConfig:
    """A config without what concerns layers of features, which a section of defaults has none of, and its name."""
    optimizer = dataclasses.replace(config.optimizer, mfn_lr=1.0, lookup_lr=0.0)
    return dataclasses.replace(config, name="", mfn=MFNTraining(), optimizer=optimizer)


def _of(names: set[str], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name in names}
