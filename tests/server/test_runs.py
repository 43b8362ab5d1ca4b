"""Runs stay as they were written, until somebody removes them; one can go back; labels do not notice."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, event, func, select, update
from starlette.testclient import TestClient

from mfn_core.errors import MFNError
from mfn_core.indexing.types import CorpusIndex
from mfn_server.campaigns.blind import NOTHING
from mfn_server.db.index_lock import IndexBusyError, index_lock
from mfn_server.db.index_store import IndexStore
from mfn_server.db.index_sweep import sweep
from mfn_server.db.migrate import open_database
from mfn_server.db.run_digest import digest_of_run
from mfn_server.db.runs import check_run, list_runs, remove_runs, use_run
from mfn_server.db.session import Database
from mfn_server.db.sizes import INDEX_TABLES, WEIGHT_TABLES, index_size
from mfn_server.db.tables import (
    Corpus,
    Document,
    DocumentWindow,
    Feature,
    FeatureDetail,
    IndexRun,
    Label,
    SampledContexts,
    Source,
    SourceIndex,
    TokenPosting,
    TopContexts,
)
from mfn_server.features.catalogue import Catalogues
from mfn_server.features.contexts import Fields
from mfn_server.features.reading import feature_page
from mfn_server.model_facts import ModelFacts
from tests.server.saying import name_feature
from tests.server.test_cli import Mfn, mfn, one_line_error  # noqa: F401 - mfn is a fixture
from tests.server.test_index_store import Store, counts


def other(index: CorpusIndex) -> CorpusIndex:
    """The same index over longer documents, with other maxima."""
    longer = [np.append(ids, [5, 6, 7]).astype(np.uint32) for ids in index.documents]
    layers = [dataclasses.replace(layer, maximum=layer.maximum + 1) for layer in index.layers]
    return dataclasses.replace(index, documents=longer, layers=layers)


def shown(database: Database) -> set[int | None]:
    with database.read() as connection:
        return set(connection.scalars(select(Source.current_run_id)))


def test_a_run_stays_as_it_was(
    indexed: Database,
    database_url: str,
    store_index: Store,
    tiny_index: CorpusIndex,
    make_client: Callable[..., TestClient],
) -> None:
    """Through labels, another index, a restart with its sweep, and that index's removal."""
    (first,) = shown(indexed)
    assert first is not None
    with indexed.read() as connection:
        digest = digest_of_run(connection, first)
        assert connection.scalar(select(IndexRun.digest)) == digest
        rows = connection.execute(select(FeatureDetail).order_by(FeatureDetail.feature_id)).all()
        (key,) = connection.scalars(select(Source.key).where(Source.layer == 0)).all()
    client = make_client(database_url)
    name_feature(client, f"/api/features/{key}/3", "seas")
    second = store_index(indexed, other(tiny_index))
    assert shown(indexed) == {second}
    make_client(database_url)
    use_run(indexed, first)
    assert remove_runs(indexed, [second])
    with indexed.read() as connection:
        assert digest_of_run(connection, first) == digest
        assert connection.execute(select(FeatureDetail).order_by(FeatureDetail.feature_id)).all() == rows
        assert connection.scalars(select(Label.text)).all() == ["seas"]
    assert check_run(indexed, first)
    assert client.get(f"/api/features/{key}/3").json()["label"] == "seas"


CHANGES: list[tuple[type[Any], dict[str, Any]]] = [
    (Feature, {"mean": 0.5}),
    (FeatureDetail, {"promoted_logits": b""}),
    (TopContexts, {"peaks": b""}),
    (SampledContexts, {"bands": b""}),
    (DocumentWindow, {"start": 1}),
    (TokenPosting, {"shares": b""}),
    (SourceIndex, {"n_dead": 77}),
    (SourceIndex, {"token_pairs": 77}),
    (IndexRun, {"n_tokens": 1}),
]


@pytest.mark.parametrize(("table", "values"), CHANGES, ids=lambda value: getattr(value, "__tablename__", ""))
def test_a_change_in_any_table_shows(indexed: Database, table: type[Any], values: dict[str, Any]) -> None:
    (run_id,) = shown(indexed)
    assert run_id is not None
    assert check_run(indexed, run_id)
    key = list(table.__table__.primary_key.columns)[-1]
    with indexed.write() as connection:
        last = connection.scalar(select(func.max(key)))
        connection.execute(update(table).where(key == last).values(**values))
    assert not check_run(indexed, run_id)


def test_the_digest_depends_on_nothing_but_the_index(
    indexed: Database, store_index: Store, tiny_index: CorpusIndex, tmp_path: Path
) -> None:
    """Not on ids, on what else is there, or on the kind of the database."""
    store_index(indexed, other(tiny_index))
    again = store_index(indexed, tiny_index)
    apart = open_database(f"sqlite:///{tmp_path / 'apart.sqlite3'}")
    store_index(apart, tiny_index)
    with indexed.read() as one, apart.read() as two:
        digests = list(one.scalars(select(IndexRun.digest).order_by(IndexRun.id)))
        assert digests[0] == digests[2] != digests[1]
        assert one.scalar(select(IndexRun.first_feature_id).where(IndexRun.id == again)) != 1
        assert two.scalars(select(IndexRun.digest)).all() == digests[:1]
    apart.close()


def test_earlier_runs_are_kept_and_removed_on_demand(
    indexed: Database, store_index: Store, tiny_index: CorpusIndex
) -> None:
    before = counts(indexed)
    (first,) = shown(indexed)
    assert first is not None
    second = store_index(indexed, other(tiny_index))
    with index_lock(indexed):
        sweep(indexed)
    with indexed.read() as connection:
        assert [(run.id, run.state) for run in list_runs(connection)] == [(first, "ready"), (second, "current")]
    with pytest.raises(MFNError, match=f"run {second} is shown"):
        remove_runs(indexed, [first, second])
    assert counts(indexed)["feature"] == 2 * before["feature"], "then none is removed"
    remove_runs(indexed, [first, first])
    assert counts(indexed) == before
    assert shown(indexed) == {second}
    with indexed.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Corpus)) == 1
        stored = connection.scalars(select(Document.n_tokens).order_by(Document.ordinal)).all()
    assert stored == [len(ids) + 3 for ids in tiny_index.documents]


def test_only_a_finished_run_can_be_shown(indexed: Database, tiny_facts: ModelFacts) -> None:
    (first,) = shown(indexed)
    with index_lock(indexed):
        building = IndexStore(indexed).begin(tiny_facts, {})
    for run_id, said in ((building, "is building"), (99, "there is no run 99")):
        with pytest.raises(MFNError, match=said):
            use_run(indexed, run_id)
        assert shown(indexed) == {first}
    with pytest.raises(MFNError, match="there is no run 99"):
        remove_runs(indexed, [building, 99])
    with pytest.raises(MFNError, match="there is no digest"):
        check_run(indexed, building)
    remove_runs(indexed, [building])
    with indexed.read() as connection:
        assert connection.scalars(select(IndexRun.id)).all() == [first]


def test_a_removal_that_is_cut_short_is_finished_by_the_sweep(
    indexed: Database, store_index: Store, tiny_index: CorpusIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = counts(indexed)
    (first,) = shown(indexed)
    assert first is not None
    store_index(indexed, tiny_index)

    def killed(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mfn_server.db.index_sweep.remove_browse", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_runs(indexed, [first])
    with pytest.raises(MFNError, match="is failed"):
        use_run(indexed, first)
    with index_lock(indexed):
        sweep(indexed)
    assert counts(indexed) == before


def test_nothing_is_removed_while_an_index_is_made(indexed: Database, database_url: str) -> None:
    second = Database(database_url)
    with index_lock(second), pytest.raises(IndexBusyError):
        remove_runs(indexed, [1])
    second.close()


def test_a_page_is_of_one_run(
    indexed: Database, store_index: Store, tiny_index: CorpusIndex, tiny_facts: ModelFacts
) -> None:
    """Another run becomes current, and the one that is being read is removed, between two statements of a page."""
    (first,) = shown(indexed)
    assert first is not None
    texts = [str(n) for n in range(tiny_facts.vocab_size)]

    def page(connection: Connection, model_id: int, key: str) -> Fields:
        catalogue = Catalogues().current(connection, model_id, tiny_facts.fingerprint, NOTHING)
        return feature_page(connection, catalogue, model_id, key, 3, texts)

    with indexed.read() as connection:
        model_id, key = connection.execute(select(Source.model_id, Source.key).where(Source.layer == 0)).one()
        expected = page(connection, model_id, key)

    def replace() -> None:
        store_index(indexed, other(tiny_index))
        remove_runs(indexed, [first])

    with indexed.snapshot() as connection:
        assert connection.scalar(select(IndexRun.id)) == first
        thread = threading.Thread(target=replace)
        thread.start()
        thread.join()
        assert page(connection, model_id, key) == expected
    with indexed.snapshot() as connection:
        assert page(connection, model_id, key)["max"] > expected["max"]


def test_a_file_shrinks_when_a_run_goes(tmp_path: Path, store_index: Store, tiny_index: CorpusIndex) -> None:
    path = tmp_path / "studio.sqlite3"
    database = open_database(f"sqlite:///{path}")
    first = store_index(database, tiny_index)
    store_index(database, other(tiny_index))
    with database.read() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.stat().st_size
    assert "MB smaller" in remove_runs(database, [first])
    assert path.stat().st_size < before
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA freelist_count").scalar() == 0
    database.close()


def test_an_older_file_keeps_its_size_and_says_so(tmp_path: Path, store_index: Store, tiny_index: CorpusIndex) -> None:
    path = tmp_path / "studio.sqlite3"
    with sqlite3.connect(path) as older:
        older.execute("CREATE TABLE t (x)")
        older.execute("DROP TABLE t")
    database = open_database(f"sqlite:///{path}")
    first = store_index(database, tiny_index)
    store_index(database, tiny_index)
    assert remove_runs(database, [first]).endswith(f"to shrink the file: sqlite3 {path} VACUUM")
    database.close()


def test_half_a_corpus_is_completed(
    database: Database, tiny_index: CorpusIndex, tiny_facts: ModelFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process that was killed while it wrote the documents left is taken up by whoever goes on with the run."""
    monkeypatch.setattr("mfn_server.db.index_store._DOCUMENTS", 3)
    store, written = IndexStore(database), 0

    def kill_at_the_second(conn: Any, cursor: Any, sql: str, *rest: Any) -> None:
        nonlocal written
        written += sql.startswith("INSERT INTO document ")
        if written == 2:
            raise KeyboardInterrupt

    with index_lock(database):
        run_id = store.begin(tiny_facts, {})
        event.listen(database.engine, "before_cursor_execute", kill_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            store.store(run_id, tiny_facts, tiny_index, "texts", lambda ids: "")
        event.remove(database.engine, "before_cursor_execute", kill_at_the_second)
        ordinals = select(Document.ordinal).order_by(Document.id)
        with database.read() as connection:
            assert connection.scalars(ordinals).all() == [0, 1, 2]
        store.store(run_id, tiny_facts, tiny_index, "texts", lambda ids: "")
    with database.read() as connection:
        assert connection.scalars(ordinals).all() == list(range(len(tiny_index.documents)))
        assert connection.scalar(select(func.count()).select_from(Corpus)) == 1


def test_the_size_is_of_all_tables(indexed: Database) -> None:
    with indexed.read() as connection:
        size = index_size(connection)
        assert size is not None
        assert size.n_features == connection.scalar(select(func.count()).select_from(Feature))
    assert set(size.tables) == set(INDEX_TABLES)
    assert all(taken >= 4096 for taken in (*size.tables.values(), size.documents))
    assert size.n_weights == size.n_features
    assert set(size.weights) == set(WEIGHT_TABLES)
    both = sum(size.tables.values()) + sum(size.weights.values())
    assert size.bytes_per_feature == pytest.approx(both / size.n_features)
    twice = dataclasses.replace(size, n_features=2 * size.n_features)
    assert twice.bytes_per_feature == pytest.approx((both + sum(size.weights.values())) / twice.n_features)


def test_the_command(mfn: Mfn, tiny_bundle: Path, tmp_path: Path) -> None:  # noqa: F811
    """Two runs; back to the first; the second goes."""
    corpus, db = tmp_path / "texts.txt", tmp_path / "studio.sqlite3"
    corpus.write_text("the sea and the sky and the sea again")
    assert "there is no database" in one_line_error(mfn("runs", "list", "--db", db))
    for _ in range(2):
        code, said, _ = mfn("index", tiny_bundle, corpus, "--db", db)
        assert code == 0
    assert "1 earlier run is kept: see mfn runs list" in said
    lines = mfn("runs", "list", "--db", db)[1].splitlines()
    assert [line.split()[:2] for line in lines] == [["1", "ready"], ["2", "current"]]
    assert "texts.txt" in lines[0]
    assert "is shown" in one_line_error(mfn("runs", "remove", 2, "--db", db))
    assert mfn("runs", "use", 1, "--db", db)[1] == "run 1 is shown\n"
    code, said, _ = mfn("runs", "remove", 2, "--db", db)
    assert (code, said.startswith("removed run 2; the file is ")) == (0, True)
    assert mfn("runs", "check", 1, "--db", db)[1] == "run 1 is as it was when it was finished\n"
    assert "there is no run 2" in one_line_error(mfn("runs", "use", 2, "--db", db))
    assert "KB a feature" in mfn("info", db)[1]
    with sqlite3.connect(db) as connection:
        connection.execute("UPDATE feature SET mean = 3 WHERE id = 1")
    assert "has changed since it was finished" in one_line_error(mfn("runs", "check", 1, "--db", db))
