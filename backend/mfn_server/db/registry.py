"""Rows that say which models and sources there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select, text

from mfn_server.db.tables import Model, Source
from mfn_server.model_facts import ModelFacts

_LOCK = 7_270_615  # PostgreSQL advisory lock; any number that nothing else uses


@dataclass(frozen=True)
class Registered:
    """A model's row and its sources' rows, by key."""

    model_id: int
    source_ids: dict[str, int]


def register(connection: Connection, facts: ModelFacts) -> Registered:
    """The rows of a model, made where they are missing. Needs a write transaction."""
    if connection.dialect.name != "sqlite":  # there BEGIN IMMEDIATE has already kept others out
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    model_id = connection.scalar(select(Model.id).where(Model.fingerprint == facts.fingerprint))
    if model_id is None:
        model_id = connection.scalar(
            insert(Model)
            .values(fingerprint=facts.fingerprint, name=facts.name, created_at=datetime.now(UTC))
            .returning(Model.id)
        )
    assert model_id is not None
    rows = connection.execute(select(Source.key, Source.id).where(Source.model_id == model_id))
    known = {row.key: row.id for row in rows}
    for source in facts.sources:
        if source.key not in known:
            number = connection.scalar(
                insert(Source)
                .values(
                    model_id=model_id,
                    key=source.key,
                    kind=source.kind,
                    site=source.site,
                    layer=source.layer,
                    weights_hash=source.weights_hash,
                    n_features=source.n_features,
                )
                .returning(Source.id)
            )
            assert number is not None
            known[source.key] = number
    return Registered(model_id, known)
