"""The app as a whole: guards, errors, pages, presets, health."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mfn_core import MFNModel
from mfn_core.errors import MFNError
from mfn_server.app import create_app
from mfn_server.security import SECURITY_HEADERS, host_name
from mfn_server.serving import _listen
from mfn_server.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8765", "localhost:1", "[::1]:8765", "LOCALHOST"])
def test_loopback_names_are_answered(bare_client: TestClient, host: str) -> None:
    assert bare_client.get("/api/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8765", "", "127.0.0.1@evil.example", "["]
)
def test_other_names_are_refused(bare_client: TestClient, host: str) -> None:
    answer = bare_client.get("/api/health", headers={"host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (421, "unknown_host")


def test_a_host_name_is_what_a_browser_would_read() -> None:
    assert host_name("127.0.0.1@evil.example") == "evil.example"
    assert host_name("[::1]:80") == "::1"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1", "sec-fetch-site": "cross-site"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/inspect"), ("POST", "/api/presets"), ("DELETE", "/api/x")])
def test_other_sites_cannot_write(bare_client: TestClient, headers: dict[str, str], method: str, path: str) -> None:
    answer = bare_client.request(method, path, json={"text": "a"}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_site")


def test_the_apps_own_pages_and_programs_can_write(bare_client: TestClient) -> None:
    own = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}
    for headers in (own, {"sec-fetch-site": "none"}, {}):
        assert bare_client.post("/api/inspect", json={"text": "a"}, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/health", "/api/none", "/assets/app.js", "/vendor/plotly.min.js", "/x.y"])
def test_every_answer_carries_the_security_headers(bare_client: TestClient, path: str) -> None:
    headers = bare_client.get(path).headers
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    policy = headers["content-security-policy"]
    empty = "'unsafe-hashes' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"  # of what has nothing in it
    assert "unsafe" not in policy.replace(f"style-src 'self' {empty};", "")
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["/", "/browse", "/feature/mfn.resid_mid.3-1a2b3c4d/17", "/inspect", "/steer"])
def test_pages_are_the_dashboard(bare_client: TestClient, path: str) -> None:
    answer = bare_client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-cache"


def test_modules_are_asked_for_again_and_answered_with_304(bare_client: TestClient) -> None:
    first = bare_client.get("/assets/app.js")
    assert first.headers["content-type"].startswith("text/javascript")
    assert first.headers["cache-control"] == "no-cache"
    again = bare_client.get("/assets/app.js", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304


def test_nothing_outside_the_dashboard_is_served(bare_client: TestClient) -> None:
    for path in (
        "/assets/../pyproject.toml",
        "/assets/%2e%2e/pyproject.toml",
        "/assets/none.js",
        "/vendor/x",
        "/docs.txt",
    ):
        assert bare_client.get(path).status_code == 404
    for path in ("/docs", "/redoc"):
        assert "swagger" not in bare_client.get(path).text.lower()


def test_the_api_describes_itself_and_its_errors(bare_client: TestClient) -> None:
    description = bare_client.get("/openapi.json").json()
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), f"{method} {path} has no description"
            assert "4XX" in operation["responses"], f"{method} {path} does not describe its errors"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/api/none", 404), ("PUT", "/api/health", 405), ("POST", "/", 405)]
)
def test_errors_have_one_shape(bare_client: TestClient, method: str, path: str, status: int) -> None:
    answer = bare_client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"code", "message", "hint", "field"}


def test_a_long_body_is_refused(bare_client: TestClient) -> None:
    def pieces() -> Any:
        yield b'{"text": "'
        for _ in range(20):
            yield b"a" * 100_000
        yield b'"}'

    for content in (b"x" * 1_000_001, pieces()):
        answer = bare_client.post("/api/inspect", content=content, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_a_foreign_content_type_is_no_json(bare_client: TestClient) -> None:
    """Browsers send text/plain to other sites without asking first."""
    answer = bare_client.post("/api/inspect", content='{"text": "a"}', headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_json")


def test_the_model_is_described(bare_client: TestClient, tiny_model: MFNModel) -> None:
    body = bare_client.get("/api/model").json()
    assert body["fingerprint"] == tiny_model.fingerprint
    assert body["n_parameters"] == sum(p.numel() for p in tiny_model.parameters())
    assert body["card"]["description"] == body["description"] == "Random weights."
    assert [s["key"] for s in body["sources"]] == [tiny_model.source_key(n) for n in tiny_model.coders]
    assert body["corpus"] is None


def test_the_model_page_counts_the_index(client: TestClient, tiny_index: Any) -> None:
    body = client.get("/api/model").json()
    assert [s["n_alive"] for s in body["sources"]] == [int((x.firing_count > 0).sum()) for x in tiny_index.layers]
    assert body["corpus"]["n_documents"] == len(tiny_index.documents)
    health = client.get("/api/health").json()
    assert (health["status"], health["model_loaded"], health["index"]["state"]) == ("ok", True, "ready")


def _wait(read: Callable[[], Any]) -> Any:
    import time

    for _ in range(200):
        if value := read():
            return value
        time.sleep(0.05)
    return read()


def test_a_broken_model_is_told_by_health_and_503(tmp_path: Path, tiny_bundle: Path) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(tiny_bundle, broken)
    (broken / "model.safetensors").write_bytes(b"junk")
    app = create_app(Settings(model=broken, database=str(tmp_path / "db.sqlite3")))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        health = _wait(lambda: (h := client.get("/api/health").json())["status"] == "error" and h)
        assert "model.safetensors is broken" in health["index"]["message"]
        answer = client.get("/api/model")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_ready")
        assert client.get("/").status_code == 200


def test_an_app_without_a_model_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(MFNError, match="no model to serve"):
        create_app(Settings(database=str(tmp_path / "x.sqlite3")))


def test_unknown_errors_tell_nothing_of_the_inside(bare_client: TestClient) -> None:
    def fail() -> None:
        raise RuntimeError("a secret path")

    path = f"/api/{uuid.uuid4()}"
    bare_client.app.router.routes.insert(0, _route(path, fail))
    answer = bare_client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "secret" not in answer.text


def _route(path: str, fail: Callable[[], None]) -> Any:
    from starlette.routing import Route

    async def endpoint(request: Any) -> None:
        fail()

    return Route(path, endpoint)


async def test_an_answer_does_not_wait_for_its_headers_to_be_acknowledged() -> None:
    """TCP_NODELAY is set on what the server accepts; asyncio does so only where the listener names its protocol."""
    listener = _listen("127.0.0.1", 0)
    set_on: list[int] = []

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        set_on.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(accepted, sock=listener):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        await reader.read()
        writer.close()
    assert set_on
    assert all(set_on)
