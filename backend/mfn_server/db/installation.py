"""What tells this database from every other one: said in what leaves it, and asked of what comes in."""

from __future__ import annotations

import uuid

from sqlalchemy import Connection, select
from sqlalchemy.orm import Mapped, mapped_column

from mfn_server.db.tables import Table


class Installation(Table):
    """One row, made with the database. A copy of the database has the same."""

    __tablename__ = "installation"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)


def installation_id(connection: Connection) -> uuid.UUID:
    """The name of this database."""
    return connection.scalars(select(Installation.id)).one()
