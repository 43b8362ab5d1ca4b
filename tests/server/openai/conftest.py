"""One running server for all tests of this folder, and OpenAI's own client for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import uvicorn
from openai import OpenAI

from mfn_server.app import create_app
from mfn_server.served_model import plan_of
from mfn_server.settings import Settings
from tests.server.steering import paced
from tests.server.steering.site import PATIENCE, Site, wait_until


@pytest.fixture(scope="session")
def running(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("openai") / "studio.sqlite3"
    settings = Settings(model=tiny_bundle, database=str(path), model_aliases=["small", "tiny"])
    app = create_app(settings, replace(plan_of(tiny_bundle), make_engine=paced.PacedEngine))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            wait_until(lambda: client.get("/api/model").status_code == 200)
            yield Site(app, client)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.fixture
def site(running: Site) -> Site:
    running.use()
    return running


@pytest.fixture
def openai(site: Site) -> Iterator[OpenAI]:
    """OpenAI's client, which does not try again by itself."""
    with OpenAI(base_url=str(site.client.base_url.join("/v1")), api_key="none", max_retries=0) as client:
        yield client
