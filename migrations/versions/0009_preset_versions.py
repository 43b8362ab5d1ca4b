"""Presets have versions: what one says moves into a row a version. What is there becomes version 1."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

CONTENT = ("name", "description", "prompt", "interventions", "settings")


def upgrade() -> None:
    op.create_table(
        "preset_version",
        sa.Column("preset_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("interventions", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["preset_id"], ["preset.id"], name=op.f("fk_preset_version_preset_id_preset"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("preset_id", "version", name=op.f("pk_preset_version")),
    )
    columns = ", ".join(CONTENT)
    op.execute(
        f"INSERT INTO preset_version (preset_id, version, {columns}, created_at) "  # noqa: S608
        f"SELECT id, 1, {columns}, created_at FROM preset"
    )
    op.add_column("preset", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    for column in CONTENT:
        op.drop_column("preset", column)
