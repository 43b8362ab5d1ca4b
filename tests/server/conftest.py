"""Databases of both kinds, and the running app."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from starlette.testclient import TestClient

from mfn_core import MFNModel
from mfn_core.indexing.from_weights import describe_weights
from mfn_core.indexing.types import CorpusIndex
from mfn_server.app import create_app
from mfn_server.db.index_lock import index_lock
from mfn_server.db.index_store import IndexStore
from mfn_server.db.migrate import open_database
from mfn_server.db.session import Database
from mfn_server.model_facts import ModelFacts
from mfn_server.settings import Settings
from mfn_server.weights.command import sources_by_layer
from mfn_server.weights.record import WeightRecord, kept_settings, record_of
from mfn_server.weights.store import store_weights
from mfn_server.worker.launch import warm_up
from tests.conftest import TINY_TEXTS
from tests.server.plain_index import plain_index
from tests.server.saying import add_features

StoreIndex = Callable[[Database, CorpusIndex], int]


def _postgres_binaries() -> Path | None:
    """The newest installed PostgreSQL, as Debian lays it out."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A private PostgreSQL cluster for this session, without durability. Yields the URL of its server."""
    binaries = _postgres_binaries()
    if binaries is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must run the database tests on PostgreSQL, and it is not installed")
        pytest.skip("PostgreSQL is not installed")
    # not in pytest's own folder, into which PostgreSQL's user (it refuses to run as root) may not look
    folder = Path(tempfile.mkdtemp(prefix="mfn-postgres-"))
    data = folder / "data"
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_postgres:
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        command = [*as_postgres, str(binaries / program), "-D", str(data), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd="/")

    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    try:
        run("initdb", "-U", "mfn", "-A", "trust", "-E", "UTF8", "--no-sync")
        run("pg_ctl", "-o", options, "-l", str(data / "log"), "-w", "start")
        yield f"postgresql+psycopg://mfn@127.0.0.1:{port}"
        run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def copy_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Path | None], str]:
    """`copy_of("migrated", path)` is the URL of a database with all tables and no rows, a file or, without one, on
    PostgreSQL; "indexed" has the tiny index, too. Making either takes longer than most tests: it is done once."""
    originals: dict[tuple[str, bool], str] = {}

    def original(name: str, on_sqlite: bool) -> str:
        if on_sqlite:
            url = f"sqlite:///{tmp_path_factory.mktemp(name) / 'original.sqlite3'}"
        else:
            url = _new_postgres(request.getfixturevalue("postgres_server"))
        opened = open_database(url)
        if name == "indexed":
            request.getfixturevalue("store_index")(opened, request.getfixturevalue("tiny_index"))
        opened.close()
        return url

    def copy(name: str, path: Path | None) -> str:
        kind = name, path is not None
        if kind not in originals:
            originals[kind] = original(*kind)
        if path is None:
            server, _, template = originals[kind].rpartition("/")
            return _new_postgres(server, template)
        shutil.copy(originals[kind].removeprefix("sqlite:///"), path)
        return f"sqlite:///{path}"

    return copy


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database; each test that asks for it runs once on each kind.

    It is empty, but for what a test's other fixtures say: `database`, `indexed`.
    """
    path = tmp_path / "studio.sqlite3" if request.param == "sqlite" else None
    for fixture, name in (("indexed", "indexed"), ("database", "migrated")):
        if fixture in request.fixturenames:
            url: str = request.getfixturevalue("copy_of")(name, path)
            return url
    return f"sqlite:///{path}" if path else _new_postgres(request.getfixturevalue("postgres_server"))


@pytest.fixture
def fresh_url(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> str:
    """The URL of a second database of the same kind, of which there is nothing yet."""
    if database_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'second' / 'studio.sqlite3'}"
    return _new_postgres(request.getfixturevalue("postgres_server"))


@pytest.fixture
def new_postgres(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Makes a copy of a database of the session's PostgreSQL, which nobody may have open. Gives its URL."""
    return lambda template: _new_postgres(request.getfixturevalue("postgres_server"), template)


def _new_postgres(server: str, template: str = "template1") -> str:
    name = f"test_{uuid.uuid4().hex}"
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    engine.dispose()
    return f"{server}/{name}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated database without rows, unless the test asks for `indexed`."""
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def bare(database: Database) -> Database:
    """A database with features of which things can be said, without a model or an index."""
    with database.write() as connection:
        add_features(connection)
    return database


@pytest.fixture(scope="session", autouse=True)
def fork_server() -> None:
    """The app's worker processes are forked from a server that imports torch, once a session and beside other tests."""
    warm_up()


def wait_for_model(client: TestClient) -> None:
    """Until the app serves its model. It may take long on a machine that is busy."""
    end = time.monotonic() + 300
    while (answer := client.get("/api/model")).status_code != 200:
        assert answer.json()["error"]["message"] == "the model is still loading"
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def make_client(tiny_bundle: Path) -> Iterator[Callable[..., TestClient]]:
    """Starts the app on a database; further settings by keyword. The model is loaded when it returns."""
    open_clients: list[TestClient] = []

    def make(url: str, **settings: object) -> TestClient:
        values = {"model": tiny_bundle, "database": url, **settings}
        client = TestClient(create_app(Settings(**values)), base_url="http://127.0.0.1", raise_server_exceptions=False)
        client.__enter__()
        open_clients.append(client)
        wait_for_model(client)
        return client

    yield make
    for client in open_clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="module")
def bare_client(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The app on SQLite without an index, shared by the tests of a module."""
    path = tmp_path_factory.mktemp("bare") / "studio.sqlite3"
    app = create_app(Settings(model=tiny_bundle, database=str(path)))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        wait_for_model(client)
        yield client


@pytest.fixture(scope="session")
def tiny_index(tiny_model: MFNModel) -> CorpusIndex:
    """An index of the tiny model over the tiny texts."""
    return plain_index(tiny_model, TINY_TEXTS)


@pytest.fixture(scope="session")
def tiny_facts(tiny_model: MFNModel, tiny_bundle: Path) -> ModelFacts:
    """What the server says of the tiny model."""
    return ModelFacts.of(tiny_model, tiny_bundle)


@pytest.fixture(scope="session")
def tiny_weights(tiny_model: MFNModel) -> WeightRecord:
    """What the weights of the tiny model say."""
    settings = kept_settings("pca")
    return record_of(describe_weights(tiny_model, settings), settings)


@pytest.fixture(scope="session")
def store_index(tiny_model: MFNModel, tiny_facts: ModelFacts, tiny_weights: WeightRecord) -> StoreIndex:
    """Writes an index into a database, the whole way, and what the weights say. Gives the run's id."""
    tokenizer = tiny_model.tokenizer
    assert tokenizer is not None

    def store(database: Database, index: CorpusIndex) -> int:
        writer = IndexStore(database)
        with index_lock(database):
            run_id = writer.begin(tiny_facts, {})
            writer.store(run_id, tiny_facts, index, "texts", lambda ids: str(tokenizer.decode(ids)))
            store_weights(database, sources_by_layer(database, tiny_facts), tiny_weights, lambda phase, share: None)
        return run_id

    return store


@pytest.fixture
def indexed(database: Database) -> Database:
    """A database with the tiny index: `database_url` sees to it."""
    return database


@pytest.fixture
def client(indexed: Database, database_url: str, make_client: Callable[..., TestClient]) -> TestClient:
    """The app on an indexed database, on each kind of database."""
    return make_client(database_url)
