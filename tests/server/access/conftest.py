"""A server with accounts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mfn_server.app import create_app
from mfn_server.settings import Settings
from tests.server.access.people import ORIGIN, Team, cheap


@pytest.fixture(scope="module")
def team(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Shared by the tests of a module: each brings people of its own."""
    path = tmp_path_factory.mktemp("team") / "studio.sqlite3"
    settings = Settings(model=tiny_bundle, database=str(path), accounts=True, allowed_hosts=["studio.example"])
    app = create_app(settings, passwords=cheap())
    with TestClient(app, base_url=ORIGIN) as client:
        end = time.monotonic() + 300
        while not client.get("/api/health").json()["model_loaded"]:
            assert time.monotonic() < end
            time.sleep(0.05)
        yield Team(app, path)
