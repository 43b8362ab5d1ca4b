"""Counters that number logs in the order of commits (docs/decisions/0020)."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, update

from mfn_server.db.tables import Counter

_LOCK = select(Counter.value).where(Counter.name == bindparam("counter")).with_for_update()
_TAKE = (
    update(Counter)
    .where(Counter.name == bindparam("counter"))
    .values(value=Counter.value + bindparam("n"))
    .returning(Counter.value)
)


def lock_counter(connection: Connection, counter: str) -> int:
    """Keep everyone else from taking numbers until the transaction is over. Gives the last one that was taken.

    Then nobody writes between what is read from here on and what follows from it, and numbers are in the order of
    commits, without gaps: on SQLite a write transaction is alone anyway, on PostgreSQL the others wait for this row.
    """
    last: int | None = connection.scalar(_LOCK, {"counter": counter})
    assert last is not None, "a migration makes the counter"
    return last


def take_numbers(connection: Connection, counter: str, n: int = 1) -> int:
    """Take the next n numbers. Gives the last of them."""
    last: int | None = connection.scalar(_TAKE, {"counter": counter, "n": n})
    assert last is not None, "a migration makes the counter"
    return last
