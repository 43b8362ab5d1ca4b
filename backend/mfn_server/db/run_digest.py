"""One number for all that an index run wrote, by which one can see that nothing of it has changed since.

It covers every row of the run but not the ids that rows happen to have, so it is the same in every database, of either
kind, into which the same index is written.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection, Select, select

from mfn_server.db.tables import (
    OF_FEATURES,
    Corpus,
    Document,
    DocumentWindow,
    Feature,
    FeatureDetail,
    IndexRun,
    Source,
    SourceIndex,
    TokenPosting,
)

_AT_ONCE = 5_000


def digest_of_run(connection: Connection, run_id: int) -> str:
    """SHA-256 over a run's rows, read back from the database: some 20 µs a feature. Best in a snapshot.

    Covered: the corpus's token ids (by their own hash), the settings, what is known of each source, every feature with
    its details and contexts, the windows, and what tokens lead to. Not what lists look things up in (columns, features
    by word and tag), which follows from these, and not when the run was made or what its corpus is called.
    """
    run = connection.execute(
        select(IndexRun, Corpus.content_hash).join(Corpus, Corpus.id == IndexRun.corpus_id).where(IndexRun.id == run_id)
    ).one()
    digest = hashlib.sha256()

    def take(name: str, rows: Select[Any]) -> None:
        digest.update(name.encode())
        for row in connection.execute(rows):
            digest.update(repr(tuple(row)).encode())

    def take_range(name: str, key: Any, rows: Select[Any], first: int, n: int) -> None:
        for begin in range(0, n, _AT_ONCE):
            end = min(begin + _AT_ONCE, n) - 1
            take(f"{name} {begin}", rows.where(key.between(first + begin, first + end)).order_by(key))

    digest.update(repr((run.content_hash, run.n_tokens, sorted(run.settings.items()))).encode())
    sources = select(Source.key, *_columns(SourceIndex)).join(Source, Source.id == SourceIndex.source_id)
    take("sources", sources.where(SourceIndex.run_id == run_id).order_by(Source.layer, Source.key))
    pairs = select(Source.key, SourceIndex.token_pairs).join(Source, Source.id == SourceIndex.source_id)
    known = pairs.where(SourceIndex.run_id == run_id, SourceIndex.token_pairs.is_not(None))
    if known_pairs := connection.execute(known.order_by(Source.layer, Source.key)).all():  # none before 0007
        digest.update(repr([tuple(row) for row in known_pairs]).encode())
    ordinal = Feature.id - run.first_feature_id
    on_samples = select(ordinal, FeatureDetail.counted_share).join(Feature, Feature.id == FeatureDetail.feature_id)
    known = on_samples.where(Feature.run_id == run_id, FeatureDetail.counted_share.is_not(None))
    if known_shares := connection.execute(known.order_by(Feature.id)).all():  # none before 0013
        digest.update(repr([tuple(row) for row in known_shares]).encode())
    of_sources = select(ordinal, Source.key, *_columns(Feature)).join(Source, Source.id == Feature.source_id)
    take_range("feature", Feature.id, of_sources, run.first_feature_id, run.n_features)
    for table in OF_FEATURES:
        rows = select(table.feature_id - run.first_feature_id, *_columns(table))
        take_range(table.__tablename__, table.feature_id, rows, run.first_feature_id, run.n_features)
    places = select(Document.ordinal, *_columns(DocumentWindow)).join(Document)
    take_range("window", DocumentWindow.id, places, run.first_window_id, run.n_windows)
    take("token", select(*_columns(TokenPosting)).where(TokenPosting.run_id == run_id).order_by(TokenPosting.token_id))
    return digest.hexdigest()


def _columns(table: Any) -> list[Any]:
    """All columns but those whose values depend on what else is in the database, and those that came later."""
    left_out = {"token_pairs", "counted_share", "id", "run_id", "source_id", "feature_id", "document_id"}
    return [column for column in table.__table__.columns if column.name not in left_out]
