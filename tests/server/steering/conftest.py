"""One running server for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mfn_server.settings import Settings
from tests.server.steering.site import Site, running_site


@pytest.fixture(scope="session")
def running(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("steer") / "studio.sqlite3"
    with running_site(Settings(model=tiny_bundle, database=str(path))) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    running.use()
    return running
