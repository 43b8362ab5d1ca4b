"""How many sums token R² was worked out from, so that nothing of an index is lost. Null in runs from before."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("source_index", sa.Column("token_pairs", sa.BigInteger(), nullable=True))
