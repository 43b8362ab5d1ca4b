"""`mfn export-index`: the index of a model, out of a database or a file, in a format that others read."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_core.errors import MFNError
from mfn_server.db.index_lock import index_lock
from mfn_server.db.migrate import open_database
from mfn_server.db.registry import register
from mfn_server.db.session import Database
from mfn_server.exchange.loading import NEEDS_PYARROW, corpus_name, load_any, load_weights
from mfn_server.exchange.new_folder import new_folder
from mfn_server.index_file import IndexFileError

if TYPE_CHECKING:
    from mfn_core.model import MFNModel
    from mfn_server.exchange.from_database import StoredIndex
    from mfn_server.exchange.neuronpedia.explanations import Explanation
    from mfn_server.exchange.neuronpedia.naming import SourceName
    from mfn_server.model_facts import ModelFacts
    from mfn_server.weights.record import WeightRecord


@dataclass(frozen=True)
class ExportOrder:
    """What `mfn export-index` is asked to do.

    Attributes:
        model: the bundle's folder.
        out: the folder to make.
        database_url: where the labels are, and the index unless there is a file.
        index: a finished index to export instead: a file, or a folder of parquet tables.
        neuronpedia: write Neuronpedia's files, labels among them, in place of parquet tables.
    """

    model: Path
    out: Path
    database_url: str
    index: Path | None = None
    neuronpedia: bool = False


def run_export(order: ExportOrder) -> str:
    """Do it, and return a line that says what was done.

    Raises:
        MFNError: what is wrong with the model, the index, the database or the folder.
    """
    if order.out.exists():
        raise MFNError(f"{order.out} is there already; name a folder that is not")
    from mfn_core.model import MFNModel
    from mfn_core.tokens import vocabulary_strings
    from mfn_server.exchange.from_database import StoredParts, parts_of_database
    from mfn_server.exchange.parts import parts_of
    from mfn_server.model_facts import ModelFacts

    model = MFNModel.from_pretrained(order.model)
    if model.tokenizer is None:
        raise MFNError(f"{order.model} has no tokenizer, and without one token ids have no text")
    facts = ModelFacts.of(model, order.model)
    texts = vocabulary_strings(model.tokenizer, facts.vocab_size)
    if order.neuronpedia:
        return _neuronpedia(order, facts, _found(order, facts), texts)
    try:
        from mfn_server.exchange.folder_writing import write_folder
    except ModuleNotFoundError as error:
        raise MFNError(NEEDS_PYARROW) from error
    with ExitStack() as stack:
        if order.index is None:
            database = stack.enter_context(closing(open_database(order.database_url, make=False)))
            stack.enter_context(index_lock(database))
            found = parts_of_database(database, facts)
            weights = _weights(model, _stored_weights(database, facts))
        else:
            whole = _loaded(order, order.index, facts)
            found = StoredParts(parts_of(whole.index), whole.corpus)
            weights = _weights(model, load_weights(order.index, facts))
        write_folder(found.index, order.out, texts, facts.name, found.corpus, weights)
    n_features = sum(layer.n_features for layer in found.index.layers)
    return f"{n_features:,} features over {found.index.n_tokens:,} tokens are in {order.out}"


def _found(order: ExportOrder, facts: ModelFacts) -> StoredIndex:
    """All of the index, in memory."""
    from mfn_server.exchange.from_database import index_of_database

    if order.index is not None:
        return _loaded(order, order.index, facts)
    with closing(open_database(order.database_url, make=False)) as database, index_lock(database):
        return index_of_database(database, facts)


def _loaded(order: ExportOrder, path: Path, facts: ModelFacts) -> StoredIndex:
    from mfn_server.exchange.from_database import StoredIndex

    index = load_any(path, facts, order.out.parent)
    if index.model_fingerprint != facts.fingerprint:
        raise IndexFileError(f"{path} belongs to another model than {order.model}")
    return StoredIndex(index, corpus_name(path))


def _stored_weights(database: Database, facts: ModelFacts) -> WeightRecord | None:
    from mfn_server.weights.command import sources_by_layer
    from mfn_server.weights.store import stored_weights

    sources = sources_by_layer(database, facts)
    with database.read() as connection:
        return stored_weights(connection, sources)


def _weights(model: MFNModel, known: WeightRecord | None) -> WeightRecord:
    """What the weights say: as it is known, or computed here."""
    from mfn_core.indexing.from_weights import describe_weights
    from mfn_server.weights.record import kept_settings, record_of

    settings = kept_settings("pca")
    return known or record_of(describe_weights(model, settings), settings)


def _neuronpedia(order: ExportOrder, facts: ModelFacts, found: StoredIndex, texts: list[str]) -> str:
    from mfn_server.exchange.neuronpedia.explanations import write_explanations
    from mfn_server.exchange.neuronpedia.exporting import Corpus, write_dashboards

    explained = _explanations(order, facts)
    with new_folder(order.out) as folder:
        files = write_dashboards(Corpus(found.index, found.corpus, texts), facts, folder)
        for source, explanations in explained.items():
            if explanations:
                write_explanations(folder / source.id / "explanations", explanations)
    count = sum(map(len, explained.values()))
    return f"{files:,} batches of dashboards and {count:,} explanations are in {order.out}"


def _explanations(order: ExportOrder, facts: ModelFacts) -> dict[SourceName, list[Explanation]]:
    """The labels in the database. None where a finished index is exported, and there is no database beside it."""
    from mfn_server.exchange.neuronpedia.labels import explanations_of

    path = Database(order.database_url).path
    if order.index is not None and path and not path.exists():
        return {}
    with closing(open_database(order.database_url, make=False)) as database, database.write() as connection:
        return explanations_of(connection, register(connection, facts).model_id, facts)
