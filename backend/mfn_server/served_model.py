"""What the worker does with the model that is served. These functions run there; torch is imported inside them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_core.errors import BundleError
from mfn_server.build import Build
from mfn_server.model_facts import ModelFacts
from mfn_server.worker.messages import Plan

if TYPE_CHECKING:
    from mfn_core.generation import Engine
    from mfn_core.model import MFNModel

ROWS = 16


@dataclass(frozen=True)
class Description:
    """What the web process knows of the model.

    Attributes:
        facts: names, sizes, sources.
        token_texts: the text that each token id is shown as.
        token_bytes: the bytes that each adds to a text; of a special one its name.
        special_tokens: ids that add nothing to a text.
        build: what it is computed with.
    """

    facts: ModelFacts
    token_texts: list[str]
    token_bytes: list[bytes]
    special_tokens: frozenset[int]
    build: Build


def plan_of(folder: Path, rows: int = ROWS) -> Plan:
    """How a model is served: so many streams are written at the same time."""
    # Half of the cores for the model, the rest for the web and the database. More threads than free cores would
    # wait for each other at every operation: measured 200 times slower beside another busy program.
    threads = max(1, (os.cpu_count() or 1) // 2)
    return Plan(partial(load, folder, threads), partial(make_engine, rows), partial(describe, folder, rows))


def load(folder: Path, threads: int) -> MFNModel:
    """The model, computed with in so many threads. Raises BundleError, also where it has no tokenizer."""
    import torch

    from mfn_core.model import MFNModel

    torch.set_num_threads(threads)
    model = MFNModel.from_pretrained(folder)
    if model.tokenizer is None:
        raise BundleError(f"{folder} has no tokenizer, and without one no text can be read")
    return model


def make_engine(rows: int, model: MFNModel) -> Engine:
    """What writes with it."""
    from mfn_core.generation import SlotEngine

    return SlotEngine(model, rows=rows)


def describe(folder: Path, rows: int, model: MFNModel) -> Description:
    """What is said of it."""
    from mfn_core.tokens import token_bytes, vocabulary_strings

    facts = ModelFacts.of(model, folder)
    tokenizer = model.required_tokenizer
    pieces = token_bytes(tokenizer)[: facts.vocab_size]
    return Description(
        facts,
        vocabulary_strings(tokenizer, facts.vocab_size),
        pieces + [b""] * (facts.vocab_size - len(pieces)),
        frozenset(tokenizer.all_special_ids),
        Build.here(model, rows),
    )
