"""Twenty people label the same model at the same time, through servers that are killed under them.

Real clients, real servers: two of them on one PostgreSQL, one on an SQLite file. People look, think, say something,
run into each other, vote, answer, take items from queues; answers get lost, requests are sent twice, streams break, and
now and then a server is killed with SIGKILL and comes back. Afterwards the log is held against what was acknowledged,
and everything that anybody read or was told against what they were allowed to see then.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from mfn_server.access.accounts import add_account
from mfn_server.access.roles import PERMISSIONS, Person, Role
from mfn_server.access.tokens import make_token
from mfn_server.db.migrate import open_database
from mfn_server.db.session import Database
from tests.server.together import checks
from tests.server.together.journal import Journal, Place
from tests.server.together.people import PATIENCE, Plan, Somebody
from tests.server.together.site import Site, running

PEOPLE = 20
SHORT, LONG = 8.0, 60.0
ENOUGH = 150
BLIND_QUOTA, OPEN_QUOTA = 12, 2


@pytest.mark.parametrize("seconds", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("on", "servers"), [("sqlite", 1), ("postgresql", 2)])
def test_twenty_people_lose_nothing_and_see_nothing_early(
    on: str,
    servers: int,
    seconds: float,
    copy_of: Callable[[str, Path | None], str],
    tiny_bundle: Path,
    tmp_path: Path,
) -> None:
    url = copy_of("indexed", tmp_path / "studio.sqlite3" if on == "sqlite" else None)
    with ExitStack() as stack:
        site = stack.enter_context(running(tmp_path, tiny_bundle, url, servers))
        journal, plan, everybody = asyncio.run(work_together(site, seconds))
    print(json.dumps(dict(sorted(journal.counts.items())), indent=1))
    database = open_database(url)
    with database.snapshot() as connection:
        log = checks.Log(connection)
        uncovered = checks.Uncovered(log, plan, BLIND_QUOTA)
        wrong = [
            *journal.wrong,
            *checks.not_as_acknowledged(log, journal),
            *checks.not_as_replayed(connection),
            *checks.over_quota(log, {plan.blind: BLIND_QUOTA, plan.open: OPEN_QUOTA}),
            *checks.seen_early(uncovered, log, journal),
            *(each for who in everybody for tab in who.tabs for each in checks.not_heard(log, uncovered, who, tab)),
        ]
        if database.is_sqlite:
            assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
    database.close()
    assert wrong == [], f"{len(wrong)} things went wrong, such as {wrong[:5]}"
    for server in site.servers:
        assert "Traceback" not in server.log.read_text()


async def work_together(site: Site, seconds: float) -> tuple[Journal, Plan, list[Somebody]]:
    """All of it, until everybody has been told everything."""
    await site.ready()
    journal = Journal()
    accounts = _make_people(site)
    plan = await _make_plan(site, accounts["20"][1])
    everybody = [Somebody(name, *account, site, plan, journal) for name, account in accounts.items()]
    tabs = [(person, tab) for person in everybody for tab in person.tabs]
    listening = [asyncio.create_task(person.listen(tab)) for person, tab in tabs]
    await _until(lambda: all(tab.first is not None for _, tab in tabs))
    working = [asyncio.create_task(person.work()) for person in everybody]
    await _kill_now_and_then(site, seconds)
    await _until(lambda: not _lacking(journal) and sum(tab.breaks for _, tab in tabs) >= len(tabs))
    plan.over = True
    await asyncio.gather(*working)
    database = open_database(site.database_url)
    with database.snapshot() as connection:
        log = checks.Log(connection)
    database.close()
    uncovered = checks.Uncovered(log, plan, BLIND_QUOTA)
    await _until(
        lambda: all(
            set(checks.must_hear(log, uncovered, person, tab)) <= {number for number, _ in tab.heard}
            for person, tab in tabs
        ),
        quietly=True,
    )
    for task in listening:
        task.cancel()
    ended = await asyncio.gather(*listening, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
    for person in everybody:
        await person.close()
    assert sum(tab.resets for _, tab in tabs) == 0, "so few events are told one by one"
    assert all(server.kills for server in site.servers) or seconds < LONG
    journal.counts["events"] = len(log.events)
    return journal, plan, everybody


def _lacking(journal: Journal) -> list[str]:
    """What has not happened yet. A run in which nothing goes wrong under way shows nothing."""
    must = (
        "answers lost",
        "left at that",
        "sent twice at once",
        "went on: merge",
        "opinion 201",
        "opinion 409 quota_full",
        "skip 201",
        "vote 201",
    )
    lacking = [what for what in must if not journal.counts[what]]
    if not any(sent.tries > 1 and sent.answer is not None for sent in journal.sent):
        lacking.append("an answer to a request that was sent again")
    if sum(sent.answer is not None for sent in journal.sent) < ENOUGH:
        lacking.append(f"{ENOUGH} events")
    return lacking


async def _kill_now_and_then(site: Site, seconds: float) -> None:
    """Lasts so long, without the time in which no server answers. Every 15 seconds one is killed, each in turn."""
    left, turn = seconds, 0
    while left > 0:
        before, after = min(5.0, seconds / 3), min(10.0, seconds * 2 / 3)
        await asyncio.sleep(before)
        server = site.servers[turn % len(site.servers)]
        server.kill()
        begun = time.monotonic()
        server.start()
        await server.ready()
        down = time.monotonic() - begun if len(site.servers) > 1 else 0.0
        await asyncio.sleep(max(0.0, after - down))
        left -= before + max(after, down)
        turn += 1


def _make_people(site: Site) -> dict[str, tuple[str, str, str]]:
    """Accounts by name: id, token and role. Most of them label, two review, one is an admin."""
    database: Database = open_database(site.database_url)
    made = {}
    now = datetime.now(UTC)
    with database.write() as connection:
        for number in range(1, PEOPLE + 1):
            role = {1: Role.REVIEWER, 2: Role.REVIEWER, 20: Role.ADMIN}.get(number, Role.LABELLER)
            name = str(number)
            account = str(add_account(connection, name, role, "", now))
            person = Person(account, name, role, is_local=False)
            _, token = make_token(connection, person, "test", PERMISSIONS[role], 1, now)
            made[name] = account, token, str(role)
    database.close()
    return made


async def _make_plan(site: Site, token: str) -> Plan:
    """Two campaigns over the features of the model: in one people are blind, in the other there are few opinions."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=site.servers[0].url, headers=headers) as client:
        first, second = [each["key"] for each in (await client.get("/api/model")).json()["sources"]][:2]
        blind: list[Place] = [(first, index) for index in range(24)]
        plain: list[Place] = [(second, index) for index in range(10)]  # so few that their quotas are soon reached

        async def make(name: str, features: list[Place], quota: int) -> str:
            made = str(uuid.uuid4())
            listed = [{"source": source, "index": index} for source, index in features]
            body: dict[str, Any] = {"id": made, "name": name, "features": {"kind": "list", "features": listed}}
            more = {"opinions": quota, "blind": name == "blind"}
            answer = await client.post("/api/campaigns", json=body | more)
            assert answer.status_code == 201, answer.text
            return made

        campaigns = await make("blind", blind, BLIND_QUOTA), await make("open", plain, OPEN_QUOTA)
    hot = [(first, 0), (first, 1), (second, 0), (second, 45)]
    others = [*blind[2:], *[(first, 30 + i) for i in range(10)], *plain[1:10]]
    return Plan(hot, others, *campaigns, dict(zip(campaigns, (blind, plain), strict=True)))


async def _until(condition: Callable[[], bool], quietly: bool = False) -> None:
    """Until it is so. `quietly`: or for long, and the checks afterwards say what is missing."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            assert quietly, "it never came to that"
            return
        await asyncio.sleep(0.05)
