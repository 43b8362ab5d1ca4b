"""What a run reads, made before its first step and kept in its folder: vocabulary, held-out text, packed rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from mfn_core.data.duplicates import SeenTexts
from mfn_core.data.mix import STRUCTURED, Packed, Source, pack, sample_text
from mfn_core.data.stream import RowStream
from mfn_core.data.tokenizer import fit_tokenizer
from mfn_core.errors import ConfigError
from mfn_core.files import replace_file
from mfn_core.training.batches import Batches, PackedRows, StreamedRows
from mfn_core.training.building import STRUCTURE, base_tokenizer, start_token
from mfn_core.training.config import TrainConfig

VALID_SEED_OFFSET = 1_000_003  # generated held-out text comes from another seed than the training text
RECIPE = "recipe.json"


def make_data(config: TrainConfig, folder: Path, data_folder: Path, say: Callable[[str], None]) -> None:
    """Makes what is not there yet. The recipe is written last: where it stands, all is there.

    Args:
        config: of the run.
        folder: receives it.
        data_folder: where relative corpus paths start.
        say: called with a line on what is being done.
    """
    if (folder / RECIPE).exists():
        return
    folder.mkdir(exist_ok=True)
    sources = sources_of(config, data_folder, "train")
    held_out_sources = sources_of(config, data_folder, "valid")
    tokenizer, start = _tokenizer(config, sources, say)
    tokenizer.save_pretrained(folder / "tokenizer")
    say("packing held-out text")
    seen = SeenTexts() if config.data.deduplicate and not config.data.stream else None
    held_out = _packed(config, held_out_sources, tokenizer, start, config.data.valid_tokens, seen, VALID_SEED_OFFSET)
    replace_file(folder / "valid.npy", lambda file: np.save(file, held_out.rows))
    recipe: dict[str, Any] = {"start": start, "valid": held_out.recipe}
    if not config.data.stream:
        needed = config.steps * config.tokens_per_step
        say(f"packing {needed:,} tokens of training text")
        packed = _packed(config, sources, tokenizer, start, needed, seen)
        replace_file(folder / "train.npy", lambda file: np.save(file, packed.rows))
        recipe["train"] = packed.recipe
    text = json.dumps(recipe, indent=2) + "\n"
    replace_file(folder / RECIPE, lambda file: file.write(text.encode()))


def take_data(source: Path, folder: Path) -> None:
    """Takes over vocabulary and rows of another run, of the same text and length, into a run folder without any.

    Not the model's structure, which is a run's own. All of it or nothing: what was left half copied is begun anew.

    Raises:
        OSError: it cannot be read or written.
    """
    data, draft = folder / "data", folder / ".data"
    if (data / RECIPE).exists():
        return
    for left in (data, draft):
        shutil.rmtree(left, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source / "data", draft, ignore=shutil.ignore_patterns(STRUCTURE))
    draft.rename(data)


def open_batches(config: TrainConfig, folder: Path, data_folder: Path, tokenizer: PreTrainedTokenizerBase) -> Batches:
    """The rows of a run whose folder `make_data` has filled."""
    start = json.loads((folder / RECIPE).read_text(encoding="utf-8"))["start"]
    if not config.data.stream:
        rows = np.load(folder / "train.npy", mmap_mode="r")
        # The run that fixes the text takes it as it was packed; another seed's takes it in an order of its own.
        order = None if config.seed == config.text_seed else np.random.default_rng(config.seed).permutation(len(rows))
        return PackedRows(rows, config.batch, start, order)
    data = config.data
    sources = sources_of(config, data_folder, "train")
    stream = RowStream(
        sources, tokenizer, config.model.context, config.text_seed, data.max_document, start, data.buffer
    )
    return StreamedRows(stream, config.batch)


def _packed(
    config: TrainConfig,
    sources: list[Source],
    tokenizer: PreTrainedTokenizerBase,
    start: int,
    n_tokens: int,
    seen: SeenTexts | None,
    seed_offset: int = 0,
) -> Packed:
    seed = config.text_seed + seed_offset
    return pack(sources, tokenizer, n_tokens, config.model.context, seed, config.data.max_document, start, seen=seen)


def _tokenizer(
    config: TrainConfig, sources: list[Source], say: Callable[[str], None]
) -> tuple[PreTrainedTokenizerBase, int]:
    """The base's, or one that is fitted to the text; and the token that begins a document."""
    if config.base.path:
        tokenizer = base_tokenizer(config.base.path)
        return tokenizer, start_token(config.base.path, tokenizer)
    say(f"fitting a vocabulary of {config.model.vocabulary} tokens")
    texts = sample_text(sources, config.data.tokenizer_characters, config.text_seed, config.data.max_document)
    fitted: PreTrainedTokenizerFast = fit_tokenizer(texts, config.model.vocabulary)
    return fitted, 0


def sources_of(config: TrainConfig, data_folder: Path, split: str) -> list[Source]:
    """The sources of a run's text, `train` or `valid`; relative paths start at the data folder.

    Raises:
        ConfigError: a source names no such corpus, or there is none.
    """
    out = []
    for name, source in config.data.sources.items():
        corpus = getattr(source, split)
        if name != STRUCTURED and not corpus:
            raise ConfigError(f"data.sources.{name} names no {split} corpus")
        if corpus and not corpus.startswith(("hf:", "./", "../")):
            corpus = str(data_folder / corpus)
        out.append(Source(name, source.share, corpus, config.data.stream))
    if not out:
        raise ConfigError("data.sources is empty: name at least one source of text")
    return out
