"""What feature lists look things up in: columns as arrays, features by word and tag. Contexts are no longer searched by
window.

Indexes from before are let go of, as by 0005: what they were made from makes them anew.
"""

import logging

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

REASON = "this index was written by an older version of MFN Studio: make it anew with `mfn index` (labels are kept)"


def upgrade() -> None:
    runs = sa.table("index_run", *(sa.column(name, sa.Text()) for name in ("state", "message")))
    op.execute("UPDATE source SET current_run_id = NULL")
    if op.get_bind().execute(sa.select(runs.c.state).where(runs.c.state != "failed")).first() is not None:
        logging.getLogger(__name__).warning(REASON)
    op.execute(sa.update(runs).where(runs.c.state != "failed").values(state="failed", message=REASON))
    op.create_table(
        "feature_column",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["index_run.id"], name="fk_feature_column_run_id_index_run", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_feature_column_source_id_source"),
        sa.PrimaryKeyConstraint("run_id", "source_id", "name", "part", name="pk_feature_column"),
    )
    op.create_table(
        "term_features",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("term", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("block", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("rows", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["index_run.id"], name="fk_term_features_run_id_index_run", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "kind", "term", "block", "level", name="pk_term_features"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "word_vector",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("direction", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["index_run.id"], name="fk_word_vector_run_id_index_run", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "word", name="pk_word_vector"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_label_author", "label", ["author"], unique=False)
    for column in ("rate", "maximum", "mean", "token_r2"):
        op.drop_index(f"ix_feature_run_id_feature_{column}", "feature")
    op.drop_table("window_search")
    op.drop_column("document_window", "features")
