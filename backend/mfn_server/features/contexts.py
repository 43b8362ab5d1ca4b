"""Pieces of documents with a feature's values on them, from rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from mfn_server.db.blobs import F2, U1, U4, unpack
from mfn_server.db.tables import Activation, Document, DocumentWindow
from mfn_server.features.schemas import Context, Snippet

TOP, SAMPLE = 0, 1
_SNIPPET_BEFORE, _SNIPPET_AFTER = 10, 6
_DECIMALS = 4


def contexts_of(
    connection: Connection, feature_id: int, token_texts: Sequence[str]
) -> tuple[list[Context], dict[int, list[Context]]]:
    """A feature's strongest contexts, strongest first, and its samples by band."""
    statement = _activations().where(Activation.feature_id == feature_id)
    top: list[Context] = []
    samples: dict[int, list[Context]] = defaultdict(list)
    for row in connection.execute(statement.order_by(Activation.kind, Activation.band, Activation.rank)):
        (top if row.kind == TOP else samples[row.band]).append(_context(row, token_texts))
    return top, samples


def snippets_of(connection: Connection, feature_ids: Sequence[int], token_texts: Sequence[str]) -> dict[int, Snippet]:
    """The surroundings of each feature's strongest firing."""
    statement = _activations().where(
        Activation.feature_id.in_(feature_ids), Activation.kind == TOP, Activation.rank == 0
    )
    return {row.feature_id: _snippet(_context(row, token_texts)) for row in connection.execute(statement)}


def _activations() -> Select[Any]:
    # the blob's slice is cut by the database, so that a long document is not carried over for 64 of its tokens
    begin, size = DocumentWindow.start * U4.itemsize + 1, DocumentWindow.length * U4.itemsize
    return (
        select(
            Activation,
            DocumentWindow.start,
            DocumentWindow.length,
            Document.ordinal,
            Document.title,
            Document.tags,
            Document.n_tokens,
            func.substr(Document.token_ids, begin, size).label("token_ids"),
        )
        .join(DocumentWindow, DocumentWindow.id == Activation.window_id)
        .join(Document, Document.id == DocumentWindow.document_id)
    )


def _context(row: Row[Any], token_texts: Sequence[str]) -> Context:
    tokens = [token_texts[number] for number in unpack(row.token_ids, U4).tolist()]
    values = [0.0] * len(tokens)
    positions = unpack(row.firing_positions, U1).tolist()
    for position, value in zip(positions, unpack(row.firing_values, F2).tolist(), strict=True):
        values[position] = round(value, _DECIMALS)
    return Context(
        document=row.ordinal,
        start=row.start,
        title=row.title,
        tags=row.tags,
        tokens=tokens,
        values=values,
        peak=row.peak,
        peak_value=round(row.peak_value, _DECIMALS),
        truncated_left=row.start > 0,
        truncated_right=row.start + row.length < row.n_tokens,
    )


def _snippet(context: Context) -> Snippet:
    begin = max(context.peak - _SNIPPET_BEFORE, 0)
    end = context.peak + _SNIPPET_AFTER + 1
    return Snippet(tokens=context.tokens[begin:end], values=context.values[begin:end], peak=context.peak - begin)
