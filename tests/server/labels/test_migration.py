"""Labels of the version before come over with all that follows from them."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from mfn_server.db.migrate import open_database, upgrade
from mfn_server.db.search import found
from mfn_server.db.session import Database
from mfn_server.db.tables import Label, LabelEvent, LabelSummary
from mfn_server.labels.projections import differences
from mfn_server.labels.reading import discussion, feature_history
from tests.server.saying import ANN

TIME = "2026-01-01 00:00:00.125000"
EVENTS = [
    # stream, kind, feature, author, origin, payload, version, reason
    (1, "propose", 0, "atlas", "automatic", {"text": "sails", "confidence": "high", "unclear": False}, 2, "ten of ten"),
    (2, "propose", 0, "ann", "human", {"text": "ships"}, 1, "harbour"),
    (3, "propose", 0, "bob", "human", {"text": "boats at sea"}, 1, None),
    (4, "propose", 1, "atlas", "automatic", {"text": "", "confidence": None, "unclear": True}, 2, "nothing"),
    (5, "propose", 2, "atlas", "automatic", {"text": "snow", "confidence": "low", "unclear": False}, 2, "white"),
    (6, "withdraw", 2, "atlas", "automatic", {"text": "", "confidence": None, "unclear": False}, 2, "no longer"),
    (7, "propose", 3, "atlas", "automatic", {"text": "old", "confidence": "low", "unclear": False}, 2, "a"),
    (8, "propose", 3, "atlas", "automatic", {"text": "new", "confidence": "medium", "unclear": False}, 2, "b"),
    (9, "propose", 3, "neuronpedia/x", "automatic", {"text": "np", "explanation": {"id": "z"}}, 3, None),
]
# as the version before projected them: label's row, its event, whether it is shown
LABELS = [(21, 1, False), (22, 2, False), (23, 3, True), (24, 4, False), (27, 8, False), (28, 9, True)]


@pytest.fixture
def migrated(database_url: str) -> Database:
    old = Database(database_url)
    upgrade(old, "0009")
    with old.write() as connection:
        run = connection.exec_driver_sql
        run(f"INSERT INTO model (id, fingerprint, name, created_at) VALUES (1, 'f', 'm', '{TIME}')")
        run(
            "INSERT INTO source (id, model_id, key, kind, site, layer, weights_hash, n_features) "
            "VALUES (1, 1, 'k', 'mfn', 'resid_mid', 0, 'x', 9)"
        )
        said = {event[0]: event for event in EVENTS}
        for stream, kind, number, author, origin, payload, version, reason in EVENTS:
            identity = f"{stream:032x}"
            words = "NULL" if reason is None else f"'{reason}'"
            run(
                "INSERT INTO label_event (stream, id, type, source_id, number, author, origin, created_at, payload, "
                f"payload_version, reason) VALUES ({stream}, '{identity}', '{kind}', 1, {number}, '{author}', "
                f"'{origin}', '{TIME}', '{json.dumps(payload)}', {version}, {words})"
            )
        for row, stream, shown in LABELS:
            _, _, number, author, origin, payload, _, _ = said[stream]
            run(
                "INSERT INTO label (id, stream, source_id, number, text, author, origin, created_at, is_primary) "
                f"VALUES ({row}, {stream}, 1, {number}, '{payload['text']}', '{author}', '{origin}', '{TIME}', {shown})"
            )
        run("UPDATE counter SET value = 9 WHERE name = 'label_event'")
    old.close()
    return open_database(database_url)


def test_labels_of_before_are_what_a_replay_of_their_log_makes(migrated: Database) -> None:
    with migrated.snapshot() as connection:
        assert list(differences(connection)) == []
        rows = connection.execute(select(Label.stream, Label.text, Label.is_primary).order_by(Label.stream)).all()
        assert [(row.stream, row.is_primary) for row in rows] == [(stream, shown) for _, stream, shown in LABELS]
        assert connection.scalars(select(LabelSummary.version).order_by(LabelSummary.number)).all() == [3, 4, 6, 9]
        ids = set(connection.scalars(select(LabelEvent.author_id)))
        assert ids == {"program:atlas", "name:ann", "name:bob", "program:neuronpedia/x"}
        seen = discussion(connection, 1, "k", 0, None, ANN)
        assert [label.text for label in seen.labels] == ["boats at sea", "ships", "sails"]
        assert (seen.labels[1].reason, seen.labels[2].confidence) == ("harbour", "high")
        assert len(feature_history(connection, 1, "k", 3, None, 50, ANN).items) == 3
        for words, expected in (("boats", [3]), ("old", []), ("new", [8])):
            searched = found(connection.dialect.name, "label_search", words)
            assert searched is not None
            assert connection.scalars(searched).all() == expected
    migrated.close()
