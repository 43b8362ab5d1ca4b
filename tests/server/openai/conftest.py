"""One running server for all tests of this folder, and OpenAI's own client for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from mfn_server.settings import Settings
from tests.server.steering.site import Site, running_site


@pytest.fixture(scope="session")
def running(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("openai") / "studio.sqlite3"
    with running_site(Settings(model=tiny_bundle, database=str(path), model_aliases=["small", "tiny"])) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    running.use()
    return running


@pytest.fixture
def openai(site: Site) -> Iterator[OpenAI]:
    """OpenAI's client, which does not try again by itself."""
    with OpenAI(base_url=str(site.client.base_url.join("/v1")), api_key="none", max_retries=0) as client:
        yield client
