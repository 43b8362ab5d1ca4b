"""Labels and opinions as a CSV file for spreadsheets: one row each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from mfn_server.db.session import Database
from mfn_server.exchange.labels.guard import guarded
from mfn_server.exchange.labels.rows import LABEL, OPINION, Row, feature_rows

COLUMNS = (
    *("kind", "source", "layer", "index", "text", "standing", "author", "author_id", "origin", "created_at"),
    *("revised_at", "confidence", "up", "down", "one_concept", "specificity", "evidence", "flag", "tags"),
    *("campaign", "reason", "event"),
)


def export_table(database: Database, model_id: int) -> Iterator[str]:
    """The file, some rows at a time. It begins with a mark by which spreadsheets know that it is UTF-8."""
    yield "\ufeff" + _lines([dict(zip(COLUMNS, COLUMNS, strict=True))])
    for rows in feature_rows(database, model_id):
        found = [{"kind": LABEL, **row} for row in rows.labels] + [{"kind": OPINION, **row} for row in rows.opinions]
        if found:
            yield _lines(found)


def _lines(rows: list[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerows([_cell(row.get(name)) for name in COLUMNS] for row in rows)
    return buffer.getvalue()


def _cell(value: Any) -> str | int:
    if value is None:
        return ""
    if isinstance(value, int):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    return guarded("; ".join(value) if isinstance(value, list) else str(value))
