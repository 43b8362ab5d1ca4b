"""How often a password may be tried. The counts stand in the database, so that all processes count together.

A try is counted before it is looked at: many at the same time are as many tries. Three counts, each over a window that
begins with its first try: by name and address, so that a stranger elsewhere cannot lock a person out; by address; and,
higher, by name, against many addresses. A name counts as it was typed, whether or not anybody has it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from mfn_server.access.names import name_key
from mfn_server.db.access_tables import LoginTry
from mfn_server.errors import APIError


@dataclass(frozen=True)
class Allowance:
    """Tries within a window."""

    by_name_and_address: int = 10
    by_address: int = 50
    by_name: int = 100
    window: timedelta = timedelta(minutes=15)


class ThrottledError(APIError):
    """Too many tries. Says the same whether there is such an account or not. `first`: none was refused before."""

    def __init__(self, seconds: float, first: bool) -> None:
        self.first = first
        wait = max(1, math.ceil(seconds))
        minutes = math.ceil(wait / 60)
        super().__init__(
            429,
            "too_many_tries",
            "too many tries to log in",
            hint=f"try again in {minutes} minute{'s' if minutes > 1 else ''}",
            headers={"Retry-After": str(wait)},
        )


def count_try(
    connection: Connection, name: str, address: str, now: datetime, allowance: Allowance
) -> ThrottledError | None:
    """Count a try, or say that it is one too many. The window does not move. Needs a write transaction.

    The rows stay locked until the transaction ends, so that nobody slips through between look and count. All take them
    in the same order, so that no two wait for each other.
    """
    limits = _limits(name, address, allowance)
    stale = LoginTry.since <= now - allowance.window
    for key in sorted(limits):
        _make(connection, key, now)
    mine = LoginTry.key.in_(limits)
    connection.execute(select(LoginTry).where(mine).order_by(LoginTry.key).with_for_update()).all()
    connection.execute(update(LoginTry).where(mine, stale).values(n=0, since=now))
    rows = {row.key: row for row in connection.execute(select(LoginTry).where(mine))}
    full = [key for key, limit in limits.items() if rows[key].n >= limit]
    if full:
        connection.execute(update(LoginTry).where(LoginTry.key.in_(full)).values(n=LoginTry.n + 1))
        seconds = (max(rows[key].since for key in full) + allowance.window - now).total_seconds()
        return ThrottledError(seconds, first=any(rows[key].n == limits[key] for key in full))
    connection.execute(update(LoginTry).where(mine).values(n=LoginTry.n + 1))
    others = select(LoginTry.key).where(stale).limit(100).with_for_update(skip_locked=True)
    connection.execute(delete(LoginTry).where(LoginTry.key.in_(others.scalar_subquery())))
    return None


def forgive(connection: Connection, name: str, address: str, allowance: Allowance) -> None:
    """A try that was right takes back the counts of that name; of its address it takes back itself alone."""
    both, by_address, by_name = _limits(name, address, allowance)
    keys = LoginTry.key.in_([both, by_address, by_name])
    connection.execute(select(LoginTry).where(keys).order_by(LoginTry.key).with_for_update()).all()
    connection.execute(delete(LoginTry).where(LoginTry.key.in_([both, by_name])))
    connection.execute(update(LoginTry).where(LoginTry.key == by_address, LoginTry.n > 0).values(n=LoginTry.n - 1))


def _limits(name: str, address: str, allowance: Allowance) -> dict[str, int]:
    """The three counts, and what each may come to."""
    typed, place = name_key(name), _network(address)
    return {
        _hashed("both", typed, place): allowance.by_name_and_address,
        _hashed("address", place): allowance.by_address,
        _hashed("name", typed): allowance.by_name,
    }


def _hashed(*parts: str) -> str:
    """A name may be a password typed into the wrong field, so it is not kept as it is."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _network(address: str) -> str:
    """IPv6 gives each customer 2^64 addresses: they count as one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address


def _make(connection: Connection, key: str, now: datetime) -> None:
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(insert(LoginTry).values(key=key, n=0, since=now).on_conflict_do_nothing())
