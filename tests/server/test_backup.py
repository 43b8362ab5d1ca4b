"""Backups: made while others write, put back whole or not at all, and made by the app itself before it migrates."""

from __future__ import annotations

import json
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text
from typer.testing import CliRunner

from mfn_server.access.accounts import add_account
from mfn_server.access.roles import Role
from mfn_server.access.sessions import Lifetime, open_session
from mfn_server.backup.archive import MANIFEST, BackupError, reading
from mfn_server.backup.restoring import restore
from mfn_server.backup.taking import back_up
from mfn_server.cli import app
from mfn_server.db.access_tables import Account, LoginSession
from mfn_server.db.migrate import open_database, upgrade
from mfn_server.db.session import Database, DatabaseError
from mfn_server.db.tables import Label, LabelEvent, Table
from mfn_server.labels.payloads import Comment, Propose, Tag, Vote
from mfn_server.labels.projections import differences
from tests.server.saying import ANN, BOB, put

PATIENCE = 120.0
NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


@contextmanager
def writers(database: Database, n: int = 3) -> Iterator[Callable[[int], None]]:
    """People who write all the time. The function waits until so many more events are there."""
    stop = threading.Event()
    written = threading.Condition()
    count = 0

    def write(number: int) -> None:
        nonlocal count
        while not stop.is_set():
            with database.write() as connection:
                label = put(connection, ANN, Propose(text=f"ships {count}"), feature=("a", number)).stream
                put(connection, BOB, Vote(label=label, value="up"), feature=("a", number))
                put(connection, BOB, Tag(tag=f"tag {count % 7}"), feature=("a", number))
            with written:
                count += 3
                written.notify_all()
            stop.wait(0.005)  # SQLite gives nobody else a turn where one writes without a pause

    def more(of: int) -> None:
        with written:
            target = count + of
            assert written.wait_for(lambda: count >= target, PATIENCE)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    try:
        yield more
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def log_of(database: Database) -> list[tuple[object, ...]]:
    columns = (LabelEvent.stream, LabelEvent.id, LabelEvent.type, LabelEvent.author_id, LabelEvent.payload)
    with database.snapshot() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(LabelEvent.stream))]


def test_a_backup_made_amid_writes_is_one_state_and_comes_back_elsewhere(
    bare: Database, fresh_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.backup"
    with writers(bare) as more:
        more(30)
        acknowledged = log_of(bare)
        manifest = back_up(bare, path)
        more(30)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    done = restore(path, fresh_url)
    assert (done.kept, done.differences) == ("", 0)
    restored = open_database(fresh_url)
    events = log_of(restored)
    assert events == log_of(bare)[: manifest.events]
    assert events[: len(acknowledged)] == acknowledged
    assert len(events) % 3 == 0, "what was written together is there together"
    with restored.snapshot() as connection:
        assert list(differences(connection)) == []
        assert len(connection.scalars(select(Label.text)).all()) == len(events) // 3
    with restored.write() as connection:  # and it goes on
        assert put(connection, ANN, Comment(text="more")).stream == manifest.events + 1
    restored.close()


def test_every_table_comes_back_as_it_was(indexed: Database, fresh_url: str, tmp_path: Path) -> None:
    """With an index, whose rows are bytes of all kinds."""
    with indexed.write() as connection:
        add_account(connection, "Zoë \t\\ '\"", Role.ADMIN, "hash\\n", NOW)
    back_up(indexed, tmp_path / "a.backup")
    restore(tmp_path / "a.backup", fresh_url)
    restored = open_database(fresh_url)
    rows = {}
    for database in (indexed, restored):
        with database.snapshot() as connection:
            rows[database] = {
                table.name: sorted(map(repr, connection.execute(table.select())))
                for table in Table.metadata.tables.values()
            }
    assert rows[indexed] == rows[restored]
    assert sum(len(each) > 0 for each in rows[restored].values()) > 10
    if not restored.is_sqlite:  # sequences go on behind what is there
        with restored.write() as connection:
            last = connection.scalar(text("SELECT max(id) FROM index_run"))
            assert connection.scalar(text("SELECT nextval(pg_get_serial_sequence('index_run', 'id'))")) == last + 1
    restored.close()


def test_a_login_does_not_come_back(database: Database, fresh_url: str, tmp_path: Path) -> None:
    with database.write() as connection:
        account = add_account(connection, "Ann", Role.ADMIN, "hash", NOW)
        open_session(connection, account, "", "", NOW, Lifetime(timedelta(days=1), timedelta(days=9)))
    back_up(database, tmp_path / "a.backup")
    restore(tmp_path / "a.backup", fresh_url)
    restored = open_database(fresh_url)
    with restored.snapshot() as connection:
        assert connection.scalars(select(Account.name)).all() == ["Ann"]
        assert connection.scalars(select(LoginSession.id)).all() == []
    restored.close()


def test_nothing_is_overwritten_unless_it_is_meant_and_then_it_is_kept(
    bare: Database, database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.backup"
    with bare.write() as connection:
        put(connection, ANN, Propose(text="before"))
    back_up(bare, path)
    with pytest.raises(BackupError, match="already"):
        back_up(bare, path)
    with bare.write() as connection:
        put(connection, ANN, Propose(text="since"))
    with pytest.raises(BackupError, match="--overwrite"):
        restore(path, database_url)
    with bare.snapshot() as connection:
        connection.execute(select(Label))
        with pytest.raises(BackupError, match="in use"):
            restore(path, database_url, overwrite=True)
    assert len(log_of(bare)) == 2
    bare.close()
    kept = restore(path, database_url, overwrite=True).kept
    restored = open_database(database_url)
    assert [row[4] for row in log_of(restored)] == [{"text": "before"}]
    if restored.is_sqlite:
        replaced = Database(f"sqlite:///{kept}")
        assert len(log_of(replaced)) == 2
        replaced.close()
    else:
        with restored.read() as connection:
            schema = kept.removeprefix("schema ")
            assert connection.scalar(text(f"SELECT count(*) FROM {schema}.label_event")) == 2
    restored.close()


def test_what_is_damaged_or_no_backup_is_refused_and_changes_nothing(bare: Database, tmp_path: Path) -> None:
    whole = tmp_path / "a.backup"
    with bare.write() as connection:
        put(connection, ANN, Propose(text="ships"))
    back_up(bare, whole)
    content = whole.read_bytes()
    target = tmp_path / "elsewhere" / "studio.sqlite3"
    with zipfile.ZipFile(whole) as archive:
        manifest = json.loads(archive.read(MANIFEST))
        parts = {part["name"]: archive.read(part["name"]) for part in manifest["parts"]}
        longest = max((archive.getinfo(name) for name in parts), key=lambda info: info.compress_size)

    def changed(name: str, of_manifest: dict[str, object], of_parts: dict[str, bytes]) -> bytes:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            for part, data in (parts | of_parts).items():
                archive.writestr(part, data)
            archive.writestr(MANIFEST, json.dumps(manifest | of_manifest))
        return path.read_bytes()

    other, flipped = bytearray(parts[longest.filename]), bytearray(content)
    other[len(other) // 2] ^= 1
    flipped[longest.header_offset + 100 + longest.compress_size // 2] ^= 255
    cases = {
        "is no backup": b"something else",
        "cut short": content[: len(content) // 2],
        "damaged": bytes(flipped),
        "not what its manifest says": changed("b", {}, {longest.filename: bytes(other)}),
        "newer version": changed("c", {"format": 2}, {}),
        "written by a newer version": changed("d", {"migration": "9999"}, {}),
        "is no backup of": changed("e", {"kind": "card index"}, {}),
        "lacks": changed("f", {"parts": [*manifest["parts"], {"name": "g", "bytes": 1, "sha256": "0"}]}, {}),
    }
    for complaint, data in cases.items():
        path = tmp_path / "x.backup"
        path.write_bytes(data)
        url = f"sqlite:///{target}" if bare.is_sqlite else bare.url.render_as_string(hide_password=False)
        with pytest.raises((BackupError, DatabaseError), match=complaint):
            restore(path, url, overwrite=True)
    assert not target.exists()
    assert len(log_of(bare)) == 1
    with reading(whole) as backup:
        backup.check()
    if not bare.is_sqlite:
        with pytest.raises(BackupError, match="is of postgresql"):
            restore(whole, f"sqlite:///{target}")


def test_an_older_database_is_backed_up_before_it_is_changed(
    database_url: str, fresh_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = Database(database_url)
    upgrade(old, "0009")
    time = "2026-01-01 00:00:00"
    with old.write() as connection:
        for statement in (
            f"INSERT INTO model (id, fingerprint, name, created_at) VALUES (1, 'abc', 'old', '{time}')",
            "INSERT INTO source (id, model_id, key, kind, site, layer, weights_hash, n_features) "
            "VALUES (1, 1, 'a', 'mfn', 'resid_mid', 0, 'x', 9)",
            "INSERT INTO label_event (stream, id, type, source_id, number, author, created_at, payload, "
            f"payload_version) VALUES (1, '{1:032x}', 'propose', 1, 0, 'ann', '{time}', '{{\"text\": \"seas\"}}', 1)",
            "INSERT INTO label (id, stream, source_id, number, text, author, created_at, is_primary) "
            f"VALUES (1, 1, 1, 0, 'seas', 'ann', '{time}', TRUE)",
            "UPDATE counter SET value = 1 WHERE name = 'label_event'",
        ):
            connection.exec_driver_sql(statement)
    old.close()
    folder = tmp_path / "kept"
    open_database(database_url, backups=folder).close()
    (made,) = folder.iterdir()
    assert "made the backup" in caplog.text
    with reading(made) as backup:
        assert (backup.manifest.migration, backup.manifest.events) == ("0009", 1)
    open_database(database_url, backups=folder).close()
    assert [*folder.iterdir()] == [made], "of what is up to date none is made"
    restore(made, fresh_url)
    restored = open_database(fresh_url)
    with restored.write() as connection:
        assert connection.scalars(select(Label.text)).all() == ["seas"]
        assert list(differences(connection)) == []
        assert put(connection, ANN, Propose(text="ships")).stream == 2
    restored.close()


def test_without_a_backup_an_older_database_stays_as_it_was(database_url: str, tmp_path: Path) -> None:
    old = Database(database_url)
    upgrade(old, "0013")
    old.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupError, match="cannot be written"):
        open_database(database_url, backups=tmp_path / "file")
    old = Database(database_url)
    with old.read() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0013"
    old.close()


def test_commands(bare: Database, database_url: str, fresh_url: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        home = ["--home", str(tmp_path / "home")]
        done = CliRunner().invoke(app, [*arguments, *home])
        return done.exit_code, done.output + str(done.exception or "")

    with bare.write() as connection:
        put(connection, ANN, Propose(text="ships"))
    code, said = run("backup", "--db", plain(database_url))
    assert (code, "1 label events" in said) == (0, True), said
    (made,) = (tmp_path / "home" / "backups").iterdir()
    code, said = run("restore", str(made), "--db", plain(fresh_url))
    assert (code, "1 label events" in said) == (0, True), said
    code, said = run("labels", "verify", "--db", plain(fresh_url))
    assert (code, "1 events on 1 features" in said) == (0, True), said
    code, said = run("backup", "--db", str(tmp_path / "none.sqlite3"))
    assert (code != 0, "there is no database" in said) == (True, True), said


def plain(url: str) -> str:
    return url.removeprefix("sqlite:///")
