"""How much room the tables take, indices included."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import OperationalError

from mfn_server.db.tables import (
    OF_FEATURES,
    Document,
    DocumentWindow,
    Feature,
    FeatureColumn,
    FeatureWeights,
    SourceIndex,
    SourceWeights,
    TermFeatures,
    TokenPosting,
    WordVector,
)

INDEX_TABLES = (
    Feature.__tablename__,
    *(table.__tablename__ for table in OF_FEATURES),
    TokenPosting.__tablename__,
    DocumentWindow.__tablename__,
    FeatureColumn.__tablename__,
    TermFeatures.__tablename__,
    WordVector.__tablename__,
    SourceIndex.__tablename__,
)
"""What index runs consist of. The documents are not among them: runs over the same corpus share those."""


WEIGHT_TABLES = (FeatureWeights.__tablename__, SourceWeights.__tablename__)
"""What the weights say, once a model, whatever its runs."""


@dataclass(frozen=True)
class IndexSize:
    """What the index runs of a database take.

    Attributes:
        n_features: features of all runs together, those of unfinished ones too.
        tables: bytes of each of `INDEX_TABLES`.
        n_weights: features of which is known what the weights say.
        weights: bytes of each of `WEIGHT_TABLES`.
        documents: bytes of the documents.
    """

    n_features: int
    tables: dict[str, int]
    n_weights: int
    weights: dict[str, int]
    documents: int

    @property
    def bytes_per_feature(self) -> float:
        """Bytes a feature of one run takes, with what its weights say if that is known; 0 without any feature."""
        index = sum(self.tables.values()) / self.n_features if self.n_features else 0.0
        return index + (sum(self.weights.values()) / self.n_weights if self.n_weights else 0.0)


def index_size(connection: Connection) -> IndexSize | None:
    """Measure it. None where SQLite was built without `dbstat`, which reads every page: a second for some GB."""
    try:
        found = _sqlite(connection) if connection.dialect.name == "sqlite" else _postgres(connection)
    except OperationalError as error:
        if "dbstat" not in str(error.orig):
            raise
        return None
    return IndexSize(
        n_features=connection.scalar(select(func.count()).select_from(Feature)) or 0,
        tables={name: found.get(name, 0) for name in INDEX_TABLES},
        n_weights=connection.scalar(select(func.count()).select_from(FeatureWeights)) or 0,
        weights={name: found.get(name, 0) for name in WEIGHT_TABLES},
        documents=found.get(Document.__tablename__, 0),
    )


def _sqlite(connection: Connection) -> dict[str, int]:
    schema = connection.execute(text("SELECT name, tbl_name FROM sqlite_schema"))
    owner: dict[str, str] = {row.name: row.tbl_name for row in schema}
    sizes: dict[str, int] = {}
    for name, size in connection.execute(text("SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE")):
        table = owner.get(name, name)
        sizes[table] = sizes.get(table, 0) + size
    return sizes


def _postgres(connection: Connection) -> dict[str, int]:
    statement = "SELECT relname, pg_total_relation_size(relid) AS size FROM pg_catalog.pg_statio_user_tables"
    return {row.relname: row.size for row in connection.execute(text(statement))}
