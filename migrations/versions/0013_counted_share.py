"""On which share of all tokens it was counted what a feature fires on. Null: on all of them, as in all runs before."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("feature_detail", sa.Column("counted_share", sa.Double(), nullable=True))
