"""Labels know whether a person or a program wrote them. Those that are there were written by people."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("label_event", "label"):
        op.add_column(table, sa.Column("origin", sa.Text(), nullable=False, server_default="human"))
