"""Alembic environment. The app hands over a connection with an open transaction (mfn_server/db/migrate.py).

For a developer, `alembic -c migrations/alembic.ini revision --autogenerate -m "..."` works against MFN_DATABASE.
"""

from alembic import context
from sqlalchemy import Connection

import mfn_server.db.access_tables
import mfn_server.db.campaign_tables
import mfn_server.db.collection_tables
import mfn_server.db.installation
import mfn_server.db.score_tables  # noqa: F401 - so that all are known
from mfn_server.db.search import SEARCH_TABLES
from mfn_server.db.session import Database
from mfn_server.db.tables import Table
from mfn_server.settings import Settings


def is_ours(name: str | None, kind: str, parents: object) -> bool:
    """Leave out the search tables and what FTS5 keeps beside them: SQLAlchemy does not describe those."""
    return not (kind == "table" and name is not None and name.startswith(SEARCH_TABLES))


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        include_name=is_ours,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    database = Database(Settings().database_url)
    with database.write() as opened:
        run(opened)
