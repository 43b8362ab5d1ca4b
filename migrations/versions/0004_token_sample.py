"""What fires together and which tokens come next, on a sample of tokens. Null until the corpus is indexed anew."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("cofiring_numbers", "cofiring_lifts", "cofiring_counts", "next_ids", "next_shares"):
        op.add_column("feature", sa.Column(name, sa.LargeBinary(), nullable=True))
    op.add_column("feature", sa.Column("sampled_firings", sa.BigInteger(), nullable=True))
    op.add_column("source_index", sa.Column("sampled_tokens", sa.BigInteger(), nullable=True))
