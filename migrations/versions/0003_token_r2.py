"""Token R²: how much of a feature the current token alone explains. Null until the corpus is indexed anew."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("feature", sa.Column("token_r2", sa.Double(), nullable=True))
    op.add_column("feature", sa.Column("half_firings", sa.BigInteger(), nullable=True))
    op.create_index("ix_feature_run_id_feature_token_r2", "feature", ["run_id", "token_r2"], unique=False)
