"""A server with accounts, over HTTP: in and out, what stands in the way, and what is told to whom."""

from __future__ import annotations

import asyncio
import json
import uuid
from http.cookies import SimpleCookie
from typing import Any

import pytest
from sqlalchemy import text
from starlette.requests import Request

from mfn_core.errors import MFNError
from mfn_server.access.person import StillIn, known_person
from mfn_server.access.roles import Permission, Person, Role
from mfn_server.security import is_loopback
from mfn_server.serving import check_reach
from mfn_server.settings import Settings
from mfn_server.steering.routes import user_of
from tests.server.access.people import ORIGIN, PASSWORD, Team, log_in

COOKIE = "mfn_session"


def error_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_from_an_invitation_to_the_way_out(team: Team) -> None:
    team.add("boss", Role.ADMIN)
    boss, bob = team.enter("boss"), team.browser()
    made = boss.post("/api/admin/invitations", json={"role": "reviewer", "note": "for bob"}).json()
    link = {"token": made["path"].partition("#")[2]}
    assert bob.get("/api/session").json() == {"accounts": True, "person": None}
    assert bob.post("/api/join/look", json=link).json()["role"] == "reviewer"
    weak = bob.post("/api/join", json={**link, "name": "Bob", "password": "short"})
    assert error_of(weak) == (422, "weak_password")
    taken = bob.post("/api/join", json={**link, "name": "BOSS", "password": PASSWORD})
    assert error_of(taken) == (409, "name_taken")
    joined = bob.post("/api/join", json={**link, "name": "Bob", "password": PASSWORD})
    assert (joined.status_code, joined.json()["person"]["name"]) == (201, "Bob")
    assert set(joined.json()["person"]["permissions"]) == {"read", "generate", "save", "label", "review"}
    assert error_of(team.browser().post("/api/join", json={**link, "name": "Eve", "password": PASSWORD})) == (
        404,
        "link_not_valid",
    )
    assert bob.get("/api/model").status_code == 200
    assert error_of(bob.get("/api/admin/people")) == (403, "not_allowed")
    cookie = bob.cookies[COOKIE]
    assert bob.delete("/api/session").status_code == 204
    assert COOKIE not in bob.cookies
    bob.cookies.set(COOKIE, cookie)
    assert error_of(bob.get("/api/model")) == (401, "not_logged_in")  # the server, too, has forgotten it
    (row,) = [row for row in boss.get("/api/admin/invitations").json()["items"] if row["note"] == "for bob"]
    assert (row["state"], row["name"], row["made_by"]) == ("used", "Bob", "boss")


@pytest.mark.parametrize(("url", "name"), [(ORIGIN, COOKIE), ("https://studio.example", f"__Host-{COOKIE}")])
def test_the_cookie_is_kept_from_scripts_other_sites_and_other_hosts(team: Team, url: str, name: str) -> None:
    person = f"cookie {name}"
    team.add(person)
    answer = log_in(team.browser(url), person)
    (found,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert found.key == name
    assert (found["httponly"], found["samesite"], found["path"], found["domain"]) == (True, "strict", "/", "")
    assert bool(found["secure"]) == url.startswith("https")
    assert int(found["max-age"]) == 30 * 24 * 3600


def test_nobody_learns_who_has_an_account(team: Team) -> None:
    team.add("known")
    team.add("gone")
    account = next(row for row in people(team) if row["name"] == "gone")
    admin(team).patch(f"/api/admin/people/{account['id']}", json={"active": False})
    answers = [
        log_in(team.browser(address="192.0.2.7"), name, password)
        for name, password in (("known", "wrong"), ("unknown", "wrong"), ("gone", PASSWORD), ("\0" * 0 + " ", "wrong"))
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert len({json.dumps(sorted(answer.headers.items())) for answer in answers}) == 1


@pytest.mark.parametrize("name", ["throttled", "throttled nobody"])
def test_after_ten_wrong_tries_the_right_one_waits_too_but_not_elsewhere(team: Team, name: str) -> None:
    if "nobody" not in name:
        team.add(name)
    address = f"198.51.100.{len(name)}"
    browser = team.browser(address=address)
    assert [log_in(browser, name, "wrong").status_code for _ in range(10)] == [401] * 10
    for _ in range(3):
        answer = log_in(browser, name)
        assert error_of(answer) == (429, "too_many_tries")
        assert 890 < int(answer.headers["retry-after"]) <= 900
    elsewhere = log_in(team.browser(address="198.51.100.99"), name)
    assert elsewhere.status_code == (401 if "nobody" in name else 200)
    log = admin(team).get("/api/admin/audit", params={"action": "login.throttled", "limit": 200}).json()["items"]
    mine = [entry for entry in log if entry["address"] == address]
    assert [entry["subject"] for entry in mine] == ["" if "nobody" in name else name]  # once; never what was typed


def test_a_login_is_a_new_one_each_time_and_a_change_of_password_ends_the_others(team: Team) -> None:
    team.add("rotating")
    one, two = team.enter("rotating"), team.enter("rotating")
    before = one.cookies[COOKIE]
    assert log_in(one, "rotating").status_code == 200
    after = one.cookies[COOKIE]
    assert after != before
    assert len(one.get("/api/account/sessions").json()["items"]) == 2  # the one before is over
    wrong = one.put("/api/account/password", json={"old": "wrong", "new": "four white swans on land"})
    assert error_of(wrong) == (403, "wrong_password")
    new = "four white swans on land"
    assert one.put("/api/account/password", json={"old": PASSWORD, "new": new}).status_code == 204
    assert one.cookies[COOKIE] not in (before, after)
    assert (one.get("/api/model").status_code, two.get("/api/model").status_code) == (200, 401)
    for old in (before, after):
        stale = team.browser()
        stale.cookies.set(COOKIE, old)
        assert stale.get("/api/model").status_code == 401
    assert (log_in(two, "rotating").status_code, log_in(two, "rotating", new).status_code) == (401, 200)
    current, other = (
        next(row for row in one.get("/api/account/sessions").json()["items"] if row["current"] is mine)
        for mine in (True, False)
    )
    assert one.delete(f"/api/account/sessions/{other['id']}").status_code == 204
    assert two.get("/api/model").status_code == 401
    assert one.delete(f"/api/account/sessions/{current['id']}").status_code == 204
    assert one.get("/api/model").status_code == 401


@pytest.mark.parametrize(
    "says",
    [
        {},
        {"origin": "http://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "none"},
        {"origin": "null"},
    ],
)
def test_with_a_cookie_nothing_is_changed_but_by_pages_of_this_server(team: Team, says: dict[str, str]) -> None:
    name = f"careful {says}"
    team.add(name)
    browser = team.enter(name)
    del browser.headers["origin"]
    assert error_of(browser.delete("/api/account/sessions", headers=says)) == (403, "cross_site")
    assert error_of(browser.post("/api/session", json={"name": name, "password": PASSWORD}, headers=says)) == (
        403,
        "cross_site",
    )
    assert browser.get("/api/model").status_code == 200
    assert browser.delete("/api/account/sessions", headers={"sec-fetch-site": "same-origin"}).status_code == 204


def test_a_token_is_shown_once_acts_for_its_owner_and_makes_no_tokens(team: Team) -> None:
    team.add("owner")
    owner, program = team.enter("owner"), team.browser()
    del program.headers["origin"]
    made = owner.post("/api/account/tokens", json={"name": "script", "scopes": ["generate"]}).json()
    program.headers["authorization"] = f"Bearer {made['token']}"
    assert made["token"].startswith(made["prefix"])
    assert program.get("/v1/models").status_code == 200
    assert error_of(program.get("/api/model")) == (403, "out_of_scope")
    assert error_of(program.get("/api/admin/people")) == (403, "not_allowed")
    assert error_of(program.post("/api/account/tokens", json={"name": "x", "scopes": ["read"]})) == (
        403,
        "login_needed",
    )
    (row,) = owner.get("/api/account/tokens").json()["items"]
    assert "token" not in row
    assert row["used_at"] is not None
    assert owner.delete(f"/api/account/tokens/{row['id']}").status_code == 204
    answer = program.get("/v1/models")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"  # as OpenAI says it
    assert answer.headers["www-authenticate"] == "Bearer"
    assert error_of(program.get("/api/session")) == (401, "invalid_token")
    beyond = owner.post("/api/account/tokens", json={"name": "x", "scopes": ["administer"]})
    assert error_of(beyond) == (422, "invalid_scope")


def test_a_role_counts_at_once_and_an_account_out_of_use_is_out_at_once(team: Team) -> None:
    person = team.add("changing")
    browser, boss = team.enter("changing"), admin(team)
    assert boss.patch(f"/api/admin/people/{person}", json={"role": "viewer"}).json()["role"] == "viewer"
    assert error_of(browser.post("/api/presets", json={})) == (403, "not_allowed")
    assert boss.patch(f"/api/admin/people/{person}", json={"active": False}).json()["active"] is False
    assert error_of(browser.get("/api/model")) == (401, "not_logged_in")
    assert log_in(browser, "changing").status_code == 401
    assert error_of(boss.post(f"/api/admin/people/{person}/reset")) == (409, "not_active")
    assert boss.patch(f"/api/admin/people/{person}", json={"active": True, "role": "admin"}).status_code == 200
    assert team.enter("changing").get("/api/admin/people").status_code == 200
    assert error_of(boss.patch(f"/api/admin/people/{uuid.uuid4()}", json={})) == (404, "unknown_account")


def test_a_forgotten_password_is_reset_by_a_link(team: Team) -> None:
    person = team.add("forgetful")
    browser = team.enter("forgetful")
    link = {"token": admin(team).post(f"/api/admin/people/{person}/reset").json()["path"].partition("#")[2]}
    fresh = team.browser()
    assert fresh.post("/api/reset/look", json=link).json() == {"name": "forgetful"}
    assert error_of(fresh.post("/api/reset", json={**link, "password": "forgetful123"})) == (422, "weak_password")
    new = "two black crows in a tree"
    assert fresh.post("/api/reset", json={**link, "password": new}).status_code == 204
    assert browser.get("/api/model").status_code == 401
    assert error_of(fresh.post("/api/reset", json={**link, "password": new})) == (404, "link_not_valid")
    assert (log_in(fresh, "forgetful").status_code, log_in(fresh, "forgetful", new).status_code) == (401, 200)


def test_no_secret_is_kept_and_the_log_says_who_did_what_from_where(team: Team) -> None:
    team.add("logged")
    browser = team.enter("logged", address="203.0.113.5")
    made = browser.post("/api/account/tokens", json={"name": "script", "scopes": ["read"]}).json()
    invitation = admin(team).post("/api/admin/invitations", json={"role": "viewer"}).json()["path"]
    secrets = [PASSWORD, browser.cookies[COOKIE], made["token"], invitation.partition("#")[2]]
    log = admin(team).get("/api/admin/audit", params={"limit": 200}).json()["items"]
    entries = [
        (entry["actor"], entry["action"], entry["subject"], entry["via"], entry["details"])
        for entry in log
        if entry["address"] == "203.0.113.5"
    ]
    assert entries == [
        ("logged", "token.made", "script", "session", {"scopes": ["read"], "days": 90}),
        ("logged", "login.succeeded", "logged", "session", {}),
    ]
    with team.studio.database.write() as connection:
        connection.execute(text("INSERT INTO login_try VALUES ('canary-7f3a', 0, '2000-01-01 00:00:00')"))
    stored = b"".join(path.read_bytes() for path in team.path.parent.glob("studio.sqlite3*"))
    assert b"canary-7f3a" in stored  # what is written is seen here
    assert not [secret for secret in secrets if secret.encode() in stored]
    page = admin(team).get("/api/admin/audit", params={"limit": 2}).json()
    assert page["next"] == page["items"][-1]["id"]
    following = admin(team).get("/api/admin/audit", params={"limit": 2, "before": page["next"]}).json()
    assert following["items"][0]["id"] < page["next"]


def test_an_answer_that_goes_on_for_long_ends_with_the_login(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    team.add("listening")
    browser = team.enter("listening")
    scope = {"type": "http", "method": "GET", "app": team.app, "scheme": "http", "path": "/", "query_string": b""}
    request = Request({**scope, "headers": [(b"cookie", f"{COOKIE}={browser.cookies[COOKIE]}".encode())]})

    async def listen() -> list[bool]:
        person = await known_person(request)
        assert person is not None
        still_in = StillIn(request, person, Permission.READ)
        monkeypatch.setattr("mfn_server.access.person.LOOK_AGAIN_SECONDS", 0.0)
        before = await still_in()
        await asyncio.to_thread(browser.delete, "/api/session")
        return [before, await still_in()]

    assert asyncio.run(listen()) == [True, False]


def test_texts_are_limited_by_account_and_without_accounts_by_address() -> None:
    request = Request({"type": "http", "client": ("192.0.2.1", 5), "headers": []})
    ann = Person("a", "ann", Role.VIEWER, is_local=False)
    assert asyncio.run(user_of(request, ann)) == "a"
    assert asyncio.run(user_of(request, Person("local", "me", Role.ADMIN, is_local=True))) == "192.0.2.1"


def test_a_scope_that_is_no_permission_any_more_is_of_no_use() -> None:
    ann = Person("a", "ann", Role.ADMIN, is_local=False, scopes=frozenset({Permission.READ}))
    assert [permission for permission in Permission if ann.may(permission)] == [Permission.READ]


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("studio.example", False), ("", False), ("::ffff:10.0.0.1", False)],
)  # fmt: skip
def test_others_get_in_only_where_they_are_asked_who_they_are(host: str, alone: bool) -> None:
    assert is_loopback(host) == alone
    check_reach(Settings(host=host, accounts=True))
    if alone:
        check_reach(Settings(host=host))
        return
    with pytest.raises(MFNError, match="add --accounts"):
        check_reach(Settings(host=host))


def admin(team: Team) -> Any:
    """An admin's browser, one for all tests."""
    browser = getattr(team, "_admin", None)
    if browser is None:
        team.add("the admin", Role.ADMIN)
        browser = team._admin = team.enter("the admin", address="203.0.113.200")  # type: ignore[attr-defined]
    return browser


def people(team: Team) -> list[dict[str, Any]]:
    return list(admin(team).get("/api/admin/people").json()["items"])
