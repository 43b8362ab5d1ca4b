"""Every answer carries a policy that lets nothing inline come alive."""

from __future__ import annotations

import re
import urllib.error
import urllib.request

import pytest

from .studio import Studio

FRONTEND = (
    "/",
    "/steer",
    "/browse",
    "/assets/app.js",
    "/assets/styles/base.css",
    "/assets/icon.svg",
    "/vendor/plotly.min.js",
)
API = (
    "/api/health",
    "/api/model",
    "/api/features?limit=1",
    "/api/presets",
    "/api/presets/export",
    "/openapi.json",
    "/metrics",
    "/healthz",
    "/readyz",
    "/v1/models",
)
REFUSED = (
    "/api/features/nothing/1",
    "/api/features?limit=x",
    "/assets/no.js",
    "/assets/../app.py",
    "/api/nothing",
    "/no/such/page",
)


@pytest.mark.parametrize("path", FRONTEND + API + REFUSED)
def test_every_answer_carries_a_strict_policy(studio: Studio, path: str) -> None:
    try:
        answer = urllib.request.urlopen(studio.url + path, timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        policy = answer.headers["Content-Security-Policy"]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == "'self'"
    assert rules["object-src"] == rules["base-uri"] == "'none'"
    assert not re.search(r"unsafe-(inline|eval)|https?:|\*", policy)


def test_a_stream_of_events_carries_it_too(studio: Studio) -> None:
    body = b'{"prompt": "The snow", "max_new_tokens": 1}'
    headers = {"Content-Type": "application/json", "Origin": studio.url}
    with urllib.request.urlopen(
        urllib.request.Request(f"{studio.url}/api/generate", body, headers), timeout=30
    ) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        answer.read()
