"""Writes that wait together are committed together on SQLite; each is there whole or not at all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select, text

from mfn_server.db.session import Database
from mfn_server.db.tables import Counter
from mfn_server.db.writer import Writer

PATIENCE = 60.0


def put(name: str) -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        connection.execute(insert(Counter).values(name=name, value=1))
        return name

    return work


def put_and_refuse(connection: Connection) -> None:
    put("refused")(connection)
    raise LookupError("no")


def names(database: Database) -> list[str]:
    with database.read() as connection:
        built_in = ("label_event", "live_tab", "campaign_event", "collection_event")
        found = connection.scalars(select(Counter.name).where(Counter.name.not_in(built_in)))
        return sorted(str(name) for name in found)


def together(database: Database, works: list[Callable[[Connection], Any]]) -> tuple[list[Any], int]:
    """What comes of writes that all wait while the first is at work, and how many commits there were."""
    commits = 0

    def count(connection: Connection) -> None:
        nonlocal commits
        commits += 1

    async def run() -> list[Any]:
        writer = Writer(database)
        held, go_on = threading.Event(), threading.Event()

        def first(connection: Connection) -> str:
            held.set()
            assert go_on.wait(PATIENCE)
            return put("first")(connection)

        waiting: list[Awaitable[Any]] = [asyncio.ensure_future(writer.write(first))]
        await asyncio.to_thread(held.wait, PATIENCE)
        waiting += [asyncio.ensure_future(writer.write(work)) for work in works]
        await asyncio.sleep(0)
        go_on.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        await writer.close()
        return found

    event.listen(database.engine, "commit", count)
    try:
        return asyncio.run(run()), commits
    finally:
        event.remove(database.engine, "commit", count)


def test_what_waits_together_is_committed_together_and_what_is_refused_leaves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfn_server.db.writer.TOGETHER_SECONDS", PATIENCE)
    found, commits = together(database, [put("a"), put_and_refuse, put("b"), put("a"), put("c")])
    assert found[:2] == ["first", "a"]
    assert isinstance(found[2], LookupError)
    assert found[3] == "b"
    assert "unique" in str(found[4]).lower(), "it saw what was written before it"
    assert found[5] == "c"
    assert names(database) == ["a", "b", "c", "first"]
    if database.is_sqlite:
        assert commits == 1
    else:
        assert commits == 4, "two that failed were rolled back, each of the others is one"


def test_a_transaction_ends_though_others_wait(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfn_server.db.writer.TOGETHER_SECONDS", 0.0)
    found, commits = together(database, [put(f"{i}") for i in range(5)])
    assert (found, commits) == (["first", *"01234"], 6)


def test_nobody_is_answered_who_is_not_on_disk(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full in the midst of it; then when it is to be committed."""
    monkeypatch.setattr("mfn_server.db.writer.TOGETHER_SECONDS", PATIENCE)

    def too_much(connection: Connection) -> None:
        if database.is_sqlite:
            connection.execute(text("PRAGMA max_page_count = 1"))  # no page more than there are
            for i in range(2000):
                put(f"much {i} {'x' * 500}")(connection)
        else:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    found, _ = together(database, [put("a"), too_much, put("b")])
    assert isinstance(found[2], Exception)
    answered = [each for each in found if isinstance(each, str)]
    assert names(database) == sorted(answered)

    with database.write() as connection:
        connection.execute(text("DELETE FROM counter WHERE name IN ('a', 'b', 'first')"))

    def fail(connection: Connection) -> None:
        raise OSError("the disk is gone")

    event.listen(database.engine, "commit", fail)
    try:
        found, _ = together(database, [put("a")])
    finally:
        event.remove(database.engine, "commit", fail)
    assert all(isinstance(each, OSError) for each in found)
    assert names(database) == []
