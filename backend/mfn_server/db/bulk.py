"""Many rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert

from mfn_server.db.tables import Table


def bulk_insert(
    connection: Connection, table: type[Table], columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert rows whose values the driver takes as they are (numbers, text, bytes; neither JSON nor times).

    On SQLite the rows go to the driver unprocessed, three times as fast as through SQLAlchemy's parameter handling.
    """
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        statement = insert(table).compile(dialect=connection.dialect, column_keys=list(columns))
        connection.exec_driver_sql(str(statement), [tuple(row) for row in rows])
    else:
        connection.execute(insert(table), [dict(zip(columns, row, strict=True)) for row in rows])
