"""A database of every earlier version comes over with all that was in it.

One database is walked through all versions. In each it is given rows of what came with it, as the app of then wrote
them, and a copy of it is opened by the app of now. A new migration: add a line to `ROWS` for what it brings.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text
from sqlalchemy.engine import make_url

from mfn_server.campaigns.log import campaign_differences
from mfn_server.collecting.log import collection_differences
from mfn_server.db import migrate
from mfn_server.db.access_tables import Account
from mfn_server.db.campaign_tables import Campaign, CampaignLease, LabelOpinion
from mfn_server.db.collection_tables import CollectionItem
from mfn_server.db.installation import Installation
from mfn_server.db.migrate import open_database, upgrade
from mfn_server.db.score_tables import LabelScore
from mfn_server.db.search import found
from mfn_server.db.session import Database
from mfn_server.db.tables import (
    Corpus,
    FeatureDetail,
    IndexRun,
    Label,
    LabelEvent,
    LabelTag,
    LabelVote,
    PresetVersion,
    Source,
)
from mfn_server.labels.projections import differences

TIME = "2026-01-01 00:00:00"
CAMPAIGN = UUID(int=77)
HEX = CAMPAIGN.hex


def event(stream: int, kind: str, payload: dict[str, object], version: int, author: str = "ann", more: str = "") -> str:
    """An event of the log on the first feature. From 0010 on, `more` says the author's id."""
    columns = "stream, id, type, source_id, number, author, created_at, payload, payload_version"
    values = f"{stream}, '{stream:032x}', '{kind}', 1, 0, '{author}', '{TIME}', '{json.dumps(payload)}', {version}"
    columns, values = (f"{columns}, author_id", f"{values}, '{more}'") if more else (columns, values)
    return f"INSERT INTO label_event ({columns}) VALUES ({values})"


def counted(name: str, value: int) -> str:
    return f"UPDATE counter SET value = {value} WHERE name = '{name}'"


def run(number: int) -> str:
    return (
        "INSERT INTO index_run (id, model_id, corpus_id, state, phase, progress, settings, n_tokens, started_at, "
        f"heard_at) VALUES ({number}, 1, 1, 'ready', 'ready', 1, '{{}}', 3, '{TIME}', '{TIME}')"
    )


_OPENED = {
    "name": "first",
    "items": [{"source": "k", "index": 0, "importance": 1.0}],
    "opinions": 2,
    "blind": True,
}
_DETAIL = ("histogram", "band_edges", "band_counts", "token_ids", "token_shares", "promoted_ids", "promoted_logits")
_DETAIL += ("suppressed_ids", "suppressed_logits", "neighbour_numbers", "neighbour_cosines")

_EMPTY = ", ''" * len(_DETAIL)

ROWS: dict[str, list[str]] = {
    "0001": [
        f"INSERT INTO model (id, fingerprint, name, created_at) VALUES (1, 'abc', 'old', '{TIME}')",
        "INSERT INTO corpus (id, name, content_hash, n_documents, n_tokens) VALUES (1, 'texts', 'h', 1, 3)",
        run(1),
        "INSERT INTO source (id, model_id, key, kind, site, layer, weights_hash, n_features, current_run_id) "
        "VALUES (1, 1, 'k', 'mfn', 'resid_mid', 0, 'x', 1, 1)",
        "INSERT INTO preset (id, model_id, name, description, prompt, interventions, settings, builtin, created_at) "
        f"VALUES ('{5:032x}', 1, 'sea', 'ships', 'The', '[]', '{{}}', FALSE, '{TIME}')",
        event(1, "propose", {"text": "seas"}, 1),
        "INSERT INTO label (id, stream, source_id, number, text, author, created_at, is_primary) "
        f"VALUES (1, 1, 1, 0, 'seas', 'ann', '{TIME}', TRUE)",
        counted("label_event", 1),
    ],
    "0008": [  # the first whose index the app of now still reads
        run(2),
        "UPDATE source SET current_run_id = 2",
        "INSERT INTO feature (id, run_id, source_id, number, firing_count, rate, maximum, mean) "
        "VALUES (1, 2, 1, 0, 1, 0.5, 1, 1)",
        f"INSERT INTO feature_detail (feature_id, {', '.join(_DETAIL)}) VALUES (1{_EMPTY})",
    ],
    "0010": [
        event(2, "vote", {"label": 1, "value": "up"}, 1, "bob", "name:bob"),
        event(3, "tag", {"tag": "sea"}, 1, "bob", "name:bob"),
        "INSERT INTO label_vote (source_id, number, label, author_id, value, revision, stream) "
        "VALUES (1, 0, 1, 'name:bob', 1, 1, 2)",
        "UPDATE label SET up = 1",
        "INSERT INTO label_tag (source_id, number, tag, author_id, stream) VALUES (1, 0, 'sea', 'name:bob', 3)",
        "UPDATE label_summary SET version = 3, n_people = 2",
        counted("label_event", 3),
    ],
    "0012": [
        "INSERT INTO account (id, name, name_key, role, password_hash, created_at) "
        f"VALUES ('{9:032x}', 'Ann', 'ann', 'admin', 'x', '{TIME}')",
    ],
    "0014": [
        "INSERT INTO campaign_event (stream, id, campaign_id, model_id, type, author_id, author, created_at, payload, "
        f"payload_version) VALUES (1, '{HEX}', '{HEX}', 1, 'open', 'local', 'Ann', '{TIME}', "
        f"'{json.dumps(_OPENED)}', 1)",
        "INSERT INTO campaign (id, model_id, version, name, instructions, opinions, is_blind, for_all, author_id, "
        f"author, created_at) VALUES ('{HEX}', 1, 1, 'first', '', 2, TRUE, TRUE, 'local', 'Ann', '{TIME}')",
        f"INSERT INTO campaign_item (campaign_id, source_id, number, importance) VALUES ('{HEX}', 1, 0, 1.0)",
        "INSERT INTO campaign_lease (id, campaign_id, source_id, number, author_id, expires_at) "
        f"VALUES ('{3:032x}', '{HEX}', 1, 0, 'name:ann', '2099-01-01 00:00:00')",
        event(4, "opinion", {"campaign": str(CAMPAIGN), "flag": "dead"}, 1, "bob", "name:bob"),
        "INSERT INTO label_opinion (campaign_id, source_id, number, author_id, stream, flag) "
        f"VALUES ('{HEX}', 1, 0, 'name:bob', 4, 'dead')",
        "INSERT INTO label_flag (source_id, number, stream, flag, author_id, parts) "
        "VALUES (1, 0, 4, 'dead', 'name:bob', '[]')",
        "UPDATE label_summary SET version = 4",
        counted("label_event", 4),
        counted("campaign_event", 1),
    ],
    "0015": [
        "INSERT INTO naming_run (id, model_id, kind, told, author_id, author, state, stop, phase, progress, "
        "tokens_read, tokens_written, cost, created_at, heard_at) "
        f"VALUES ('{HEX}', 1, 'score', '{{}}', 'local', 'Ann', 'done', FALSE, '', 1, 0, 0, 0, '{TIME}', '{TIME}')",
        "INSERT INTO label_score (id, run_id, source_id, number, label, revision, scorer, version, reader, value, n, "
        "unread, questions, details, tokens_read, tokens_written, cost, seconds, created_at) "
        f"VALUES ('{HEX}', '{HEX}', 1, 0, 1, 1, 'detection', 1, '', 0.75, 20, 0, 'q', '{{}}', 0, 0, 0, 1, '{TIME}')",
    ],
    "0016": [
        "INSERT INTO collection_event (stream, id, collection_id, model_id, type, author_id, author, created_at, "
        f"payload, payload_version) VALUES (1, '{HEX}', '{HEX}', 1, 'make', 'local', 'Ann', '{TIME}', "
        """'{"name": "seas", "items": [{"source": "k", "index": 0, "note": "salt"}]}', 1)""",
        "INSERT INTO collection (id, model_id, version, name, n_items, author_id, author, created_at, changed_by_id, "
        f"changed_by, changed_at, is_deleted) VALUES ('{HEX}', 1, 1, 'seas', 1, 'local', 'Ann', '{TIME}', 'local', "
        f"'Ann', '{TIME}', FALSE)",
        "INSERT INTO collection_item (collection_id, source_id, number, position, note) "
        f"VALUES ('{HEX}', 1, 0, 0, 'salt')",
        counted("collection_event", 1),
    ],
}


@pytest.fixture
def copied(database_url: str, tmp_path: Path, new_postgres: Callable[[str], str]) -> Callable[[str], str]:
    """Copies the database, which nobody may have open, and gives the copy's URL."""

    def copy(name: str) -> str:
        url = make_url(database_url)
        if url.get_backend_name() != "sqlite":
            return new_postgres(str(url.database))
        path = tmp_path / f"{name}.sqlite3"
        shutil.copy(str(url.database), path)
        return f"sqlite:///{path}"

    return copy


def test_every_earlier_version_comes_over_with_what_was_in_it(database_url: str, copied: Callable[[str], str]) -> None:
    scripts = ScriptDirectory.from_config(migrate._config())
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]
    assert set(ROWS) <= set(revisions)
    for revision in revisions:
        walked = Database(database_url)
        upgrade(walked, revision)
        with walked.write() as connection:
            for statement in ROWS.get(revision, []):
                connection.exec_driver_sql(statement)
        walked.close()
        opened = open_database(copied(revision), backup=False)
        with opened.snapshot() as connection:
            assert connection.scalar(text("SELECT version_num FROM alembic_version")) == revisions[-1]
            try:
                check(connection, revision)
            except AssertionError as error:
                error.add_note(f"from {revision}")
                raise
        opened.close()


def check(connection: Connection, revision: str) -> None:
    """All that a database of that version held."""
    since = {each for each in ROWS if each <= revision}
    assert list(differences(connection)) == []
    assert campaign_differences(connection) == []
    assert collection_differences(connection) == []
    assert connection.scalars(select(CollectionItem.note)).all() == (["salt"] if "0016" in since else [])
    assert len(connection.scalars(select(Installation.id)).all()) == 1
    assert connection.execute(select(Label.text, Label.is_primary)).all() == [("seas", True)]
    searched = found(connection.dialect.name, "label_search", "seas")
    assert searched is not None
    assert connection.scalars(searched).all() == [1]
    streams = connection.scalars(select(LabelEvent.stream).order_by(LabelEvent.stream)).all()
    assert streams == list(range(1, 1 + (4 if "0014" in since else 3 if "0010" in since else 1)))
    assert connection.execute(select(PresetVersion.name, PresetVersion.version)).all() == [("sea", 1)]
    assert connection.scalars(select(Corpus.name)).all() == ["texts"]
    states = connection.scalars(select(IndexRun.state).order_by(IndexRun.id)).all()
    assert states == ["failed", "ready"][: len(states)]
    assert connection.scalar(select(Source.current_run_id)) == (2 if "0008" in since else None)
    assert len(connection.execute(select(FeatureDetail.feature_id)).all()) == ("0008" in since)
    assert connection.scalars(select(LabelVote.value)).all() == ([1] if "0010" in since else [])
    assert connection.scalars(select(LabelTag.tag)).all() == (["sea"] if "0010" in since else [])
    assert connection.scalars(select(Account.name)).all() == (["Ann"] if "0012" in since else [])
    for table, column in ((Campaign, Campaign.id), (CampaignLease, CampaignLease.campaign_id)):
        assert connection.scalars(select(column)).all() == ([CAMPAIGN] if "0014" in since else []), table
    assert connection.scalars(select(LabelOpinion.flag)).all() == (["dead"] if "0014" in since else [])
    scores = connection.execute(select(LabelScore.value, LabelScore.revision)).all()
    assert scores == ([(0.75, 1)] if "0015" in since else [])
