"""What the weights say of features, apart from index runs. Computed when the app next starts on the model."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "source_weights",
        sa.Column("source_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("layout", sa.JSON(), nullable=False),
        sa.Column("bin_edges", sa.LargeBinary(), nullable=False),
        sa.Column("upstream", sa.Integer(), nullable=True),
        sa.Column("downstream", sa.Integer(), nullable=True),
        sa.Column("left_out", sa.JSON(), nullable=False),
        *(sa.Column(name, sa.LargeBinary(), nullable=True) for name in ("explained", "pca", "umap")),
        sa.Column("umap_version", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_source_weights_source_id_source"),
        sa.PrimaryKeyConstraint("source_id", name="pk_source_weights"),
    )
    op.create_table(
        "feature_weights",
        sa.Column("source_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_feature_weights_source_id_source"),
        sa.PrimaryKeyConstraint("source_id", "number", name="pk_feature_weights"),
        sqlite_with_rowid=False,
    )
