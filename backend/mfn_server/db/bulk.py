"""Many rows at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, insert

from mfn_server.db.tables import Table


def bulk_insert(
    connection: Connection, table: type[Table], columns: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> int:
    """Insert rows whose values the driver takes as they are: numbers, text and bytes, neither JSON nor times.

    They go to the driver unprocessed: on SQLite three times as fast as through SQLAlchemy's parameter handling, and on
    PostgreSQL as one binary COPY. Returns how many they were.
    """
    listed = list(rows)
    if not listed:
        return 0
    if connection.dialect.name == "sqlite":
        statement = insert(table).compile(dialect=connection.dialect, column_keys=list(columns))
        connection.exec_driver_sql(str(statement), listed)
        return len(listed)
    described = table.__table__.columns
    compiled = (described[name].type.compile(connection.dialect).lower() for name in columns)
    types = [name.partition(" collate ")[0] for name in compiled]
    quote = connection.dialect.identifier_preparer.quote
    target = f"{quote(table.__tablename__)} ({', '.join(map(quote, columns))})"
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types)
        for row in listed:
            copy.write_row(row)
    return len(listed)
