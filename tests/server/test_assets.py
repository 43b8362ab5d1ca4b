"""The dashboard's files as they are sent."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Mount

from mfn_server.assets import Assets, without_comments

SCRIPT = """/** What it is. */

export function f(a) {
  // why
  /** @type {number} */ const b = a * 2; // stays
  return `a ${b}  b`;
}
"""
SENT = "\n\nexport function f(a) {\n\nconst b = a * 2; // stays\nreturn `a ${b}  b`;\n}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.js").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "a.min.js").write_text("/* theirs */\n  x;\n", encoding="utf-8")
    (tmp_path / "a.css").write_text("/* two\n   lines */\n.a {\n  color: red;\n}\n", encoding="utf-8")
    (tmp_path / "icon.svg").write_text("<svg>\n  <!-- -->\n</svg>\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def client(folder: Path) -> TestClient:
    return TestClient(Starlette(routes=[Mount("/assets", Assets(folder))]))


def test_comments_and_indentation_go_and_lines_keep_their_numbers() -> None:
    assert without_comments(SCRIPT) == SENT
    assert without_comments("a = 1; /* x */\n/* b */ /* c */ d;\n") == "a = 1; /* x */\n/* c */ d;\n"
    assert without_comments(".a {\n  /* why\n     so */\n  color: red;\n}\n") == ".a {\n\n\ncolor: red;\n}\n"


def test_what_is_sent_is_what_is_unpacked(client: TestClient) -> None:
    for name, text in (
        ("a.js", SENT),
        ("a.css", "\n\n.a {\ncolor: red;\n}\n"),
        ("icon.svg", "<svg>\n  <!-- -->\n</svg>\n"),
    ):
        plain = client.get(f"/assets/{name}", headers={"accept-encoding": "identity"})
        assert (plain.text, plain.headers.get("content-encoding")) == (text, None)
        packed = client.get(f"/assets/{name}", headers={"accept-encoding": "gzip, br"})
        assert (packed.text, packed.headers["content-encoding"]) == (text, "gzip")
        assert int(packed.headers["content-length"]) == len(gzip.compress(text.encode(), 6, mtime=0))
        assert packed.headers["vary"] == "Accept-Encoding"
        assert plain.headers["etag"] == packed.headers["etag"]
    assert client.get("/assets/a.min.js").text == "/* theirs */\n  x;\n"
    assert client.get("/assets/a.js").headers["content-type"].startswith("text/javascript")
    assert client.head("/assets/a.js").content == b""


def test_a_changed_file_is_sent_anew_and_an_unchanged_one_is_not(client: TestClient, folder: Path) -> None:
    etag = client.get("/assets/a.js").headers["etag"]
    again = client.get("/assets/a.js", headers={"if-none-match": etag})
    assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-cache")
    (folder / "a.js").write_text("other();\n", encoding="utf-8")
    os.utime(folder / "a.js", ns=(1, 1))
    changed = client.get("/assets/a.js", headers={"if-none-match": etag})
    assert (changed.status_code, changed.text) == (200, "other();\n")
