"""One training run from config to bundle, in a folder that holds everything needed to repeat it."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from transformers import PreTrainedTokenizerFast

from mfn_core.errors import ConfigError
from mfn_core.provenance import commit, versions
from mfn_core.training.board import MISSING, Board, available
from mfn_core.training.branch import branch
from mfn_core.training.building import new_model, read_structure, same_model, write_structure
from mfn_core.training.calibrate import begin_layers
from mfn_core.training.checkpoint import has_checkpoint
from mfn_core.training.config import TrainConfig
from mfn_core.training.metrics import Metrics
from mfn_core.training.parallel import processes
from mfn_core.training.precision import resolved
from mfn_core.training.prepare import make_data, open_batches
from mfn_core.training.trainer import Trainer
from mfn_core.world import World


def train(
    config: TrainConfig,
    folder: Path,
    data_folder: Path,
    report: Callable[[Metrics], None] | None = None,
    note: Callable[[str], None] | None = None,
    begin: Path | None = None,
) -> Trainer:
    """Trains, or goes on where the folder's newest checkpoint stands. Under `torchrun`, with all its processes.

    Args:
        config: what to train.
        folder: the run folder; made if need be. A folder of another config is refused.
        data_folder: where relative corpus paths of the config start.
        report: called with each line of metrics, on the first process.
        note: called with a line on what is being done before the first step, on the first process.
        begin: folder of a run that is gone on from, as far as it went without layers of features (see `branch`). Only
            looked at while the run folder has no checkpoint of its own.

    Returns:
        The trainer, at its last step.

    Raises:
        ConfigError: the folder belongs to another config, or to another process; a device or a base cannot be used.
        CorpusError: a source cannot be read.
    """
    say = note or (lambda line: None)
    with processes(config.machine.device) as device:
        world = World.current()
        if world.rank > 0:
            world.wait()  # for the first, which makes what all read
            return _train(config, folder, data_folder, device, None, lambda line: None)
        folder.mkdir(parents=True, exist_ok=True)
        with _sole_owner(folder):
            _claim(folder, config, device)
            if begin is not None and (taken := branch(config, folder, begin)):
                say(f"the first {taken} steps are those of {begin}")
            make_data(config, folder / "data", data_folder, say)
            world.wait()
            return _train(config, folder, data_folder, device, report, say)


def _train(
    config: TrainConfig,
    folder: Path,
    data_folder: Path,
    device: torch.device,
    report: Callable[[Metrics], None] | None,
    say: Callable[[str], None],
) -> Trainer:
    data = folder / "data"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(data / "tokenizer", local_files_only=True)
    batches = open_batches(config, data, data_folder, tokenizer)
    if has_checkpoint(folder / "checkpoints"):  # the weights are there
        model = same_model(config, read_structure(data), tokenizer).to(device)
    else:
        model = new_model(config, tokenizer).to(device)
        if config.entry == 0:
            begin_layers(model, config, batches, 0)
        if World.current().rank == 0:
            write_structure(model, data)
    valid = np.load(data / "valid.npy", mmap_mode="r")
    board = _board(config, folder, say)
    reports = [call for call in (report, board and board.write) if call]
    trainer = Trainer(model, config, batches, folder, valid, lambda line: [call(line) for call in reports])
    if trainer.step:
        say(f"going on from step {trainer.step} of {config.steps}")
    try:
        trainer.run()
    finally:
        if board is not None:
            board.close()
    return trainer


def _board(config: TrainConfig, folder: Path, say: Callable[[str], None]) -> Board | None:
    """Where TensorBoard's events go, if they are wanted."""
    if not config.machine.tensorboard or World.current().rank > 0:
        return None
    if not available():
        say(MISSING)
        return None
    return Board(folder / "tensorboard")


def environment(config: TrainConfig, device: torch.device) -> dict[str, str]:
    """Versions, commit, device and precision, as far as they can be found out."""
    packages = ("torch", "transformers", "tokenizers", "numpy")
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "autocast": resolved(config.autocast, device),
        **versions(packages),
    }


@contextmanager
def _sole_owner(folder: Path) -> Iterator[None]:
    """Keeps a second process out of the folder. The system lets go of the lock when the process ends, however it ends.

    Raises:
        ConfigError: another process trains here.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(f"another process is training in {folder}: wait for it, or choose another folder") from None
    try:
        yield
    finally:
        lock.release()


def _claim(folder: Path, config: TrainConfig, device: torch.device) -> None:
    """Notes whose folder this is. Texts for the model card and use of the machine may change between a run's parts."""
    path = folder / "config.json"
    if not path.exists():
        facts = json.dumps(environment(config, device), indent=2)
        (folder / "environment.json").write_text(facts + "\n", encoding="utf-8")
    elif not TrainConfig.from_json(json.loads(path.read_text(encoding="utf-8"))).same_run(config):
        raise ConfigError(f"{folder} belongs to a run with another config: choose another folder, or delete it")
    path.write_text(json.dumps(config.to_json(), indent=2) + "\n", encoding="utf-8")
