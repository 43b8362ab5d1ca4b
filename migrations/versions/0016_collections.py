"""Collections: a log of what is done to them, and what follows from it. A name for this database, for what leaves it.

Nothing that was there is touched.
"""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    when = sa.DateTime(timezone=True)

    def text(name: str, nullable: bool = False) -> sa.Column:
        return sa.Column(name, sa.Text(), nullable=nullable)

    def big(name: str) -> sa.Column:
        return sa.Column(name, sa.BigInteger(), nullable=False, autoincrement=False)

    def number(name: str) -> sa.Column:
        return sa.Column(name, sa.Integer(), nullable=False, autoincrement=False)

    def identity(name: str) -> sa.Column:
        return sa.Column(name, sa.Uuid(), nullable=False)

    def points_to(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
        return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=f"fk_{table}_{column}_{other}")

    op.create_table(
        "collection_event",
        big("stream"),
        identity("id"),
        identity("collection_id"),
        number("model_id"),
        *(text(name) for name in ("type", "author_id", "author")),
        sa.Column("created_at", when, nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("payload_version", sa.SmallInteger(), nullable=False),
        points_to("collection_event", "model_id", "model"),
        sa.PrimaryKeyConstraint("stream", name="pk_collection_event"),
        sa.UniqueConstraint("id", name="uq_collection_event_id"),
    )
    op.create_index(
        "ix_collection_event_collection_id_collection_event_stream", "collection_event", ["collection_id", "stream"]
    )
    op.create_index("ix_collection_event_model_id", "collection_event", ["model_id"])
    op.create_table(
        "collection",
        identity("id"),
        number("model_id"),
        big("version"),
        text("name"),
        text("description", True),
        sa.Column("n_items", sa.Integer(), nullable=False),
        *(text(name) for name in ("author_id", "author")),
        sa.Column("created_at", when, nullable=False),
        *(text(name) for name in ("changed_by_id", "changed_by")),
        sa.Column("changed_at", when, nullable=False),
        sa.Column("is_deleted", sa.Boolean(), nullable=False),
        points_to("collection", "model_id", "model"),
        sa.PrimaryKeyConstraint("id", name="pk_collection"),
    )
    op.create_index("ix_collection_model_id", "collection", ["model_id"])
    op.create_table(
        "collection_item",
        identity("collection_id"),
        number("source_id"),
        number("number"),
        sa.Column("position", sa.Integer(), nullable=False),
        text("note", True),
        points_to("collection_item", "collection_id", "collection"),
        points_to("collection_item", "source_id", "source"),
        sa.PrimaryKeyConstraint("collection_id", "source_id", "number", name="pk_collection_item"),
    )
    op.create_index("ix_collection_item_source_id_collection_item_number", "collection_item", ["source_id", "number"])
    op.execute("INSERT INTO counter (name, value) VALUES ('collection_event', 0)")
    installation = op.create_table(
        "installation", identity("id"), sa.PrimaryKeyConstraint("id", name="pk_installation")
    )
    op.bulk_insert(installation, [{"id": uuid.uuid4()}])
