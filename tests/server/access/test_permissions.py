"""Who may use which route: one table, and every route of the app stands in it.

A new route: add a line. What it may be used for is said twice, here and where the route is, so that neither is changed
by oversight.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from mfn_server.access.roles import Role
from tests.server.access.people import ORIGIN, Team

ALL, KNOWN, OWN = "all", "known", "own login"

TABLE = {
    # the pages' files; they hold nothing that is not in the package
    "GET /{path:path}": ALL,
    "GET /assets": ALL,
    "GET /vendor/plotly.min.js": ALL,
    "GET /openapi.json": ALL,
    # whether the server is well
    "GET /healthz": ALL,
    "GET /readyz": ALL,
    "GET /api/health": ALL,
    "GET /metrics": "measure",
    # the model and its features
    "GET /api/model": "read",
    "GET /api/evidence": "read",
    "GET /api/evidence/{key}": "read",
    "GET /api/evidence/{key}/html": "read",
    "GET /api/evidence/runs/{key}": "read",
    "GET /api/features": "read",
    "GET /api/features/rows": "read",
    "GET /api/features/{source}/{index}": "read",
    "GET /api/features/{source}/{index}/labels": "read",
    "GET /api/features/{source}/{index}/history": "read",
    "GET /api/features/{source}/{index}/scores": "read",
    "POST /api/features/{source}/{index}/events": "label",
    "POST /api/features/{source}/{index}/decisions": "review",
    "POST /api/features/{source}/{index}/redactions": "administer",
    "GET /api/labels/scores": "read",
    "GET /api/labels/runs": "review",
    "POST /api/labels/runs": "review",
    "GET /api/labels/runs/{run}": "review",
    "POST /api/labels/runs/{run}/stop": "review",
    "POST /api/labels/runs/{run}/resume": "review",
    "GET /api/labels/agreement": "read",
    "GET /api/labels/people": "read",
    "GET /api/labels/export": "read",
    "POST /api/labels/import": "administer",
    "GET /api/labels/people/{author}/history": "read",
    "GET /api/campaigns": "read",
    "GET /api/campaigns/{campaign}": "read",
    "POST /api/campaigns": "review",
    "GET /api/campaigns/people": "review",
    "POST /api/campaigns/{campaign}/events": "review",
    "GET /api/campaigns/{campaign}/review": "review",
    "POST /api/campaigns/{campaign}/next": "label",
    "PUT /api/campaigns/{campaign}/leases/{lease}": "label",
    "DELETE /api/campaigns/{campaign}/leases/{lease}": "label",
    "POST /api/campaigns/{campaign}/opinions": "label",
    "POST /api/campaigns/{campaign}/skips": "label",
    "GET /api/collections": "read",
    "POST /api/collections": "label",
    "GET /api/collections/{collection}": "read",
    "GET /api/collections/{collection}/history": "read",
    "POST /api/collections/{collection}/events": "label",
    "POST /api/collections/{collection}/redactions": "administer",
    "GET /api/live": "read",
    "POST /api/live/presence": "read",
    "GET /api/map": "read",
    "GET /api/cosines": "read",
    "GET /api/map/points": "read",
    "GET /api/foreign": "read",
    "GET /api/foreign/{source}/features": "read",
    "GET /api/foreign/{source}/features/{index}": "read",
    # having the model compute
    "POST /api/inspect": "generate",
    "POST /api/inspect/batch": "generate",
    "POST /api/features/{source}/{index}/activations": "generate",
    "POST /api/generate": "generate",
    "GET /api/generate/{request_id}": "generate",
    "PATCH /api/generate/{request_id}": "generate",
    "DELETE /api/generate/{request_id}": "generate",
    "POST /api/effect/predict": "generate",
    "POST /api/effect/sweep": "generate",
    "POST /api/effect/sweet-spot": "generate",
    "GET /v1/models": "generate",
    "GET /v1/models/{name:path}": "generate",
    "POST /v1/completions": "generate",
    "POST /v1/chat/completions": "generate",
    # presets
    "GET /api/presets": "read",
    "GET /api/presets/export": "read",
    "GET /api/presets/{preset_id}": "read",
    "GET /api/presets/{preset_id}/versions": "read",
    "POST /api/presets": "save",
    "POST /api/presets/import": "save",
    "PUT /api/presets/{preset_id}": "save",
    "POST /api/presets/{preset_id}/restore": "save",
    "DELETE /api/presets/{preset_id}": "save",
    # people
    "GET /api/session": ALL,
    "PUT /api/session": ALL,
    "POST /api/session": ALL,
    "DELETE /api/session": ALL,
    "POST /api/join/look": ALL,
    "POST /api/join": ALL,
    "POST /api/reset/look": ALL,
    "POST /api/reset": ALL,
    "PUT /api/account/password": OWN,
    "GET /api/account/sessions": OWN,
    "DELETE /api/account/sessions": OWN,
    "DELETE /api/account/sessions/{session_id}": OWN,
    "GET /api/account/tokens": OWN,
    "POST /api/account/tokens": OWN,
    "DELETE /api/account/tokens/{token_id}": OWN,
    "GET /api/admin/people": "administer",
    "PATCH /api/admin/people/{account_id}": "administer",
    "POST /api/admin/people/{account_id}/reset": "administer",
    "GET /api/admin/invitations": "administer",
    "POST /api/admin/invitations": "administer",
    "DELETE /api/admin/invitations/{invitation_id}": "administer",
    "GET /api/admin/audit": "administer",
}

MAY = {
    "viewer": "read generate",
    "labeller": "read generate save label",
    "reviewer": "read generate save label review",
    "admin": "read generate save label review measure administer",
}
SCOPES = MAY["admin"].split()
LEAVES = "DELETE /api/session"
"""Whoever uses this is out, so it comes last."""


def routes_of(app: FastAPI) -> list[str]:
    """Every route there is, as `METHOD path`; HEAD goes with GET, and a mounted folder is read."""
    found = []
    for route in iter_route_contexts(app.routes):
        methods = {"GET"} if isinstance(route.original_route, Mount) else (route.methods or {"?"}) - {"HEAD"}
        found += [f"{method} {route.path}" for method in sorted(methods)]
    return found


def test_every_route_stands_in_the_table(team: Team) -> None:
    found = routes_of(team.app)
    assert len(found) > 50
    assert sorted(found) == sorted(TABLE)


@pytest.mark.parametrize("who", ["anonymous", *MAY, *(f"token: {scope}" for scope in SCOPES)])
def test_who_may_use_which_route(team: Team, who: str) -> None:
    ask = as_token(team, who) if who.startswith("token") else as_browser(team, who)
    wrong = {}
    for route in sorted(TABLE, key=lambda route: route == LEAVES):
        method, path = route.split(" ")
        status = ask.request(method, fitting(path), json=None if method in ("GET", "DELETE") else {}).status_code
        expected = expectation(who, TABLE[route])
        if (status if status in (401, 403) else "allowed") != expected or status == 500:
            wrong[route] = f"{status}, not {expected}"
    assert wrong == {}


def expectation(who: str, asked: str) -> int | str:
    """401, 403 or allowed."""
    if asked == ALL:
        return "allowed"
    if who == "anonymous":
        return 401
    if asked == KNOWN:
        return "allowed"
    if who.startswith("token: "):
        return "allowed" if asked == who.removeprefix("token: ") else 403
    return "allowed" if asked == OWN or asked in MAY[who].split() else 403


def fitting(path: str) -> str:
    """A path as the pattern has it, to things that do not exist."""
    filled = re.sub(r"\{(index)\}", "0", path)
    filled = re.sub(r"\{(preset|session|token|account|invitation)_id\}", str(uuid.uuid4()), filled)
    return re.sub(r"\{[^}]*\}", "none", "/assets/app.js" if path == "/assets" else filled)


def as_browser(team: Team, who: str) -> Any:
    if who == "anonymous":
        return team.browser()
    team.add(f"role {who}", Role(who))
    return team.enter(f"role {who}")


def as_token(team: Team, who: str) -> Any:
    """A program with an admin's token for one thing alone."""
    team.add(who, Role.ADMIN)
    scope = who.removeprefix("token: ")
    made = team.enter(who).post("/api/account/tokens", json={"name": "one", "scopes": [scope]})
    program = team.browser(ORIGIN)
    program.headers["authorization"] = f"Bearer {made.json()['token']}"
    return program
