"""An index in a third of the room: one row a feature for its contexts, slim rows for lists, small numbers as LEB128.

Indexes from before are let go of: what they were made from makes them anew. Their runs stay as failed ones that say so,
and corpora, labels and presets stay as they are.
"""

import logging

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REASON = "this index was written by an older version of MFN Studio: make it anew with `mfn index` (labels are kept)"


def upgrade() -> None:
    runs = sa.table("index_run", *(sa.column(name, sa.Text()) for name in ("state", "message")))
    op.execute("UPDATE source SET current_run_id = NULL")
    if op.get_bind().execute(sa.select(runs.c.state).where(runs.c.state != "failed")).first() is not None:
        logging.getLogger(__name__).warning(REASON)
    op.execute(sa.update(runs).where(runs.c.state != "failed").values(state="failed", message=REASON))
    for table in ("source_index", "window_search"):
        op.execute(sa.delete(sa.table(table)))
    for table in ("activation", "feature_token", "document_window", "feature"):
        op.drop_table(table)
    for name, kind in (
        ("first_feature_id", KEY),
        ("n_features", sa.BigInteger()),
        ("first_window_id", KEY),
        ("n_windows", sa.BigInteger()),
        ("digest", sa.Text()),
    ):
        op.add_column("index_run", sa.Column(name, kind, nullable=True))
    op.create_table(
        "feature",
        sa.Column("id", KEY, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("firing_count", sa.BigInteger(), nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("maximum", sa.Double(), nullable=False),
        sa.Column("mean", sa.Double(), nullable=False),
        sa.Column("token_r2", sa.Double(), nullable=True),
        sa.Column("half_firings", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["index_run.id"], name="fk_feature_run_id_index_run", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_feature_source_id_source"),
        sa.PrimaryKeyConstraint("id", name="pk_feature"),
        sa.UniqueConstraint("run_id", "source_id", "number", name="uq_feature_run_id_source_id_number"),
    )
    for figure in ("rate", "maximum", "mean", "token_r2"):
        op.create_index(f"ix_feature_run_id_feature_{figure}", "feature", ["run_id", figure], unique=False)
    told = ("histogram", "band_edges", "band_counts", "token_ids", "token_shares", "promoted_ids", "promoted_logits")
    told += ("suppressed_ids", "suppressed_logits", "neighbour_numbers", "neighbour_cosines")
    sampled = ("cofiring_numbers", "cofiring_lifts", "cofiring_counts", "next_ids", "next_shares")
    of_features(
        "feature_detail",
        *(sa.Column(name, sa.LargeBinary(), nullable=False) for name in told),
        *(sa.Column(name, sa.LargeBinary(), nullable=True) for name in sampled),
        sa.Column("sampled_firings", sa.BigInteger(), nullable=True),
    )
    contexts = ("windows", "firings", "peaks", "peak_values", "positions", "values")
    for table, columns in (("top_contexts", contexts), ("sampled_contexts", ("bands", *contexts))):
        of_features(table, *(sa.Column(name, sa.LargeBinary(), nullable=False) for name in columns))
    op.create_table(
        "document_window",
        sa.Column("id", KEY, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("document_id", KEY, nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("length", sa.SmallInteger(), nullable=False),
        sa.Column("features", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name="fk_document_window_document_id_document"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["index_run.id"], name="fk_document_window_run_id_index_run", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_document_window"),
    )
    op.create_index("ix_document_window_document_id", "document_window", ["document_id"], unique=False)
    op.create_index("ix_document_window_run_id", "document_window", ["run_id"], unique=False)
    op.create_table(
        "token_posting",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("token_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("features", sa.LargeBinary(), nullable=False),
        sa.Column("shares", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["index_run.id"], name="fk_token_posting_run_id_index_run", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "token_id", name="pk_token_posting"),
    )


def of_features(table: str, *columns: sa.Column) -> None:
    """A table with one row a feature at most."""
    op.create_table(
        table,
        sa.Column("feature_id", KEY, autoincrement=False, nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            ["feature_id"], ["feature.id"], name=f"fk_{table}_feature_id_feature", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("feature_id", name=f"pk_{table}"),
    )
