"""Pieces of documents with a feature's values on them, from rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, Select, bindparam, func, select

from mfn_server.db.blobs import U4, unpack
from mfn_server.db.contexts import ContextColumns, StoredContext
from mfn_server.db.tables import Document, DocumentWindow, SampledContexts, TopContexts

Fields = dict[str, Any]
"""What becomes a body of `schemas`: here `Context` and `Snippet`."""

_CONTEXTS: dict[type[TopContexts | SampledContexts], Select[*tuple[Any, ...]]] = {
    table: select(table).where(table.feature_id.in_(bindparam("ids", expanding=True)))
    for table in (TopContexts, SampledContexts)
}
# cut by the database, so that a long document is not carried over for 64 of its tokens
_TOKEN_IDS = func.substr(
    Document.token_ids, DocumentWindow.start * U4.itemsize + 1, DocumentWindow.length * U4.itemsize
).label("token_ids")
_TEXTS: Select[*tuple[Any, ...]] = (
    select(DocumentWindow.id, _TOKEN_IDS)
    .join(Document, Document.id == DocumentWindow.document_id)
    .where(DocumentWindow.id.in_(bindparam("ids", expanding=True)))
)
_WINDOWS: Select[*tuple[Any, ...]] = _TEXTS.add_columns(
    DocumentWindow.start,
    DocumentWindow.length,
    Document.ordinal,
    Document.title,
    Document.tags,
    Document.n_tokens,
)
_SNIPPET_BEFORE, _SNIPPET_AFTER = 10, 6
_DECIMALS = 4


def contexts_of(
    connection: Connection, feature_id: int, first_window_id: int, token_texts: Sequence[str]
) -> tuple[list[Fields], dict[int, list[Fields]]]:
    """A feature's strongest contexts, strongest first, and its samples by band."""
    found = {table: _stored(connection, table, [feature_id]) for table in (TopContexts, SampledContexts)}
    top, sampled = (found[table].get(feature_id, []) for table in (TopContexts, SampledContexts))
    windows = _windows(connection, _WINDOWS, {first_window_id + context.window for context in (*top, *sampled)})
    samples: dict[int, list[Fields]] = defaultdict(list)
    for context in sampled:
        samples[context.band].append(_context(windows[first_window_id + context.window], context, token_texts))
    return [_context(windows[first_window_id + context.window], context, token_texts) for context in top], samples


def snippets_of(
    connection: Connection, first_windows: Mapping[int, int], token_texts: Sequence[str]
) -> dict[int, Fields]:
    """The surroundings of each feature's strongest firing.

    Args:
        connection: to the database.
        first_windows: of each feature's id, the id of its run's first window.
        token_texts: of the vocabulary.
    """
    rows = connection.execute(_CONTEXTS[TopContexts], {"ids": list(first_windows)}).all()
    columns = ContextColumns.of(rows)
    first_of_each = columns.only(np.cumsum(columns.count) - columns.count)
    foremost = {
        row.feature_id: (first_windows[row.feature_id] + top.window, top)
        for row, top in zip(rows, first_of_each, strict=True)
    }
    windows = _windows(connection, _TEXTS, {window for window, _ in foremost.values()})
    return {
        feature: _snippet(windows[window].token_ids, context, token_texts)
        for feature, (window, context) in foremost.items()
    }


def _stored(
    connection: Connection, table: type[TopContexts | SampledContexts], feature_ids: Sequence[int]
) -> dict[int, list[StoredContext]]:
    """The contexts of features that have any, by feature id."""
    rows = connection.execute(_CONTEXTS[table], {"ids": feature_ids}).all()
    columns = ContextColumns.of(rows)
    contexts = iter(columns)
    return {
        row.feature_id: list(islice(contexts, count)) for row, count in zip(rows, columns.count.tolist(), strict=True)
    }


def _windows(
    connection: Connection, statement: Select[*tuple[Any, ...]], window_ids: Collection[int]
) -> dict[int, Row[Any]]:
    """Windows with what a statement selects of them, by id."""
    rows = connection.execute(statement, {"ids": list(window_ids)})
    return {row.id: row for row in rows}


def _context(row: Row[Any], stored: StoredContext, token_texts: Sequence[str]) -> Fields:
    tokens = [token_texts[number] for number in unpack(row.token_ids, U4).tolist()]
    values = [0.0] * len(tokens)
    for position, value in zip(stored.positions, stored.values, strict=True):
        values[position] = round(value, _DECIMALS)
    return {
        "document": row.ordinal,
        "start": row.start,
        "title": row.title,
        "tags": row.tags,
        "tokens": tokens,
        "values": values,
        "peak": stored.peak,
        "peak_value": round(stored.peak_value, _DECIMALS),
        "truncated_left": row.start > 0,
        "truncated_right": row.start + row.length < row.n_tokens,
    }


def snippet(context: Fields) -> Fields:
    """A few tokens around a context's strongest firing."""
    peak, part = context["peak"], _around(context["peak"])
    return {"tokens": context["tokens"][part], "values": context["values"][part], "peak": peak - part.start}


def _snippet(token_ids: bytes, stored: StoredContext, token_texts: Sequence[str]) -> Fields:
    """The same from a window's token ids, without the rest of the context."""
    part = _around(stored.peak)
    tokens = [token_texts[number] for number in unpack(token_ids, U4)[part].tolist()]
    values = [0.0] * len(tokens)
    for position, value in zip(stored.positions, stored.values, strict=True):
        if 0 <= position - part.start < len(tokens):
            values[position - part.start] = round(value, _DECIMALS)
    return {"tokens": tokens, "values": values, "peak": stored.peak - part.start}


def _around(peak: int) -> slice:
    return slice(max(peak - _SNIPPET_BEFORE, 0), peak + _SNIPPET_AFTER + 1)
