"""Writes what feature lists look things up in, and reads it again: columns by source, features by term."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select, tuple_

from mfn_core.indexing.types import CorpusIndex
from mfn_server.db.browse_build import (
    COLUMNS,
    TermKind,
    Terms,
    columns_of,
    tag_sets,
    tags_of,
    word_sets,
)
from mfn_server.db.bulk import bulk_insert
from mfn_server.db.context_rows import Windows
from mfn_server.db.meaning import (
    DIMENSIONS,
    WORD_COLUMNS,
    WindowVectors,
    WordVectors,
    about_document,
    feature_vectors,
    fit_words,
    word_rows,
)
from mfn_server.db.search import search_words
from mfn_server.db.session import Database
from mfn_server.db.tables import FeatureColumn, TermFeatures, WordVector
from mfn_server.db.term_sets import BLOCK, TermSet, raise_levels

PART = 1 << 23
"""Bytes in one part of a column."""

MEANING = "meaning"
"""The column of `meaning.feature_vectors`; it is read apart, when it is needed."""

_TYPES = {**COLUMNS, MEANING: np.dtype((np.int8, (DIMENSIONS,)))}

MOST_TERMS = 32
"""How many words the unfinished last word of a query may stand for."""

_SET_COLUMNS = ("run_id", "kind", "term", "block", "level", "rows")
_COLUMN_COLUMNS = ("run_id", "source_id", "name", "part", "data")
_ROWS = 20_000  # a transaction, as in `index_store`


def write_browse(
    database: Database,
    run_id: int,
    source_ids: Sequence[int],
    index: CorpusIndex,
    windows: Windows,
    decode: Callable[[Sequence[int]], str],
) -> None:
    """Write columns and sets of features of a run, by short transactions, the columns last.

    Args:
        database: where the run is.
        run_id: the run.
        source_ids: of the index's layers, in their order.
        index: the run's index.
        windows: its windows.
        decode: text of token ids.
    """
    texts = windows.texts(slice(0, len(windows)), index.documents, decode)
    words = Terms.of(map(search_words, texts))
    tags = Terms.of(tags_of(meta) for meta in index.meta)
    write_sets(database, run_id, TermKind.WORD, word_sets(index.layers, windows, words), words.names)
    write_sets(database, run_id, TermKind.TAG, tag_sets(index.layers, tags), tags.names)
    about = [set(search_words(about_document(meta, tags_of(meta)))) for meta in index.meta]
    terms = Terms.of(words.names_of(w) | about[document] for w, document in enumerate(windows.document.tolist()))
    vectors = fit_words(terms)
    if vectors is not None:
        write_words(database, run_id, terms.names, vectors)
        in_space = WindowVectors(terms, vectors)
    for source_id, layer in zip(source_ids, index.layers, strict=True):
        columns = columns_of(layer, index.n_tokens)
        if vectors is not None:
            columns[MEANING] = feature_vectors(layer, windows, in_space).tobytes()
        write_columns(database, run_id, source_id, columns)


def write_sets(database: Database, run_id: int, kind: TermKind, sets: Iterable[TermSet], names: Sequence[str]) -> None:
    """Write a run's sets of one kind. A term's number is its place in `names`."""
    iterator = iter(sets)
    while chunk := list(islice(iterator, _ROWS)):
        rows = [(run_id, int(kind), names[p.term], p.block, p.level, p.rows) for p in chunk]
        with database.write() as connection:
            bulk_insert(connection, TermFeatures, _SET_COLUMNS, rows)


def write_words(database: Database, run_id: int, names: Sequence[str], vectors: WordVectors) -> None:
    """Write the vectors of a run's words."""
    iterator = word_rows(run_id, names, vectors)
    while chunk := list(islice(iterator, _ROWS)):
        with database.write() as connection:
            bulk_insert(connection, WordVector, WORD_COLUMNS, chunk)


def write_columns(database: Database, run_id: int, source_id: int, columns: Mapping[str, bytes]) -> None:
    """Write a source's columns, all in one transaction."""
    rows = [
        (run_id, source_id, name, part, data[begin : begin + PART])
        for name, data in columns.items()
        for part, begin in enumerate(range(0, len(data), PART))
    ]
    with database.write() as connection:
        bulk_insert(connection, FeatureColumn, _COLUMN_COLUMNS, rows)


def read_columns(connection: Connection, run_id: int, source_id: int) -> dict[str, NDArray[Any]]:
    """A source's figures and orders, [F] each, read-only; empty where the run has none."""
    return _read(connection, run_id, source_id, FeatureColumn.name != MEANING)


def read_column(connection: Connection, run_id: int, source_id: int, name: str) -> NDArray[Any] | None:
    """One of a source's columns, read-only; None where the run does not have it."""
    return _read(connection, run_id, source_id, FeatureColumn.name == name).get(name)


def _read(connection: Connection, run_id: int, source_id: int, which: ColumnElement[bool]) -> dict[str, NDArray[Any]]:
    statement = (
        select(FeatureColumn.name, FeatureColumn.data)
        .where(FeatureColumn.run_id == run_id, FeatureColumn.source_id == source_id, which)
        .order_by(FeatureColumn.name, FeatureColumn.part)
    )
    parts: dict[str, list[bytes]] = {}
    for name, data in connection.execute(statement):
        parts.setdefault(name, []).append(data)
    return {name: np.frombuffer(b"".join(data), _TYPES[name]) for name, data in parts.items()}


def levels_of(
    connection: Connection, run_id: int, n: int, kind: TermKind, term: str, *, unfinished: bool = False
) -> NDArray[np.uint8]:
    """How strongly each feature of a run belongs to a term: uint8 [n], 0: not at all, else 1 + its level.

    Args:
        connection: to read with.
        run_id: the run.
        n: its features.
        kind: what the term is.
        term: the term.
        unfinished: where there is no such term, take those that begin so, the 32 with the largest sets.
    """
    run = {"run_id": run_id, "kind": int(kind)}
    rows = connection.execute(_SETS, {**run, "terms": [term]}).all()
    if unfinished and not rows:
        bounds = {"low": term, "high": term + "\U0010ffff"}
        terms = [row.term for row in connection.execute(_BEGINNING, {**run, **bounds})]
        rows = connection.execute(_SETS, {**run, "terms": terms}).all() if terms else []
    levels = np.zeros(n, np.uint8)
    for block, level, blob in rows:
        raise_levels(levels[block * BLOCK : (block + 1) * BLOCK], blob, level + 1)
    return levels


_OF_KIND = (TermFeatures.run_id == bindparam("run_id"), TermFeatures.kind == bindparam("kind"))
_SETS = select(TermFeatures.block, TermFeatures.level, TermFeatures.rows).where(
    *_OF_KIND, TermFeatures.term.in_(bindparam("terms", expanding=True))
)
_BEGINNING = (
    select(TermFeatures.term)
    .where(*_OF_KIND, TermFeatures.term >= bindparam("low"), TermFeatures.term <= bindparam("high"))
    .group_by(TermFeatures.term)
    .order_by(func.sum(func.length(TermFeatures.rows)).desc(), TermFeatures.term)
    .limit(MOST_TERMS)
)


def remove_browse(database: Database, run_id: int) -> None:
    """Remove what `write_browse` wrote, by short transactions. Columns go first: lists need them."""
    with database.write() as connection:
        connection.execute(delete(FeatureColumn).where(FeatureColumn.run_id == run_id))
        connection.execute(delete(WordVector).where(WordVector.run_id == run_id))
    key = (TermFeatures.run_id, TermFeatures.kind, TermFeatures.term, TermFeatures.block, TermFeatures.level)
    some = select(*key).where(TermFeatures.run_id == run_id).limit(_ROWS)
    removed = _ROWS
    while removed == _ROWS:
        with database.write() as connection:
            removed = connection.execute(delete(TermFeatures).where(tuple_(*key).in_(some))).rowcount
