"""Pieces of documents with a feature's values on them, from rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, func, select

from mfn_server.db.blobs import U4, unpack
from mfn_server.db.contexts import ContextColumns, StoredContext
from mfn_server.db.tables import Document, DocumentWindow, SampledContexts, TopContexts
from mfn_server.features.schemas import Context, Snippet

_SNIPPET_BEFORE, _SNIPPET_AFTER = 10, 6
_DECIMALS = 4


def contexts_of(
    connection: Connection, feature_id: int, first_window_id: int, token_texts: Sequence[str]
) -> tuple[list[Context], dict[int, list[Context]]]:
    """A feature's strongest contexts, strongest first, and its samples by band."""
    found = {table: _stored(connection, table, [feature_id]) for table in (TopContexts, SampledContexts)}
    top, sampled = (found[table].get(feature_id, []) for table in (TopContexts, SampledContexts))
    windows = _windows(connection, {first_window_id + context.window for context in (*top, *sampled)})
    samples: dict[int, list[Context]] = defaultdict(list)
    for context in sampled:
        samples[context.band].append(_context(windows[first_window_id + context.window], context, token_texts))
    return [_context(windows[first_window_id + context.window], context, token_texts) for context in top], samples


def snippets_of(
    connection: Connection, first_windows: Mapping[int, int], token_texts: Sequence[str]
) -> dict[int, Snippet]:
    """The surroundings of each feature's strongest firing.

    Args:
        connection: to the database.
        first_windows: of each feature's id, the id of its run's first window.
        token_texts: of the vocabulary.
    """
    stored = _stored(connection, TopContexts, list(first_windows))
    foremost = {feature: (first_windows[feature] + top[0].window, top[0]) for feature, top in stored.items()}
    windows = _windows(connection, {window for window, _ in foremost.values()})
    return {
        feature: snippet(_context(windows[window], context, token_texts))
        for feature, (window, context) in foremost.items()
    }


def _stored(
    connection: Connection, table: type[TopContexts | SampledContexts], feature_ids: Sequence[int]
) -> dict[int, list[StoredContext]]:
    """The contexts of features that have any, by feature id."""
    rows = connection.execute(select(table).where(table.feature_id.in_(feature_ids))).all()
    columns = ContextColumns.of(rows)
    contexts = iter(columns)
    return {
        row.feature_id: list(islice(contexts, count)) for row, count in zip(rows, columns.count.tolist(), strict=True)
    }


def _windows(connection: Connection, window_ids: Collection[int]) -> dict[int, Row[Any]]:
    """Windows with their tokens and what a reader is told of their documents, by id."""
    # the blob's slice is cut by the database, so that a long document is not carried over for 64 of its tokens
    begin, size = DocumentWindow.start * U4.itemsize + 1, DocumentWindow.length * U4.itemsize
    statement = (
        select(
            DocumentWindow.id,
            DocumentWindow.start,
            DocumentWindow.length,
            Document.ordinal,
            Document.title,
            Document.tags,
            Document.n_tokens,
            func.substr(Document.token_ids, begin, size).label("token_ids"),
        )
        .join(Document, Document.id == DocumentWindow.document_id)
        .where(DocumentWindow.id.in_(window_ids))
    )
    return {row.id: row for row in connection.execute(statement)}


def _context(row: Row[Any], stored: StoredContext, token_texts: Sequence[str]) -> Context:
    tokens = [token_texts[number] for number in unpack(row.token_ids, U4).tolist()]
    values = [0.0] * len(tokens)
    for position, value in zip(stored.positions, stored.values, strict=True):
        values[position] = round(value, _DECIMALS)
    return Context(
        document=row.ordinal,
        start=row.start,
        title=row.title,
        tags=row.tags,
        tokens=tokens,
        values=values,
        peak=stored.peak,
        peak_value=round(stored.peak_value, _DECIMALS),
        truncated_left=row.start > 0,
        truncated_right=row.start + row.length < row.n_tokens,
    )


def snippet(context: Context) -> Snippet:
    """A few tokens around a context's strongest firing."""
    begin = max(context.peak - _SNIPPET_BEFORE, 0)
    end = context.peak + _SNIPPET_AFTER + 1
    return Snippet(tokens=context.tokens[begin:end], values=context.values[begin:end], peak=context.peak - begin)
