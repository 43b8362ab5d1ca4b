"""Campaigns: a log of what is done to them, what follows from it, leases, and the opinions that were given in them.

Nothing that was there is touched.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
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
        "campaign_event",
        big("stream"),
        identity("id"),
        identity("campaign_id"),
        number("model_id"),
        *(text(name) for name in ("type", "author_id", "author")),
        sa.Column("created_at", when, nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("payload_version", sa.SmallInteger(), nullable=False),
        points_to("campaign_event", "model_id", "model"),
        sa.PrimaryKeyConstraint("stream", name="pk_campaign_event"),
        sa.UniqueConstraint("id", name="uq_campaign_event_id"),
    )
    op.create_index("ix_campaign_event_campaign_id_campaign_event_stream", "campaign_event", ["campaign_id", "stream"])
    op.create_table(
        "campaign",
        identity("id"),
        number("model_id"),
        big("version"),
        *(text(name) for name in ("name", "instructions")),
        sa.Column("opinions", sa.SmallInteger(), nullable=False),
        sa.Column("is_blind", sa.Boolean(), nullable=False),
        sa.Column("for_all", sa.Boolean(), nullable=False),
        sa.Column("due_at", when, nullable=True),
        sa.Column("closed_at", when, nullable=True),
        *(text(name) for name in ("author_id", "author")),
        sa.Column("created_at", when, nullable=False),
        points_to("campaign", "model_id", "model"),
        sa.PrimaryKeyConstraint("id", name="pk_campaign"),
    )
    op.create_index("ix_campaign_model_id", "campaign", ["model_id"])
    op.create_table(
        "campaign_member",
        identity("campaign_id"),
        text("person_id"),
        points_to("campaign_member", "campaign_id", "campaign"),
        sa.PrimaryKeyConstraint("campaign_id", "person_id", name="pk_campaign_member"),
    )
    op.create_table(
        "campaign_item",
        identity("campaign_id"),
        number("source_id"),
        number("number"),
        sa.Column("importance", sa.Double(), nullable=False),
        points_to("campaign_item", "campaign_id", "campaign"),
        points_to("campaign_item", "source_id", "source"),
        sa.PrimaryKeyConstraint("campaign_id", "source_id", "number", name="pk_campaign_item"),
    )
    op.create_index("ix_campaign_item_source_id_campaign_item_number", "campaign_item", ["source_id", "number"])
    op.create_table(
        "campaign_lease",
        identity("id"),
        identity("campaign_id"),
        number("source_id"),
        number("number"),
        text("author_id"),
        sa.Column("expires_at", when, nullable=False),
        points_to("campaign_lease", "campaign_id", "campaign"),
        sa.PrimaryKeyConstraint("id", name="pk_campaign_lease"),
        sa.UniqueConstraint(
            "campaign_id",
            "source_id",
            "number",
            "author_id",
            name="uq_campaign_lease_campaign_id_source_id_number_author_id",
        ),
    )
    op.create_index("ix_campaign_lease_expires_at", "campaign_lease", ["expires_at"])
    op.create_table(
        "label_opinion",
        identity("campaign_id"),
        number("source_id"),
        number("number"),
        text("author_id"),
        big("stream"),
        *(text(name, True) for name in ("text", "flag", "one_concept")),
        sa.Column("specificity", sa.SmallInteger(), nullable=True),
        text("confidence", True),
        sa.PrimaryKeyConstraint("campaign_id", "source_id", "number", "author_id", name="pk_label_opinion"),
    )
    op.create_index("ix_label_opinion_source_id_label_opinion_number", "label_opinion", ["source_id", "number"])
    op.execute("INSERT INTO counter (name, value) VALUES ('campaign_event', 0)")
