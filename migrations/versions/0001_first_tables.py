"""The first tables: models and sources, corpora, index runs, labels, presets, search."""

import sqlalchemy as sa
from alembic import op

from mfn_server.db.search import create_search_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "corpus",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("n_documents", sa.Integer(), nullable=False),
        sa.Column("n_tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_corpus"),
    )
    op.create_index("ix_corpus_content_hash", "corpus", ["content_hash"], unique=False)
    op.create_table(
        "counter",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counter"),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model"),
        sa.UniqueConstraint("fingerprint", name="uq_model_fingerprint"),
    )
    op.create_table(
        "document",
        sa.Column("id", KEY, autoincrement=False, nullable=False),
        sa.Column("corpus_id", KEY, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.Column("n_tokens", sa.Integer(), nullable=False),
        sa.Column("token_ids", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["corpus_id"], ["corpus.id"], name="fk_document_corpus_id_corpus", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_document"),
        sa.UniqueConstraint("corpus_id", "ordinal", name="uq_document_corpus_id_ordinal"),
    )
    op.create_table(
        "index_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("corpus_id", KEY, nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("n_tokens", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["corpus_id"], ["corpus.id"], name="fk_index_run_corpus_id_corpus"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_index_run_model_id_model"),
        sa.PrimaryKeyConstraint("id", name="pk_index_run"),
    )
    op.create_index("ix_index_run_model_id", "index_run", ["model_id"], unique=False)
    op.create_table(
        "preset",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("interventions", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("builtin", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_preset_model_id_model"),
        sa.PrimaryKeyConstraint("id", name="pk_preset"),
    )
    op.create_index("ix_preset_model_id", "preset", ["model_id"], unique=False)
    op.create_table(
        "document_window",
        sa.Column("id", KEY, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("document_id", KEY, nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("length", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name="fk_document_window_document_id_document"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["index_run.id"], name="fk_document_window_run_id_index_run", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_document_window"),
    )
    op.create_index("ix_document_window_document_id", "document_window", ["document_id"], unique=False)
    op.create_index("ix_document_window_run_id", "document_window", ["run_id"], unique=False)
    op.create_table(
        "source",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("layer", sa.Integer(), nullable=False),
        sa.Column("weights_hash", sa.Text(), nullable=False),
        sa.Column("n_features", sa.Integer(), nullable=False),
        sa.Column("current_run_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["current_run_id"], ["index_run.id"], name="fk_source_current_run_id_index_run", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_source_model_id_model"),
        sa.PrimaryKeyConstraint("id", name="pk_source"),
        sa.UniqueConstraint("model_id", "key", name="uq_source_model_id_key"),
    )
    op.create_index("ix_source_current_run_id", "source", ["current_run_id"], unique=False)
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
        sa.Column("histogram", sa.LargeBinary(), nullable=False),
        sa.Column("band_edges", sa.LargeBinary(), nullable=False),
        sa.Column("band_counts", sa.LargeBinary(), nullable=False),
        sa.Column("promoted_ids", sa.LargeBinary(), nullable=False),
        sa.Column("promoted_logits", sa.LargeBinary(), nullable=False),
        sa.Column("suppressed_ids", sa.LargeBinary(), nullable=False),
        sa.Column("suppressed_logits", sa.LargeBinary(), nullable=False),
        sa.Column("neighbour_numbers", sa.LargeBinary(), nullable=False),
        sa.Column("neighbour_cosines", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["index_run.id"], name="fk_feature_run_id_index_run", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_feature_source_id_source"),
        sa.PrimaryKeyConstraint("id", name="pk_feature"),
        sa.UniqueConstraint("run_id", "source_id", "number", name="uq_feature_run_id_source_id_number"),
    )
    op.create_index("ix_feature_run_id_feature_maximum", "feature", ["run_id", "maximum"], unique=False)
    op.create_index("ix_feature_run_id_feature_mean", "feature", ["run_id", "mean"], unique=False)
    op.create_index("ix_feature_run_id_feature_rate", "feature", ["run_id", "rate"], unique=False)
    op.create_table(
        "label_event",
        sa.Column("stream", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("base_version", sa.BigInteger(), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("payload_version", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_label_event_source_id_source"),
        sa.PrimaryKeyConstraint("stream", name="pk_label_event"),
        sa.UniqueConstraint("id", name="uq_label_event_id"),
    )
    op.create_index(
        "ix_label_event_source_id_label_event_number_label_event_stream",
        "label_event",
        ["source_id", "number", "stream"],
        unique=False,
    )
    op.create_table(
        "source_index",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("n_alive", sa.Integer(), nullable=False),
        sa.Column("n_dead", sa.Integer(), nullable=False),
        sa.Column("bin_edges", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["index_run.id"], name="fk_source_index_run_id_index_run", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_source_index_source_id_source"),
        sa.PrimaryKeyConstraint("run_id", "source_id", name="pk_source_index"),
    )
    op.create_table(
        "activation",
        sa.Column("feature_id", KEY, autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("band", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("rank", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("window_id", KEY, nullable=False),
        sa.Column("peak", sa.SmallInteger(), nullable=False),
        sa.Column("peak_value", sa.Double(), nullable=False),
        sa.Column("firing_positions", sa.LargeBinary(), nullable=False),
        sa.Column("firing_values", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["feature_id"], ["feature.id"], name="fk_activation_feature_id_feature", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["window_id"], ["document_window.id"], name="fk_activation_window_id_document_window"),
        sa.PrimaryKeyConstraint("feature_id", "kind", "band", "rank", name="pk_activation"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_activation_window_id", "activation", ["window_id"], unique=False)
    op.create_table(
        "feature_token",
        sa.Column("feature_id", KEY, autoincrement=False, nullable=False),
        sa.Column("rank", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["feature_id"], ["feature.id"], name="fk_feature_token_feature_id_feature", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("feature_id", "rank", name="pk_feature_token"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_feature_token_token_id", "feature_token", ["token_id"], unique=False)
    op.create_table(
        "label",
        sa.Column("id", KEY, nullable=False),
        sa.Column("stream", sa.BigInteger(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_label_source_id_source"),
        sa.ForeignKeyConstraint(["stream"], ["label_event.stream"], name="fk_label_stream_label_event"),
        sa.PrimaryKeyConstraint("id", name="pk_label"),
        sa.UniqueConstraint("stream", name="uq_label_stream"),
    )
    op.create_index(
        "ix_label_source_id_label_number_label_is_primary", "label", ["source_id", "number", "is_primary"], unique=False
    )
    create_search_tables(op.get_bind())
    op.execute("INSERT INTO counter (name, value) VALUES ('label_event', 0)")
