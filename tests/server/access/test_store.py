"""Accounts, logins, tokens, links, tries and the log in the database, on both kinds of it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from mfn_server.access import accounts, links, sessions, tokens
from mfn_server.access.audit import Actor, read_log, record
from mfn_server.access.links import Kind
from mfn_server.access.roles import Permission, Person, Role
from mfn_server.access.sessions import Lifetime
from mfn_server.access.throttle import Allowance, ThrottledError, count_try, forgive
from mfn_server.db.access_tables import Account, LoginTry
from mfn_server.db.session import Database
from mfn_server.errors import APIError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LIFETIME = Lifetime(idle=timedelta(hours=1), longest=timedelta(hours=5))
T = TypeVar("T")


def add(database: Database, name: str, role: Role = Role.LABELLER) -> uuid.UUID:
    with database.write() as connection:
        return accounts.add_account(connection, name, role, "hash", NOW)


def person(account: uuid.UUID, role: Role = Role.LABELLER) -> Person:
    return Person(str(account), "ann", role, is_local=False)


def at_once(database: Database, works: Iterable[Callable[[Connection], T]]) -> list[T | APIError]:
    """What each gives when all write at the same time: an error that is meant, or what it returns."""
    works = list(works)
    ready, found = threading.Barrier(len(works)), list[Any]([None] * len(works))

    def run(place: int, work: Callable[[Connection], T]) -> None:
        ready.wait()
        try:
            with database.write() as connection:
                found[place] = work(connection)
        except Exception as error:
            found[place] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in found:
        if isinstance(each, Exception) and not isinstance(each, APIError):
            raise each
    return found


def test_names_that_look_alike_are_one_name(database: Database) -> None:
    add(database, "Ann Lee")
    for name in ("ann lee", "ANN  LEE", "Ａnn Lee"):
        with pytest.raises(APIError) as caught, database.write() as connection:
            accounts.add_account(connection, name, Role.VIEWER, "hash", NOW)
        assert (caught.value.status, caught.value.detail.code) == (409, "name_taken")
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Account)) == 1
        found = accounts.account_named(connection, "ann LEE")
    assert found is not None
    assert found.name == "Ann Lee"


def test_a_login_lasts_while_it_is_used_and_not_for_ever(database: Database) -> None:
    ann = add(database, "ann")
    with database.write() as connection:
        token = sessions.open_session(connection, ann, "::1", "x" * 500, NOW, LIFETIME)

    def whose(minutes: float) -> str | None:
        with database.read() as connection:
            found = sessions.find_session(connection, token, NOW + timedelta(minutes=minutes), LIFETIME)
        return found and found[0].id

    assert (whose(59), whose(61)) == (str(ann), None)
    for minute in range(50, 300, 50):
        with database.write() as connection:
            found = sessions.find_session(connection, token, NOW + timedelta(minutes=minute), LIFETIME)
            assert found is not None
            assert found[0].session is not None
            sessions.touch_session(connection, found[0].session, NOW + timedelta(minutes=minute))
    assert (whose(299), whose(301)) == (str(ann), None)
    with database.read() as connection:
        assert sessions.find_session(connection, token + "x", NOW, LIFETIME) is None


def test_logins_are_listed_and_ended_and_only_ones_own(database: Database) -> None:
    ann, bob = add(database, "ann"), add(database, "bob")
    with database.write() as connection:
        sessions.open_session(connection, ann, "", "gone", NOW - timedelta(hours=2), LIFETIME)
        sessions.open_session(connection, ann, "", "one", NOW, LIFETIME)
        sessions.open_session(connection, ann, "", "two", NOW + timedelta(minutes=1), LIFETIME)
        sessions.open_session(connection, bob, "", "bob's", NOW, LIFETIME)
    with database.write() as connection:
        two, one = sessions.list_sessions(connection, ann, NOW, LIFETIME)
        assert (two.agent, one.agent) == ("two", "one")
        with pytest.raises(APIError, match="no such login"):
            sessions.end_session(connection, bob, one.id)
        sessions.end_session(connection, ann, one.id)
        assert sessions.end_all(connection, ann, but=two.id) == 0
        assert sessions.end_all(connection, ann) == 1
        assert len(sessions.list_sessions(connection, bob, NOW, LIFETIME)) == 1


def test_a_token_may_what_it_is_for_and_its_owner_may(database: Database) -> None:
    ann, boss = add(database, "ann"), add(database, "boss", Role.ADMIN)
    scopes = {Permission.READ, Permission.LABEL}
    with database.write() as connection:
        made, token = tokens.make_token(connection, person(ann), "mine", scopes, 30, NOW)
        with pytest.raises(APIError, match="may not review") as caught:
            tokens.make_token(connection, person(ann), "more", {Permission.REVIEW}, 30, NOW)
        assert caught.value.status == 422

    def may(moment: datetime = NOW) -> set[Permission] | None:
        with database.read() as connection:
            found = tokens.find_token(connection, token, moment)
        return found and {permission for permission in Permission if found[0].may(permission)}

    assert may() == scopes
    assert (may(NOW + timedelta(days=29)), may(NOW + timedelta(days=31))) == (scopes, None)
    with database.write() as connection:
        accounts.set_role(connection, ann, Role.VIEWER, NOW)
    assert may() == {Permission.READ}
    with database.write() as connection:
        with pytest.raises(APIError, match="no such token"):
            tokens.revoke_token(connection, boss, made, NOW)
        assert tokens.revoke_token(connection, ann, made, NOW) == "mine"
    assert may() is None


def test_an_account_out_of_use_has_no_way_in(database: Database) -> None:
    add(database, "boss", Role.ADMIN)
    ann = add(database, "ann", Role.ADMIN)
    with database.write() as connection:
        login = sessions.open_session(connection, ann, "", "", NOW, LIFETIME)
        _, token = tokens.make_token(connection, person(ann), "mine", {Permission.READ}, 30, NOW)
        _, invitation = links.make_invitation(connection, Role.ADMIN, "", ann, NOW)
        _, reset = links.make_reset(connection, ann, None, NOW)
        assert accounts.deactivate(connection, ann, NOW)
        assert not accounts.deactivate(connection, ann, NOW)
    with database.write() as connection:
        assert accounts.reactivate(connection, ann)  # what ended stays ended
        assert sessions.find_session(connection, login, NOW, LIFETIME) is None
        assert tokens.find_token(connection, token, NOW) is None
        for kind, path in ((Kind.INVITATION, invitation), (Kind.RESET, reset)):
            with pytest.raises(APIError, match="does not work"):
                links.look_at(connection, kind, path.partition("#")[2], NOW)


def test_the_last_admin_stays_also_when_two_depose_each_other_at_once(database: Database) -> None:
    one, two = add(database, "one", Role.ADMIN), add(database, "two", Role.ADMIN)
    found = at_once(
        database,
        [
            lambda c: accounts.set_role(c, one, Role.VIEWER, NOW),
            lambda c: accounts.deactivate(c, two, NOW),
        ],
    )
    assert sorted(str(each) for each in found) == ["True", "this is the last admin"]
    with database.read() as connection:
        statement = select(func.count()).where(Account.role == Role.ADMIN, Account.deactivated_at.is_(None))
        assert connection.scalar(statement) == 1


def test_a_link_works_once_also_when_many_use_it_at_once(database: Database) -> None:
    ann = add(database, "ann")
    with database.write() as connection:
        _, path = links.make_invitation(connection, Role.REVIEWER, "for bob", ann, NOW)
    start, _, secret = path.partition("#")
    assert start == "/join"

    def join(connection: Connection) -> str:
        new = accounts.add_account(connection, str(uuid.uuid4()), Role.VIEWER, "hash", NOW)
        used = links.use(connection, Kind.INVITATION, secret, NOW, new)
        return str(used.role)

    found = at_once(database, [join] * 6)
    assert found.count("reviewer") == 1
    assert sum(isinstance(each, APIError) for each in found) == 5
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Account)) == 2
        (row,) = links.list_invitations(connection)
    assert (row.by, row.note, row.used_at) == ("ann", "for bob", NOW)


def test_a_link_ends_by_time_by_hand_and_by_the_next_one(database: Database) -> None:
    ann = add(database, "ann")
    with database.write() as connection:
        made, path = links.make_invitation(connection, Role.VIEWER, "", None, NOW)
        _, first = links.make_reset(connection, ann, None, NOW)
        _, second = links.make_reset(connection, ann, None, NOW)

        def works(kind: Kind, path: str, hours: float = 0) -> bool:
            try:
                links.look_at(connection, kind, path.partition("#")[2], NOW + timedelta(hours=hours))
            except APIError:
                return False
            return True

        assert (works(Kind.RESET, first), works(Kind.RESET, second)) == (False, True)
        assert (works(Kind.RESET, second, 23), works(Kind.RESET, second, 25)) == (True, False)
        assert not works(Kind.INVITATION, second)
        assert (works(Kind.INVITATION, path, 167), works(Kind.INVITATION, path, 169)) == (True, False)
        links.revoke_invitation(connection, made, NOW)
        assert not works(Kind.INVITATION, path)


FEW = Allowance(by_name_and_address=3, by_address=5, by_name=8, window=timedelta(minutes=10))


def tried(database: Database, name: str, address: str, minutes: float = 0) -> int | None:
    """Seconds to wait, or None for a try that may be made."""
    with database.write() as connection:
        refusal = count_try(connection, name, address, NOW + timedelta(minutes=minutes), FEW)
    return refusal and int(refusal.headers["Retry-After"])


def test_tries_are_counted_by_name_and_place(database: Database) -> None:
    assert [tried(database, "Ann", "192.0.2.1") for _ in range(4)] == [None, None, None, 600]
    assert tried(database, "ANN", "192.0.2.1", minutes=4) == 360
    assert tried(database, "ann", "192.0.2.2") is None  # a stranger elsewhere does not lock her out
    assert [tried(database, f"nobody {i}", "192.0.2.1") for i in range(3)] == [None, None, 600]  # the address has 5
    assert [tried(database, "ann", f"192.0.2.{i}") for i in range(3, 9)] == [None] * 4 + [600] * 2  # the name has 8
    assert tried(database, "ann", "192.0.2.1", minutes=10) is None


def test_an_ipv6_network_counts_as_one_place(database: Database) -> None:
    found = [tried(database, "ann", f"2001:db8::{i}") for i in range(4)]
    assert found == [None, None, None, 600]
    assert tried(database, "ann", "2001:db8:0:1::1") is None


def test_a_right_try_takes_back_the_wrong_ones_of_its_name_alone(database: Database) -> None:
    for _ in range(2):
        tried(database, "ann", "192.0.2.1")
        tried(database, "bob", "192.0.2.1")
    with database.write() as connection:
        forgive(connection, "ann", "192.0.2.1", FEW)
    assert tried(database, "ann", "192.0.2.1") is None
    assert tried(database, "bob", "192.0.2.1") is None
    assert tried(database, "ann", "192.0.2.1") == 600  # the address is at its 5: own right tries do not buy more


def test_tries_at_the_same_time_are_as_many_tries(database: Database) -> None:
    found = at_once(database, [lambda c: count_try(c, "ann", "192.0.2.1", NOW, FEW)] * 8)
    assert sum(each is None for each in found) == 3
    assert sum(isinstance(each, ThrottledError) and each.first for each in found) == 1


def test_old_tries_are_cleared(database: Database) -> None:
    tried(database, "ann", "192.0.2.1")
    tried(database, "bob", "192.0.2.2", minutes=11)
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(LoginTry)) == 3


def test_the_log_only_grows(database: Database) -> None:
    ann = add(database, "ann")
    for number in range(5):
        with database.write() as connection:
            record(connection, "test", Actor(ann, "ann", "session", "::1"), "bob", number=number)
    for statement in ("UPDATE audit_event SET actor = 'eve'", "DELETE FROM audit_event"):
        with pytest.raises(DBAPIError, match="append-only"), database.write() as connection:
            connection.execute(text(statement))
    with database.read() as connection:
        page = read_log(connection, None, None, 3)
        rest = read_log(connection, page[-1].id, None, 3)
        assert [row.details["number"] for row in [*page, *rest]] == [4, 3, 2, 1, 0]
        assert read_log(connection, None, "other", 3) == []
