"""`mfn index` killed at any moment goes on when it is called again, and ends with the same rows, to the last byte."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, text

from mfn_core import MFNModel
from mfn_server.db.index_lock import index_lock
from mfn_server.db.index_store import IndexStore
from mfn_server.db.migrate import open_database
from mfn_server.db.session import Database
from mfn_server.db.tables import IndexRun, RunState, Source
from mfn_server.index_work import IndexWork
from mfn_server.indexing import IndexOrder, run_index
from tests.conftest import TINY_TEXTS

KILLS = 8
OWN = ("alembic_version", "installation")
TIMES = ("created_at", "started_at", "heard_at", "finished_at")


def rows(database: Database) -> dict[str, list[str]]:
    """Everything in the database but points in time and its own name: each table's rows in order."""
    found = {}
    with database.read() as connection:
        names = [n for n in inspect(connection).get_table_names() if "_search_" not in n and n not in OWN]
        for name in names:
            key = "rowid, " if name.endswith("_search") and database.is_sqlite else ""
            read = connection.execute(text(f"SELECT {key}* FROM {name}")).mappings()
            found[name] = sorted(repr([v for k, v in row.items() if k not in TIMES]) for row in read)
    return found


def order(bundle: Path, corpus: Path, url: str, home: Path, **given: Any) -> IndexOrder:
    return IndexOrder(bundle, (str(corpus),), url, home, device="cpu", map="pca", **{"shard_tokens": 300, **given})


def write_corpus(path: Path, n: int, seed: int = 0) -> Path:
    rng = random.Random(seed)
    lines = [{"text": " ".join(rng.choices(TINY_TEXTS, k=rng.randint(1, 4))), "title": f"t{i}"} for i in range(n)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def quiet(phase: str, share: float | None, note: str) -> None: ...


class KilledError(BaseException):
    pass


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "texts.jsonl", 12)


def killed_at(phase: str, call: int) -> Callable[[str, float | None, str], None]:
    left = call

    def progress(now: str, share: float | None, note: str) -> None:
        nonlocal left
        left -= now == phase
        if left < 0:
            raise KilledError

    return progress


@pytest.mark.parametrize(("phase", "call"), [("indexing", 0), ("indexing", 5), ("writing", 0), ("writing", 2)])
def test_an_interrupted_run_ends_as_any_other(
    database_url: str, tiny_bundle: Path, corpus: Path, tmp_path: Path, phase: str, call: int
) -> None:
    whole = open_database(f"sqlite:///{tmp_path / 'whole.sqlite3'}")
    run_index(order(tiny_bundle, corpus, str(whole.url), tmp_path), quiet)
    with pytest.raises(KilledError):
        run_index(order(tiny_bundle, corpus, database_url, tmp_path), killed_at(phase, call))
    told: list[str] = []
    run_index(order(tiny_bundle, corpus, database_url, tmp_path), lambda now, share, note: told.append(f"{now} {note}"))
    database = open_database(database_url)
    if database.is_sqlite:
        assert rows(database) == rows(whole)
    if phase == "writing":
        assert sum(line.startswith("indexing") for line in told) == 1, "the forward passes were not made again"
    assert not list(tmp_path.rglob("state-*.npz")), "nothing is left behind"
    database.close()
    whole.close()


def test_killed_before_it_could_tidy_up(
    tiny_bundle: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new index is current already: the rows stay as they are, unless the corpus has changed."""
    url = f"sqlite:///{tmp_path / 'studio.sqlite3'}"

    def killed(work: IndexWork) -> None:
        raise KilledError

    monkeypatch.setattr(IndexWork, "done", killed)
    with pytest.raises(KilledError):
        run_index(order(tiny_bundle, corpus, url, tmp_path), quiet)
    database = open_database(url)
    before = rows(database)
    with pytest.raises(KilledError):
        run_index(order(tiny_bundle, corpus, url, tmp_path), quiet)
    assert rows(database) == before
    monkeypatch.undo()
    write_corpus(corpus, 3)
    assert "are ready in" in run_index(order(tiny_bundle, corpus, url, tmp_path), quiet)
    assert len(rows(database)["document"]) == 12 + 3, "the run before is kept, and its documents with it"
    assert not Path(f"{tmp_path / 'studio.sqlite3'}.work").exists()
    database.close()


def test_a_corpus_that_changed_meanwhile_is_indexed_anew(
    tiny_bundle: Path, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path / 'studio.sqlite3'}"
    with pytest.raises(KilledError):
        run_index(order(tiny_bundle, corpus, url, tmp_path), killed_at("indexing", 3))
    write_corpus(corpus, 9, seed=1)
    run_index(order(tiny_bundle, corpus, url, tmp_path), quiet)
    assert "the corpus has changed" in caplog.text
    whole = open_database(f"sqlite:///{tmp_path / 'whole.sqlite3'}")
    run_index(order(tiny_bundle, corpus, str(whole.url), tmp_path), quiet)
    database = open_database(url)
    assert rows(database) == rows(whole)
    for opened in (database, whole):
        opened.close()


def test_work_is_of_one_model_one_corpus_and_its_settings(
    database: Database, tiny_bundle: Path, corpus: Path, tmp_path: Path
) -> None:
    from mfn_server.indexing import _work

    model = MFNModel.from_pretrained(tiny_bundle)
    first = order(tiny_bundle, corpus, "", tmp_path)
    others = [
        order(tiny_bundle, tmp_path / "other.jsonl", "", tmp_path),
        order(tiny_bundle, corpus, "", tmp_path, n_top=3),
        order(tiny_bundle, corpus, "", tmp_path, limit=4),
        order(tiny_bundle, corpus, "", tmp_path, shard_tokens=301),
        order(tiny_bundle, corpus, "", tmp_path, text_field="body"),
    ]
    works = [_work(each, model, database) for each in (first, *others)]
    folders = {work.folder for work in works if work}
    assert len(folders) == 6
    same = _work(order(tiny_bundle, Path(os.path.relpath(corpus)), "", tmp_path), model, database)
    assert same is not None
    assert same.folder in folders
    with index_lock(database):
        assert not same.is_stored(IndexStore(database))
    same.done()
    assert not any(folder.exists() for folder in folders)


def _start(*arguments: object, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mfn_server.cli", "index", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MFN_HOME": str(home), "MFN_MAP": "pca"},
    )


def _phase(database: Database) -> str:
    """What the run that is being made is at; writing from when it has its corpus on."""
    with database.read() as connection:
        row = connection.execute(
            select(IndexRun.phase, IndexRun.corpus_id).where(IndexRun.state == RunState.BUILDING)
        ).one_or_none()
    return "" if row is None else row.phase if row.corpus_id is None else "writing"


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_rows(
    database_url: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    """A real process, SIGKILL at random moments: while it reads, indexes, saves and writes.

    The index of an earlier corpus is there from the start, and is current all the time.
    """
    early, corpus = write_corpus(tmp_path / "early.jsonl", 6), write_corpus(tmp_path / "texts.jsonl", 160, seed=2)
    straight = database_url + "_straight" if database_url.startswith("postgres") else f"sqlite:///{tmp_path / 'b.db'}"
    if database_url.startswith("postgres"):
        _copy_of_nothing(straight)
    databases = [open_database(url) for url in (database_url, straight)]
    for database in databases:
        run_index(order(tiny_bundle, early, database.url.render_as_string(hide_password=False), tmp_path), quiet)
    killed, uninterrupted = databases
    run_index(order(tiny_bundle, corpus, straight, tmp_path), quiet)

    with killed.read() as connection:
        current = set(connection.scalars(select(Source.current_run_id)))
    given = (tiny_bundle, corpus, "--db", database_url, "--shard", 300, "--device", "cpu")
    rng, kills, seen = random.Random(time.time_ns()), 0, []
    waits = ["indexing"] * 5 + ["writing"] * (KILLS - 5)
    while True:
        process = _start(*given, home=tmp_path)
        if kills < KILLS:
            wanted, delay = waits[kills], rng.uniform(0, 1.5 if waits[kills] == "indexing" else 0.1)
            while process.poll() is None and _phase(killed) != wanted:
                time.sleep(0.002)
            time.sleep(delay)
            seen.append(_phase(killed))
            process.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=300)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, errors
        kills += 1
        with killed.read() as connection:
            now = set(connection.scalars(select(Source.current_run_id)))
            states = set(connection.scalars(select(IndexRun.state).where(IndexRun.id.in_(now))))
        assert len(now) == 1, "all sources turn together"
        assert states == {RunState.READY}
        assert now == current or not _phase(killed)
    assert kills >= KILLS // 2, f"it came to its end too soon to be killed: {seen}"
    print(f"killed {kills} times: {seen}")
    theirs = rows(uninterrupted)
    for name, mine in rows(killed).items():
        assert mine == theirs[name], f"{name} differs after {kills} kills at {seen}"
    assert not list(tmp_path.rglob("state-*.npz"))
    for database in databases:
        database.close()


def _copy_of_nothing(url: str) -> None:
    """An empty database on the server of `url`, by the name that stands there."""
    from sqlalchemy import create_engine

    server, _, name = url.rpartition("/")
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
