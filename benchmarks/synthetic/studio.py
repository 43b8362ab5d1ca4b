"""A made-up index in a database, with labels, and a model that it belongs to: all that a server needs."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sqlalchemy import Connection, select
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from benchmarks.synthetic.index import Vocabulary, synthetic_index
from benchmarks.synthetic.weights import synthetic_weights
from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.indexing.types import CorpusIndex
from mfn_server.db.index_lock import index_lock
from mfn_server.db.index_store import IndexStore
from mfn_server.db.migrate import open_database
from mfn_server.db.session import Database
from mfn_server.db.tables import Origin, Source
from mfn_server.labels.fold import FeatureState, fold
from mfn_server.labels.log import append_events, lock_log, new_event
from mfn_server.labels.payloads import StoredPropose
from mfn_server.labels.projections import project
from mfn_server.model_facts import ModelFacts
from mfn_server.weights.command import sources_by_layer
from mfn_server.weights.store import store_weights

LAYERS = 8
WIDTH = 16
LABELLED = 0.05
AUTHORS = ("atlas", "ana", "ben", "chen")
_TOKENIZER = Path(__file__).parents[2] / "demo" / "model"
_FILES = ("tokenizer.json", "tokenizer_config.json")
_AT_ONCE = 10_000


@dataclass(frozen=True)
class SyntheticStudio:
    """A folder with a model and a database's URL.

    Attributes:
        model: the bundle's folder.
        database: the URL.
        features: how many there are.
    """

    model: Path
    database: str
    features: int


def make_studio(
    folder: Path, features: int, tokens: int, database: str | None = None, seed: int = 0
) -> SyntheticStudio:
    """Make model, index, facts of the weights, and labels; what is there already is taken as it is.

    Args:
        folder: where they go.
        features: how many, in all layers together; rounded down to a multiple of 8.
        tokens: of the corpus, about.
        database: an empty database; a SQLite file in the folder if left out.
        seed: of all that is drawn.
    """
    bundle, done = folder / "model", folder / "done"
    url = database or f"sqlite:///{folder / 'studio.sqlite3'}"
    studio = SyntheticStudio(bundle, url, features // LAYERS * LAYERS)
    if done.exists():
        return studio
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = AutoTokenizer.from_pretrained(_TOKENIZER)
    model = _model(features // LAYERS, tokenizer, seed)
    model.save_pretrained(bundle)
    for name in _FILES:
        shutil.copy(_TOKENIZER / name, bundle / name)
    model = MFNModel.from_pretrained(bundle)
    facts = ModelFacts.of(model, bundle)
    index = synthetic_index(tokenizer, sorted(model.coders), features // LAYERS, tokens, facts.fingerprint, seed)
    opened = open_database(url)
    try:
        store = IndexStore(opened)
        with index_lock(opened):
            run_id = store.begin(facts, {})
            store.store(run_id, facts, index, "made up", lambda ids: str(tokenizer.decode(list(ids))))
            weights = synthetic_weights(sorted(model.coders), features // LAYERS, np.random.default_rng([seed, 2]))
            store_weights(opened, sources_by_layer(opened, facts), weights, lambda phase, share: None)
        _label(opened, facts, index, Vocabulary.of(tokenizer, np.random.default_rng(seed)), seed)
        if opened.is_sqlite:
            with opened.read() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        opened.close()
    done.touch()
    return studio


def _model(n_features: int, tokenizer: PreTrainedTokenizerBase, seed: int) -> MFNModel:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    layer = MFNLayerConfig(n_features=n_features, k=8)
    base = LlamaForCausalLM(config)
    return MFNModel.equip(base.train(False), MFNConfig.uniform(LAYERS, layer), tokenizer)


def _label(database: Database, facts: ModelFacts, index: CorpusIndex, vocabulary: Vocabulary, seed: int) -> None:
    """Label a share of the features, each once: events, labels, search."""
    rng = np.random.default_rng([seed, 1])
    share = 1 / np.arange(1, len(vocabulary.texts) + 1)
    share /= share.sum()
    with database.read() as connection:
        ids = dict(connection.execute(select(Source.layer, Source.id)).all())
    rows = [
        (ids[layer.layer], int(number))
        for layer in index.layers
        for number in np.flatnonzero((layer.firing_count > 0) & (rng.random(layer.n_features) < LABELLED))
    ]
    rng.shuffle(rows)
    words = rng.choice(len(vocabulary.texts), size=(len(rows), 3), p=share)
    authors = rng.choice(len(AUTHORS), size=len(rows), p=[0.6, 0.2, 0.15, 0.05])
    for begin in range(0, len(rows), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        texts = ["the word '{}' after {} or {}".format(*(vocabulary.texts[w] for w in three)) for three in words[part]]
        with database.write() as connection:
            _propose(connection, rows[part], texts, [AUTHORS[a] for a in authors[part]], rng)


def _propose(
    connection: Connection, rows: list[tuple[int, int]], texts: list[str], authors: list[str], rng: np.random.Generator
) -> None:
    lock_log(connection)
    events = [
        new_event(
            place,
            StoredPropose(text=text),
            f"program:{author}" if author == AUTHORS[0] else f"name:{author}",
            author,
            origin=Origin.AUTOMATIC if author == AUTHORS[0] else Origin.HUMAN,
            identity=uuid.UUID(bytes=rng.bytes(16)),
        )
        for place, text, author in zip(rows, texts, authors, strict=True)
    ]
    nothing = FeatureState()
    project(connection, ((event.place, nothing, fold([event])) for event in append_events(connection, events)))
