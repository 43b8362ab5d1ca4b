"""Opening, migrating, reading and writing databases, on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError

from mfn_server.db.index_lock import IndexBusyError, index_lock
from mfn_server.db.index_sweep import sweep
from mfn_server.db.migrate import open_database, upgrade
from mfn_server.db.search import SEARCH_TABLES
from mfn_server.db.session import Database, DatabaseError
from mfn_server.db.tables import Counter, Document, IndexRun, Label, Model, Source, Table
from mfn_server.settings import Settings


def test_migrations_make_what_the_tables_say(database: Database) -> None:
    def ours(name: str | None, kind: str, parents: object) -> bool:
        return not (kind == "table" and name is not None and name.startswith(SEARCH_TABLES))

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": ours, "compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_a_second_start_changes_nothing(database: Database) -> None:
    upgrade(database)
    with database.read() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0016"


OLD_ROWS = (
    "INSERT INTO model (id, fingerprint, name, created_at) VALUES (1, 'abc', 'old', '2026-01-01 00:00:00')",
    "INSERT INTO corpus (id, name, content_hash, n_documents, n_tokens) VALUES (1, 'texts', 'h', 1, 3)",
    "INSERT INTO document (id, corpus_id, ordinal, tags, meta, n_tokens, token_ids) "
    "VALUES (1, 1, 0, '[]', '{}', 3, '')",
    "INSERT INTO index_run (id, model_id, corpus_id, state, phase, progress, settings, n_tokens, started_at, heard_at) "
    "VALUES (1, 1, 1, 'ready', 'ready', 1, '{}', 3, '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
    "INSERT INTO source (id, model_id, key, kind, site, layer, weights_hash, n_features, current_run_id) "
    "VALUES (1, 1, 'k', 'mfn', 'resid_mid', 0, 'x', 1, 1)",
    "INSERT INTO source_index (run_id, source_id, n_alive, n_dead, bin_edges) VALUES (1, 1, 1, 0, '')",
    "INSERT INTO feature (id, run_id, source_id, number, firing_count, rate, maximum, mean, histogram, band_edges, "
    "band_counts, promoted_ids, promoted_logits, suppressed_ids, suppressed_logits, neighbour_numbers, "
    "neighbour_cosines) VALUES (1, 1, 1, 0, 1, 0.5, 1, 1, '', '', '', '', '', '', '', '', '')",
    "INSERT INTO feature_token (feature_id, rank, token_id, share) VALUES (1, 0, 5, 1)",
    "INSERT INTO document_window (id, run_id, document_id, start, length) VALUES (1, 1, 1, 0, 3)",
    "INSERT INTO activation (feature_id, kind, band, rank, window_id, peak, peak_value, firing_positions, "
    "firing_values) VALUES (1, 0, 0, 0, 1, 1, 1, '', '')",
    "INSERT INTO label_event (stream, id, type, source_id, number, author, created_at, payload, payload_version) "
    "VALUES (1, '00000000000000000000000000000001', 'propose', 1, 0, 'ann', '2026-01-01 00:00:00', "
    '\'{"text": "seas"}\', 1)',
    "INSERT INTO label (id, stream, source_id, number, text, author, created_at, is_primary) "
    "VALUES (1, 1, 1, 0, 'seas', 'ann', '2026-01-01 00:00:00', TRUE)",
)


def test_an_index_from_before_0005_is_let_go_of_and_its_labels_stay(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    old = Database(database_url)
    upgrade(old, "0004")
    with old.write() as connection:
        for statement in OLD_ROWS:
            connection.exec_driver_sql(statement)
    old.close()
    database = open_database(database_url)
    assert "make it anew with `mfn index` (labels are kept)" in caplog.text
    with database.read() as connection:
        assert connection.execute(select(Label.text, Label.is_primary)).all() == [("seas", True)]
        assert connection.scalars(select(Source.current_run_id)).all() == [None]
        (run,) = connection.execute(select(IndexRun.state, IndexRun.message)).all()
        assert (run.state, "make it anew" in run.message) == ("failed", True)
        assert connection.scalar(select(Document.id)) == 1
    with index_lock(database):
        sweep(database)
    with database.read() as connection:
        assert connection.scalar(select(IndexRun.id)) is None
        assert connection.scalar(select(Label.text)) == "seas"
    database.close()


def test_two_starts_at_once_migrate_once(database_url: str) -> None:
    errors: list[BaseException] = []

    def start() -> None:
        try:
            open_database(database_url).close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_newer_database_is_refused_and_left_alone(database: Database, database_url: str) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer version of MFN Studio"):
        open_database(database_url)
    with database.read() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


def test_someone_elses_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite3"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipe (name TEXT)")
    with pytest.raises(DatabaseError, match="not a database of MFN Studio"):
        open_database(f"sqlite:///{path}")


@pytest.mark.parametrize(
    "content", [b"this is no database at all, but long enough to be one" * 40, b"SQLite format 3\0junk"]
)
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.sqlite3"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="damaged or is no database"):
        open_database(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_long_file_is_not_read_as_a_whole_but_one_that_is_cut_short_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfn_server.db.migrate.CHECKED_BYTES", 0)
    path = tmp_path / "studio.sqlite3"
    url = f"sqlite:///{path}"
    open_database(url).close()
    open_database(url).close()
    content = path.read_bytes()
    path.write_bytes(content[:-4096])
    with pytest.raises(DatabaseError, match="damaged"):
        open_database(url)


def test_damage_shows_when_the_database_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "studio.sqlite3"
    database = open_database(f"sqlite:///{path}")
    with database.write() as connection:
        connection.execute(text("INSERT INTO counter (name, value) VALUES ('x', 1)"))
    database.close()
    content = bytearray(path.read_bytes())
    content[5 * 4096 : 12 * 4096] = b"\xff" * (7 * 4096)
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="damaged"):
        open_database(f"sqlite:///{path}")


def test_an_unusable_place_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for url in (f"sqlite:///{tmp_path}/file/studio.sqlite3", "nonsense://x", f"sqlite:///{tmp_path}"):
        with pytest.raises(DatabaseError) as caught:
            open_database(url)
        assert "\n" not in str(caught.value)


def test_passwords_stay_out_of_messages() -> None:
    url = Settings(database="postgresql://ann:secret@127.0.0.1:1/none").database_url
    with pytest.raises(DatabaseError) as caught:
        open_database(url)
    assert "secret" not in str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)


def test_concurrent_writers_lose_nothing(database: Database) -> None:
    """Read, decide, write: in 4 threads, 25 times each."""
    with database.write() as connection:
        connection.execute(text("INSERT INTO counter (name, value) VALUES ('test', 0)"))

    def work() -> None:
        for _ in range(25):
            with database.write() as connection:
                row = select(Counter.value).where(Counter.name == "test").with_for_update()
                value = connection.scalar(row)
                assert value is not None
                connection.execute(update(Counter).where(Counter.name == "test").values(value=value + 1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert connection.scalar(select(Counter.value).where(Counter.name == "test")) == 100


def test_a_failed_write_leaves_nothing(database: Database) -> None:
    def write_and_fail() -> None:
        with database.write() as connection:
            connection.execute(text("INSERT INTO counter (name, value) VALUES ('lost', 1)"))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail()
    with database.read() as connection:
        assert connection.scalar(select(Counter.value).where(Counter.name == "lost")) is None


def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(
            text(
                "INSERT INTO source (id, model_id, key, kind, site, layer, weights_hash, n_features) "
                "VALUES (1, 99, 'k', 'mfn', 'resid_mid', 0, 'x', 1)"
            )
        )
    with database.read() as connection:
        assert connection.execute(select(Model)).all() == []


def test_one_indexes_at_a_time(database: Database, database_url: str) -> None:
    second = Database(database_url)
    with index_lock(database), pytest.raises(IndexBusyError), index_lock(second):
        pass
    with index_lock(second):
        pass
    second.close()
