"""`mfn index`: a model and a corpus become the current index of a database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from mfn_core.errors import CorpusError, MFNError
from mfn_server.db.index_lock import index_lock
from mfn_server.db.index_sweep import sweep
from mfn_server.db.migrate import open_database
from mfn_server.token_r2 import lines_of_index

if TYPE_CHECKING:
    from mfn_core.data.pieces import Corpus
    from mfn_core.indexing.from_weights.types import MapMethod
    from mfn_core.indexing.types import CorpusIndex, IndexSettings
    from mfn_core.model import MFNModel
    from mfn_server.db.index_store import IndexStore
    from mfn_server.db.session import Database
    from mfn_server.index_work import IndexWork
    from mfn_server.model_facts import ModelFacts
    from mfn_server.weights.record import WeightRecord

Progress = Callable[[str, float | None, str], None]
"""Told the phase, how far it is (0 to 1, None where unknown) and a note such as a count of tokens."""

_REPORT_SECONDS = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexOrder:
    """What `mfn index` is asked to do.

    Attributes:
        model: the bundle's folder.
        corpora: what to read, as `read_corpus` takes it.
        database_url: where the index goes.
        home: the app's folder, for what an interrupted run has done, where the database is a server.
        name: how to call the corpus; made from `corpora` if empty.
        text_field: which column or key of a corpus holds the text.
        limit: read at most so many documents of each corpus.
        import_file: a finished index to take instead, when it belongs to the model: a file, or a folder of tables.
        export_file: also write the index to this file.
        n_top, window, max_token_pairs, shard_tokens: as `IndexSettings` says.
        bf16: compute in bfloat16, see `IndexSettings`.
        device: where the model computes, as `find_device` takes it.
        map: how the map of features is drawn, as `WeightSettings` says.
        ray: the address of a Ray cluster whose workers index, or `local`; without one, this process does.
        workers: how many of them.
        read_here: with `ray`, read the corpus in this process.
    """

    model: Path
    corpora: tuple[str, ...]
    database_url: str
    home: Path
    name: str = ""
    text_field: str = "text"
    limit: int | None = None
    import_file: Path | None = None
    export_file: Path | None = None
    n_top: int = 16
    window: int = 64
    max_token_pairs: int = 1 << 25
    shard_tokens: int = 1 << 18
    bf16: bool = False
    device: str = "auto"
    map: MapMethod = "auto"
    ray: str | None = None
    workers: int | None = None
    read_here: bool = False


def run_index(order: IndexOrder, progress: Progress) -> str:
    """Do it, and return lines that say what was done. Whatever goes wrong, the index that was there stays current.

    What was done before a run was killed is taken up when the same is asked for again.

    Raises:
        MFNError: what is wrong with the model, the corpus, the file or the database.
    """
    if not order.corpora and order.import_file is None:
        raise MFNError("nothing to index: name a corpus (a file, a folder, a glob or hf:NAME)")
    # without a finished index the corpus is looked at first, so that a wrong name is answered at once
    corpus = _corpus(order)
    database = open_database(order.database_url)
    try:
        with index_lock(database):
            progress("loading the model", None, "")
            # torch comes in only now, so that mistakes in the arguments are answered at once
            from mfn_core.device import find_device
            from mfn_core.model import MFNModel
            from mfn_core.tokens import token_bytes
            from mfn_server.db.index_store import IndexStore
            from mfn_server.exchange.loading import load_weights
            from mfn_server.model_facts import ModelFacts

            model = MFNModel.from_pretrained(order.model).to(find_device(order.device))
            if model.tokenizer is None:
                raise MFNError(f"{order.model} has no tokenizer, and without one no corpus can be read")
            facts = ModelFacts.of(model, order.model)
            pieces, special = token_bytes(model.tokenizer), set(model.tokenizer.all_special_ids)

            def decode(ids: Sequence[int]) -> str:
                return b"".join(pieces[number] for number in ids if number not in special).decode(errors="replace")

            store = IndexStore(database)
            record = load_weights(order.import_file, facts) if order.import_file is not None else None
            work = _work(order, model, database)
            index = _stored(order, model, corpus, work, store, progress)
            if index is None:
                index = _store(order, model, facts, corpus, work, store, decode, progress)
            else:
                sweep(database)
            earlier = store.finished_runs(facts) - 1
            # the index is in use by now: nobody waits for what follows, and it may fail or be killed on its own
            _weights(order, database, model, facts, record, progress)
            if work is not None:
                work.done()
    finally:
        database.close()
    n_features = sum(layer.n_features for layer in index.layers)
    done = f"{n_features:,} features over {index.n_tokens:,} tokens are ready in {database.name}"
    kept = [f"{earlier} earlier run{'s are' if earlier > 1 else ' is'} kept: see mfn runs list"] if earlier else []
    return "\n".join([done, *(f"token R², {line}" for line in lines_of_index(index)), *kept])


def _store(
    order: IndexOrder,
    model: MFNModel,
    facts: ModelFacts,
    corpus: Corpus,
    work: IndexWork | None,
    store: IndexStore,
    decode: Callable[[Sequence[int]], str],
    progress: Progress,
) -> CorpusIndex:
    """Make the index, write it to the database, and make it current."""
    run_id = store.begin(facts, {})
    last = 0.0

    def tell(phase: str, share: float | None, note: str = "") -> None:
        nonlocal last
        progress(phase, share, note)
        if time.monotonic() - last > _REPORT_SECONDS:
            last = time.monotonic()
            store.report(run_id, phase, share or 0.0)

    try:
        if work is not None:
            work.belongs_to(run_id, store.begun_at(run_id))
        index = _index(order, model, facts, corpus, work, tell)
        if order.export_file is not None:
            from mfn_server.index_file import save_index

            progress("compressing", None, str(order.export_file))
            save_index(index, order.export_file)
        store.store(run_id, facts, index, order.name or _name(order), decode, tell)
    except BaseException as error:
        with suppress(DBAPIError):  # the disk may be full for this, too
            store.fail(run_id, str(error) or "interrupted")
        raise
    return index


def _stored(
    order: IndexOrder,
    model: MFNModel,
    corpus: Corpus,
    work: IndexWork | None,
    store: IndexStore,
    progress: Progress,
) -> CorpusIndex | None:
    """The index, if a run was killed when all that was left to do was to tidy up, and the corpus is still the same."""
    from mfn_core.indexing import CorpusChangedError

    if work is None or not work.is_stored(store):
        return None
    try:
        return _computed(order, model, corpus, work, progress)
    except CorpusChangedError:
        work.start_anew()
        return None


def _index(
    order: IndexOrder,
    model: MFNModel,
    facts: ModelFacts,
    corpus: Corpus,
    work: IndexWork | None,
    tell: Progress,
) -> CorpusIndex:
    """The finished index: read from the file or folder if that belongs to the model, else computed."""
    if order.import_file is not None:
        from mfn_server.exchange.loading import load_any

        tell("importing", 0.0, str(order.import_file))
        index = load_any(order.import_file, facts, order.home)
        if index.model_fingerprint == model.fingerprint:
            return index
        if not order.corpora:
            raise MFNError(f"{order.import_file} belongs to another model than {order.model}")
    from mfn_core.indexing import CorpusChangedError

    assert work is not None
    try:
        return _computed(order, model, corpus, work, tell)
    except CorpusChangedError as error:
        logger.warning("%s; starting anew", error)
        work.start_anew()
        return _computed(order, model, corpus, work, tell)


def _computed(order: IndexOrder, model: MFNModel, corpus: Corpus, work: IndexWork, tell: Progress) -> CorpusIndex:
    """The index as the model finds it, going on where an earlier run stood."""
    from mfn_core.indexing import build_index

    def on_tokens(done: int, total: int | None) -> None:
        tell("indexing", done / total if total else None, f"{done:,} tokens")

    if order.ray is None:
        return build_index(model, corpus, _settings(order), on_tokens, work.folder)
    from mfn_core.indexing.ray_run import RayOptions, build_index_on_ray

    options = RayOptions(order.ray, order.workers, order.device, order.read_here)
    given = model, order.model.resolve(), corpus, _settings(order), on_tokens, work.folder
    return build_index_on_ray(*given, options)


def _weights(
    order: IndexOrder,
    database: Database,
    model: MFNModel,
    facts: ModelFacts,
    record: WeightRecord | None,
    progress: Progress,
) -> None:
    """What the weights say, kept beside the index: taken from `record`, else computed unless it is there."""
    from mfn_server.weights.bringing import bring_weights
    from mfn_server.weights.command import sources_by_layer
    from mfn_server.weights.record import kept_settings
    from mfn_server.weights.store import store_weights

    def tell(phase: str, share: float | None) -> None:
        progress(phase, share, "")

    sources = sources_by_layer(database, facts)
    if record is not None:
        store_weights(database, sources, record, tell)
    bring_weights(database, model, sources, tell, kept_settings(order.map))


def _settings(order: IndexOrder) -> IndexSettings:
    from mfn_core.indexing import IndexSettings

    names = ("n_top", "window", "max_token_pairs", "bf16", "shard_tokens")
    return IndexSettings(**{name: getattr(order, name) for name in names})


def _work(order: IndexOrder, model: MFNModel, database: Database) -> IndexWork | None:
    """Where the work of such a run lies; None where there is nothing to read but a finished index."""
    if not order.corpora:
        return None
    from mfn_core.indexing.checkpoint import identity
    from mfn_server.corpus_names import corpus_names
    from mfn_server.index_work import IndexWork

    corpora = {"corpora": corpus_names(order.corpora), "text_field": order.text_field, "limit": order.limit}
    return IndexWork(database, order.home, {**identity(model, _settings(order)), **corpora})


def _corpus(order: IndexOrder) -> Corpus:
    """What is read.

    Raises:
        CorpusError: it cannot be found, or holds no text. Of what lies on the hub, that is seen only later.
    """
    from mfn_core.data.pieces import Corpus

    corpus = Corpus(order.corpora, order.text_field, order.limit)
    if order.import_file is None and not corpus.has_text():
        raise CorpusError(f"{' and '.join(order.corpora)} holds no text")
    return corpus


def _name(order: IndexOrder) -> str:
    """What to call the corpus: the names of its files, or what a finished index calls it."""
    if order.corpora:
        return ", ".join(corpus if corpus.startswith("hf:") else Path(corpus).name for corpus in order.corpora)
    assert order.import_file is not None
    from mfn_server.exchange.loading import corpus_name

    return corpus_name(order.import_file)
