"""One training run from config to bundle, in a folder that holds everything needed to repeat it."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from mfn_core.data.mix import STRUCTURED, Source, TokenRows, pack, sample_text
from mfn_core.data.tokenizer import fit_tokenizer
from mfn_core.errors import ConfigError
from mfn_core.training.batches import PackedRows
from mfn_core.training.config import TrainConfig
from mfn_core.training.log import Metrics
from mfn_core.training.trainer import Trainer, new_model

VALID_SEED_OFFSET = 1_000_003  # generated held-out text comes from another seed than the training text


def train(
    config: TrainConfig,
    folder: Path,
    data_folder: Path,
    report: Callable[[Metrics], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Trainer:
    """Trains, or goes on where the folder's newest checkpoint stands.

    Args:
        config: what to train.
        folder: the run folder; made if need be. A folder of another config is refused.
        data_folder: where relative corpus paths of the config start.
        report: called with each line of metrics.
        note: called with a line on what is being done before the first step.

    Returns:
        The trainer, at its last step.

    Raises:
        ConfigError: the folder belongs to another config, or to another process.
        CorpusError: a source cannot be read.
    """
    say = note or (lambda line: None)
    folder.mkdir(parents=True, exist_ok=True)
    with _sole_owner(folder):
        _claim(folder, config)
        tokenizer, rows, valid = _data(config, folder, data_folder, say)
        trainer = Trainer(new_model(config, tokenizer), config, PackedRows(rows, config.batch), folder, valid, report)
        if trainer.step:
            say(f"going on from step {trainer.step} of {config.steps}")
        trainer.run()
    return trainer


def environment() -> dict[str, str]:
    """Versions and commit, as far as they can be found out."""
    try:
        here = Path(__file__).parent
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    packages = ("torch", "transformers", "tokenizers", "numpy")
    return {
        "commit": commit,
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{name: metadata.version(name) for name in packages},
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


def _claim(folder: Path, config: TrainConfig) -> None:
    """Notes whose folder this is. Texts for the model card may change between a run's parts, nothing else may."""
    path = folder / "config.json"
    if not path.exists():
        (folder / "environment.json").write_text(json.dumps(environment(), indent=2) + "\n", encoding="utf-8")
    elif not TrainConfig.from_json(json.loads(path.read_text(encoding="utf-8"))).same_run(config):
        raise ConfigError(f"{folder} belongs to a run with another config: choose another folder, or delete it")
    path.write_text(json.dumps(config.to_json(), indent=2) + "\n", encoding="utf-8")


def _sources(config: TrainConfig, data_folder: Path, split: str) -> list[Source]:
    out = []
    for name, source in config.data.sources.items():
        corpus = getattr(source, split)
        if name != STRUCTURED and not corpus:
            raise ConfigError(f"data.sources.{name} names no {split} corpus")
        out.append(Source(name, source.share, str(data_folder / corpus) if corpus else ""))
    if not out:
        raise ConfigError("data.sources is empty: name at least one source of text")
    return out


def _data(
    config: TrainConfig, folder: Path, data_folder: Path, say: Callable[[str], None]
) -> tuple[PreTrainedTokenizerBase, TokenRows, TokenRows]:
    """Vocabulary and packed rows, from the run folder if they are there, else made and kept there."""
    cache = folder / "data"
    done = cache / "recipe.json"
    if not done.exists():
        cache.mkdir(exist_ok=True)
        train_sources = _sources(config, data_folder, "train")
        most = config.data.max_document
        say(f"fitting a vocabulary of {config.model.vocabulary} tokens")
        texts = sample_text(train_sources, config.data.tokenizer_characters, config.seed, most)
        tokenizer = fit_tokenizer(texts, config.model.vocabulary)
        tokenizer.save_pretrained(cache / "tokenizer")
        context = config.model.context
        needed = config.steps * config.tokens_per_step
        say(f"packing {needed:,} tokens of training text")
        packed = pack(train_sources, tokenizer, needed, context, config.seed, most)
        say("packing held-out text")
        held_out = pack(
            _sources(config, data_folder, "valid"),
            tokenizer,
            config.data.valid_tokens,
            context,
            config.seed + VALID_SEED_OFFSET,
            most,
        )
        np.save(cache / "train.npy", packed.rows)
        np.save(cache / "valid.npy", held_out.rows)
        recipe: dict[str, Any] = {"train": packed.recipe, "valid": held_out.recipe}
        done.write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(cache / "tokenizer", local_files_only=True)
    return tokenizer, np.load(cache / "train.npy", mmap_mode="r"), np.load(cache / "valid.npy", mmap_mode="r")
