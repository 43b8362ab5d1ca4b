"""Everything that is said about features is an event, and what follows from the events has tables of its own.

Authors get an id beside their name: those of before are who they said they were. A label is known by its event.
"""

import sqlalchemy as sa
from alembic import op

from mfn_server.db.search import add_to_search, remove_from_search

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

AUTHOR_ID = "CASE WHEN origin = 'automatic' THEN 'program:' ELSE 'name:' END || author"
KEPT = ("stream", "source_id", "number", "text", "author", "origin", "created_at", "is_primary")


def upgrade() -> None:
    op.add_column("label_event", sa.Column("author_id", sa.Text(), nullable=False, server_default=""))
    op.add_column("label_event", sa.Column("redacted_by", sa.BigInteger(), nullable=True))
    op.execute(f"UPDATE label_event SET author_id = {AUTHOR_ID}")  # noqa: S608
    op.create_index("ix_label_event_author_id_label_event_stream", "label_event", ["author_id", "stream"])
    _renew_labels()
    _make_others()
    op.execute(
        "INSERT INTO label_summary "
        "(source_id, number, version, accepted, decided_by, n_labels, n_people, n_comments, n_skips) "
        "SELECT source_id, number, MAX(stream), NULL, NULL, "
        "(SELECT COUNT(*) FROM label l WHERE l.source_id = e.source_id AND l.number = e.number), "
        "(SELECT COUNT(DISTINCT l.author_id) FROM label l "
        "WHERE l.source_id = e.source_id AND l.number = e.number AND l.origin = 'human'), 0, 0 "
        "FROM label_event e GROUP BY source_id, number"
    )


def _renew_labels() -> None:
    """Made anew, since SQLite cannot change a primary key. The copy has no index whose name the new one needs."""
    connection = op.get_bind()
    columns = ", ".join(KEPT)
    op.execute(f"CREATE TABLE label_before AS SELECT {columns} FROM label")  # noqa: S608
    op.drop_table("label")
    op.create_table(
        "label",
        sa.Column("stream", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False, server_default="human"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("confidence", sa.Text(), nullable=True),
        sa.Column("unclear", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("up", sa.Integer(), nullable=False),
        sa.Column("down", sa.Integer(), nullable=False),
        sa.Column("is_accepted", sa.Boolean(), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_label_source_id_source"),
        sa.ForeignKeyConstraint(["stream"], ["label_event.stream"], name="fk_label_stream_label_event"),
        sa.PrimaryKeyConstraint("stream", name="pk_label"),
    )
    op.create_index("ix_label_source_id_label_number_label_is_primary", "label", ["source_id", "number", "is_primary"])
    op.create_index("ix_label_author", "label", ["author"])
    chosen = ", ".join(f"b.{name}" for name in KEPT)
    op.execute(
        f"INSERT INTO label ({columns}, author_id, reason, unclear, revision, up, down, is_accepted) "  # noqa: S608
        f"SELECT {chosen}, e.author_id, e.reason, FALSE, b.stream, 0, 0, FALSE "
        "FROM label_before b JOIN label_event e ON e.stream = b.stream"
    )
    op.drop_table("label_before")
    events = sa.table("label_event", sa.column("stream", sa.BigInteger), sa.column("payload", sa.JSON))
    labels = sa.table(
        "label", *(sa.column(n, t) for n, t in (("stream", sa.BigInteger), ("text", sa.Text), ("confidence", sa.Text)))
    )
    labels.append_column(sa.column("unclear", sa.Boolean))
    said = connection.execute(sa.select(events).join(labels, labels.c.stream == events.c.stream)).all()
    beyond = [
        {"of": row.stream, "is": row.payload.get("confidence"), "not": bool(row.payload.get("unclear"))}
        for row in said
        if row.payload.get("confidence") or row.payload.get("unclear")
    ]
    if beyond:
        statement = sa.update(labels).where(labels.c.stream == sa.bindparam("of"))
        connection.execute(statement.values(confidence=sa.bindparam("is"), unclear=sa.bindparam("not")), beyond)
    remove_from_search(connection, "label_search", 0, 2**63 - 1)
    texts = connection.execute(sa.select(labels.c.stream, labels.c.text).where(labels.c.text != ""))
    add_to_search(connection, "label_search", [(row.stream, row.text) for row in texts])


def _make_others() -> None:
    def big(name: str, nullable: bool = False) -> sa.Column:
        return sa.Column(name, sa.BigInteger(), nullable=nullable, autoincrement=False)

    def text(name: str, nullable: bool = False) -> sa.Column:
        return sa.Column(name, sa.Text(), nullable=nullable)

    def number(name: str, nullable: bool = False) -> sa.Column:
        return sa.Column(name, sa.Integer(), nullable=nullable, autoincrement=False)

    def of() -> list[sa.Column]:
        return [number("source_id"), number("number")]

    op.create_table(
        "label_vote",
        big("label"),
        text("author_id"),
        *of(),
        sa.Column("value", sa.SmallInteger(), nullable=False),
        big("revision"),
        big("stream"),
        sa.PrimaryKeyConstraint("label", "author_id", name="pk_label_vote"),
    )
    op.create_table(
        "label_rating",
        *of(),
        big("label"),
        text("author_id"),
        text("one_concept", True),
        sa.Column("specificity", sa.SmallInteger(), nullable=True),
        text("confidence", True),
        text("evidence", True),
        big("revision"),
        big("stream"),
        sa.PrimaryKeyConstraint("source_id", "number", "label", "author_id", name="pk_label_rating"),
    )
    op.create_table(
        "label_tag",
        *of(),
        text("tag"),
        text("author_id"),
        big("stream"),
        sa.PrimaryKeyConstraint("source_id", "number", "tag", name="pk_label_tag"),
    )
    op.create_index("ix_label_tag_tag", "label_tag", ["tag"])
    op.create_table(
        "label_comment",
        big("stream"),
        *of(),
        text("author_id"),
        text("text"),
        big("reply_to", True),
        big("label", True),
        sa.Column("mentions", sa.JSON(), nullable=False),
        sa.Column("is_retracted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("stream", name="pk_label_comment"),
    )
    op.create_index("ix_label_comment_source_id_label_comment_number", "label_comment", ["source_id", "number"])
    op.create_index("ix_label_comment_author_id", "label_comment", ["author_id"])
    op.create_table(
        "label_flag",
        big("stream"),
        *of(),
        text("flag"),
        text("author_id"),
        text("of_source", True),
        number("of_number", True),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("stream", name="pk_label_flag"),
    )
    op.create_index("ix_label_flag_source_id_label_flag_number", "label_flag", ["source_id", "number"])
    op.create_index("ix_label_flag_flag", "label_flag", ["flag"])
    op.create_table(
        "label_summary",
        *of(),
        big("version"),
        big("accepted", True),
        big("decided_by", True),
        *(number(name) for name in ("n_labels", "n_people", "n_comments", "n_skips")),
        sa.PrimaryKeyConstraint("source_id", "number", name="pk_label_summary"),
    )
    op.create_table(
        "live_tab",
        sa.Column("tab", sa.Uuid(), nullable=False),
        text("author_id"),
        text("author"),
        number("source_id", True),
        number("number", True),
        sa.Column("typing", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tab", name="pk_live_tab"),
    )
    op.create_index("ix_live_tab_seen_at", "live_tab", ["seen_at"])
    op.execute("INSERT INTO counter (name, value) VALUES ('live_tab', 0)")
