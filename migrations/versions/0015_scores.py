"""Runs over labels in the background, and what labels scored. Nothing that was there is touched."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    when = sa.DateTime(timezone=True)

    def text(name: str, nullable: bool = False) -> sa.Column:
        return sa.Column(name, sa.Text(), nullable=nullable)

    def big(name: str) -> sa.Column:
        return sa.Column(name, sa.BigInteger(), nullable=False)

    def figure(name: str, nullable: bool = True) -> sa.Column:
        return sa.Column(name, sa.Double(), nullable=nullable)

    op.create_table(
        "naming_run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        text("kind"),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=True),
        *(text(name) for name in ("author_id", "author", "state")),
        sa.Column("stop", sa.Boolean(), nullable=False),
        sa.Column("worker", sa.Uuid(), nullable=True),
        text("phase"),
        figure("progress", nullable=False),
        text("message", nullable=True),
        *(big(name) for name in ("tokens_read", "tokens_written")),
        figure("cost", nullable=False),
        *(sa.Column(name, when, nullable=False) for name in ("created_at", "heard_at")),
        sa.Column("finished_at", when, nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_naming_run_model_id_model"),
        sa.PrimaryKeyConstraint("id", name="pk_naming_run"),
    )
    op.create_index("ix_naming_run_model_id_naming_run_created_at", "naming_run", ["model_id", "created_at"])
    op.create_table(
        "label_score",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        *(big(name) for name in ("label", "revision")),
        text("scorer"),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        text("reader"),
        *(figure(name) for name in ("value", "low", "high")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("n", "unread")),
        text("why", nullable=True),
        *(figure(name) for name in ("shuffled", "random")),
        text("questions"),
        sa.Column("details", sa.JSON(), nullable=False),
        *(big(name) for name in ("tokens_read", "tokens_written")),
        *(figure(name, nullable=False) for name in ("cost", "seconds")),
        sa.Column("created_at", when, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["naming_run.id"], name="fk_label_score_run_id_naming_run"),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_label_score_source_id_source"),
        sa.PrimaryKeyConstraint("id", name="pk_label_score"),
    )
    op.create_index("ix_label_score_source_id_label_score_number", "label_score", ["source_id", "number"])
    op.create_index("ix_label_score_run_id", "label_score", ["run_id"])
