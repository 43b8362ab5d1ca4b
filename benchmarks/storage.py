"""Writing an index into a database: rows a second by table, bytes a feature by table, and how long others must wait.

A made-up index goes in by the code that `mfn index` uses, each time into a new SQLite file, or with `--database URL`
into an empty database, which is emptied again. Its features are as large as they get with N = 20 and windows of 64: 20
strongest contexts and 20 samples, of four firings on average, and all lists full. Beside it, what the demo's index
takes, whose features are those of a model. Counted are all tables of an index with their indices, but no documents.

The target for speed is on contexts, of which a row holds twenty. `rows` are those of all tables over the time of all
transactions, commits and words for search included. Processor time (`_cpu`) is what a busy machine disturbs less.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select, text
from tokenizers import Tokenizer

from benchmarks.harness import Metric, Result, Seconds, summary
from mfn_core.indexing.arrays import ragged
from mfn_core.indexing.types import ContextKind, Contexts, CorpusIndex, IndexSettings, LayerIndex
from mfn_server import resources
from mfn_server.db.bulk import bulk_insert
from mfn_server.db.context_rows import sampled_rows, top_rows
from mfn_server.db.index_lock import index_lock
from mfn_server.db.index_store import IndexStore
from mfn_server.db.migrate import open_database, upgrade
from mfn_server.db.search import SEARCH_TABLES
from mfn_server.db.session import Database
from mfn_server.db.sizes import IndexSize, index_size
from mfn_server.db.tables import Model, Table
from mfn_server.index_file import load_index
from mfn_server.model_facts import ModelFacts, SourceFacts

TARGET_CONTEXTS = 200_000  # a second
TARGET_BYTES = 4096
RUNS = 3
LAYERS = 2
FIRINGS = 4.0  # of a context, on average
DOCUMENT = 256
_TABLES = ("feature", "feature_detail", "top_contexts", "sampled_contexts", "document_window", "token_posting")


def run(quick: bool, database: str | None = None, features: int = 20_000) -> Result:
    """Writes the made-up index, and the demo's unless `quick` or another database is named.

    Args:
        quick: little of everything.
        database: URL of an empty database to write to.
        features: how many, half of them in each of two layers.
    """
    features, tokens = (400, 1 << 14) if quick else (features // LAYERS * LAYERS, 1 << 21)
    index = _index(LAYERS, features // LAYERS, tokens)
    written = [_written(index, _words, database) for _ in range(RUNS)]
    contexts = sum(len(layer.contexts) for layer in index.layers)
    rows = [sum(one.rows.values()) for one in written]
    target = None if quick else TARGET_CONTEXTS
    metrics = {}
    for name, side in (("", 0), ("_cpu", 1)):
        rates = {
            "rows": [n / sum(t[side] for t in one.transactions) for n, one in zip(rows, written, strict=True)],
            "contexts": [contexts / one.contexts[side] for one in written],
            **{f"rows_{table}": [one.rows[table] / one.spent[table][side] for one in written] for table in _TABLES},
            "features": [features / one.whole[side] for one in written],
        }
        for rate, values in rates.items():
            unit = f"{rate.partition('_')[0]}/s"
            metrics[rate + name] = summary(values, unit, target if rate == "contexts" else None, "higher")
    longest = [1e3 * max(clock for clock, _ in one.transactions) for one in written]
    metrics["longest_transaction"] = summary(longest, "ms")
    metrics |= _sizes(written[0].size, "bytes", None if quick else TARGET_BYTES)
    if not quick and not database:
        demo = load_index(resources.demo() / "index" / "index.npz.xz")
        tokenizer = Tokenizer.from_file(str(resources.demo() / "model" / "tokenizer.json"))
        metrics |= _sizes(_written(demo, tokenizer.decode, None).size, "demo_bytes", TARGET_BYTES)
    sizes = {"features": features, "tokens": tokens, "contexts": contexts, "rows": rows[0]}
    kind = "sqlite" if database is None else database.partition(":")[0]
    return Result(metrics, {**sizes, "N": index.settings.n_top, "window": index.settings.window, "database": kind})


def _sizes(size: IndexSize | None, name: str, target: float | None) -> dict[str, Metric]:
    if size is None:  # an SQLite without dbstat
        return {}
    found = {f"{name}_per_feature": Metric(size.bytes_per_feature, "bytes", target)}
    return found | {
        f"{name}_{table}": Metric(taken / size.n_features, "bytes/feature") for table, taken in size.tables.items()
    }


class _Timed(Database):
    """A database that notes how long each of its write transactions took, from begin to commit."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.transactions: list[Seconds] = []

    @contextmanager
    def write(self) -> Iterator[Connection]:
        watch = _Watch()
        with super().write() as connection:
            yield connection
        self.transactions.append(watch.read())


class _Watch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._begun = time.perf_counter(), time.process_time()

    def read(self) -> Seconds:
        """How long it has run; the processor time is of this program alone, not of a database server."""
        clock, processor = self._begun
        return Seconds(time.perf_counter() - clock, time.process_time() - processor)


def _sum(one: Seconds, other: Seconds) -> Seconds:
    return Seconds(one.clock + other.clock, one.processor + other.processor)


class _Written:
    """What one writing of an index took.

    Attributes:
        rows: by table.
        spent: in the statements of each table.
        contexts: in those of the tables of contexts, and in making their rows.
        transactions: each, from begin to commit.
        whole: from the finished index to the current run, its digest included.
        size: of what is in the database.
    """

    def __init__(self) -> None:
        self.rows: dict[str, int] = defaultdict(int)
        self.spent: dict[str, Seconds] = defaultdict(lambda: Seconds(0.0, 0.0))
        self.contexts = Seconds(0.0, 0.0)
        self.transactions: list[Seconds] = []
        self.whole = Seconds(0.0, 0.0)
        self.size: IndexSize | None = None


def _words(ids: Sequence[int]) -> str:
    return " ".join(f"w{number}" for number in ids)


def _written(index: CorpusIndex, decode: Callable[[Sequence[int]], str], url: str | None) -> _Written:
    found = _Written()

    def insert(connection: Connection, table: type[Table], columns: Sequence[str], rows: Iterable[Any]) -> int:
        watch, name = _Watch(), table.__tablename__
        found.rows[name] += (n := bulk_insert(connection, table, columns, rows))
        found.spent[name] = _sum(found.spent[name], took := watch.read())
        if name in ("top_contexts", "sampled_contexts"):
            found.contexts = _sum(found.contexts, took)
        return n

    def making(make: Any, *given: Any) -> list[Any]:
        watch = _Watch()
        rows = list(make(*given))
        found.contexts = _sum(found.contexts, watch.read())
        return rows

    module = "mfn_server.db.index_store"
    facts = _facts(index)
    with tempfile.TemporaryDirectory() as folder, _opened(url or f"sqlite:///{Path(folder) / 'studio.sqlite3'}") as db:
        store = IndexStore(db)
        with (
            patch(f"{module}.bulk_insert", insert),
            patch("mfn_server.db.browse_store.bulk_insert", insert),
            patch(f"{module}.top_rows", partial(making, top_rows)),
            patch(f"{module}.sampled_rows", partial(making, sampled_rows)),
            index_lock(db),
        ):
            run_id = store.begin(facts, {})
            db.transactions.clear()
            watch = _Watch()
            store.store(run_id, facts, index, "made up", decode)
            found.whole = watch.read()
        found.transactions = db.transactions
        found.rows["document"] = len(index.documents)
        with db.read() as connection:
            if not db.is_sqlite:
                connection.execute(text("VACUUM ANALYZE"))
            found.size = index_size(connection)
    return found


@contextmanager
def _opened(url: str) -> Iterator[_Timed]:
    """The database, made or migrated; a server's is emptied afterwards, and refused if there is something in it."""
    open_database(url).close()
    database = _Timed(url)
    upgrade(database)
    with database.read() as connection:
        if connection.scalar(select(func.count()).select_from(Model)):
            raise SystemExit(f"{database.name} is in use: name an empty database")
    try:
        yield database
    finally:
        if not database.is_sqlite:
            with database.write() as connection:
                connection.execute(text(f"DROP TABLE alembic_version, {', '.join(SEARCH_TABLES)}"))
                connection.execute(text(f"DROP TABLE {', '.join(Table.metadata.tables)} CASCADE"))
        database.close()


def _facts(index: CorpusIndex) -> ModelFacts:
    """A model that the index could be of."""
    sources = [
        SourceFacts(f"made-up.{layer.layer}", "mfn", "resid_mid", layer.layer, "0" * 64, layer.n_features, 32, 1.0)
        for layer in index.layers
    ]
    return ModelFacts("made up", index.model_fingerprint, 0, 0, len(sources), 4096, DOCUMENT, tuple(sources))


def _index(n_layers: int, n_features: int, n_tokens: int) -> CorpusIndex:
    rng = np.random.default_rng(0)
    settings = IndexSettings(n_top=20, n_logits=10, n_neighbours=8, n_tokens=8, n_cofiring=8)
    share = 1 / np.arange(1, 4097)
    ids = rng.choice(4096, n_tokens, p=share / share.sum()).astype(np.uint32)
    documents = list(ids.reshape(-1, DOCUMENT))
    layers = [_layer(rng, layer, n_features, len(documents), n_tokens, settings) for layer in range(n_layers)]
    return CorpusIndex(layers, documents, [{} for _ in documents], n_tokens, settings, "0" * 64)


def _layer(
    rng: np.random.Generator, layer: int, f: int, n_documents: int, n_tokens: int, settings: IndexSettings
) -> LayerIndex:
    def ids(n: int, below: int) -> NDArray[Any]:
        return rng.integers(0, below, (f, n)).astype(np.int32)

    def figures(n: int) -> NDArray[Any]:
        return rng.random((f, n)).astype(np.float32)

    counts = (n_tokens * 10 ** rng.uniform(-4, -1.5, f)).astype(np.int64)
    logits, tokens, others = settings.n_logits, settings.n_tokens, settings.n_neighbours
    spread = np.exp(-(((np.arange(settings.hist_bins) - rng.uniform(20, 40, (f, 1))) / 6) ** 2))
    return LayerIndex(
        layer=layer,
        n_features=f,
        firing_count=counts,
        mean=figures(1)[:, 0],
        maximum=figures(1)[:, 0],
        histogram=(counts[:, None] * spread / spread.sum(1, keepdims=True)).astype(np.int64),
        bin_edges=np.geomspace(settings.low, settings.high, settings.hist_bins + 1).astype(np.float32),
        band_edges=np.sort(figures(settings.bands + 1), axis=1),
        band_count=np.broadcast_to(counts[:, None] // 10, (f, settings.bands)).copy(),
        contexts=_contexts(rng, f, n_documents, settings),
        promoted_ids=ids(logits, 4096),
        promoted_logits=figures(logits),
        suppressed_ids=ids(logits, 4096),
        suppressed_logits=figures(logits),
        neighbour_ids=ids(others, f),
        neighbour_cos=figures(others),
        top_token_ids=np.argsort(rng.random((f, 64)), 1)[:, :tokens].astype(np.int32) * 64 + ids(1, 64),
        top_token_share=np.maximum(figures(tokens), 1e-3) / tokens,
        token_r2=figures(1)[:, 0],
        half_firings=counts // 2,
        cofiring_ids=ids(settings.n_cofiring, f),
        cofiring_lift=figures(settings.n_cofiring),
        cofiring_joint=ids(settings.n_cofiring, 5000).astype(np.int64),
        next_token_ids=ids(tokens, 4096),
        next_token_share=figures(tokens),
        sampled_firings=counts // 10,
        sampled_tokens=n_tokens,
    )


def _contexts(rng: np.random.Generator, f: int, n_documents: int, settings: IndexSettings) -> Contexts:
    each = settings.n_top + settings.bands * settings.per_band
    top = np.arange(each) < settings.n_top
    band = np.where(top, 0, (np.arange(each) - settings.n_top) // settings.per_band)
    rank = np.where(top, np.arange(each), (np.arange(each) - settings.n_top) % settings.per_band)
    sizes = np.minimum(rng.geometric(1 / FIRINGS, f * each), settings.window)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    # ascending from a random place on, and within the window
    place = ragged(rng.integers(0, settings.window - sizes + 1), sizes)
    return Contexts(
        feature=np.repeat(np.arange(f), each).astype(np.int32),
        kind=np.tile(np.where(top, ContextKind.TOP, ContextKind.BAND), f).astype(np.uint8),
        band=np.tile(band, f).astype(np.uint8),
        rank=np.tile(rank, f).astype(np.int32),
        document=rng.integers(0, n_documents, f * each).astype(np.int32),
        start=(rng.integers(0, DOCUMENT // settings.window, f * each) * settings.window).astype(np.int32),
        length=np.full(f * each, settings.window, np.uint16),
        peak=place[offsets[:-1]].astype(np.int16),
        peak_value=rng.random(f * each).astype(np.float32),
        offsets=offsets,
        positions=place.astype(np.uint8),
        values=rng.random(int(offsets[-1])).astype(np.float16),
    )
